"""The board as a picture and as a PDF of true size."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, BoardError, aruco_board
from edge.images.imageio import check_output, replace_atomically

MARGIN_SQUARES = 0.5
POINTS_PER_M = 72 / 0.0254
PNG_SQUARE_PX = 100
"""Whole pixels for each module of a marker, a tenth of a square."""
INK, PAPER = 0, 255


def board_picture(board: Board, square_px: int, margin_px: int = 0) -> NDArray[np.uint8]:
    """(h, w) uint8: black on white, ``square_px`` a square, the upper left square black."""
    size = board.columns * square_px, board.rows * square_px
    if board.kind == "charuco":
        picture = np.asarray(aruco_board(board).generateImage(size, None, 0, 1), np.uint8)
    else:
        row, column = np.indices((board.rows, board.columns))
        squares = np.where((row + column) % 2 == 0, INK, PAPER).astype(np.uint8)
        picture = np.kron(squares, np.ones((square_px, square_px), np.uint8))
    around = (margin_px,) * 4
    return np.asarray(cv2.copyMakeBorder(picture, *around, cv2.BORDER_CONSTANT, value=PAPER), np.uint8)


def write_board(board: Board, out: Path) -> str:
    """Write ``out`` (.png or .pdf) and return what to tell the person who prints it. Raises TwinhdrError."""
    suffix = out.suffix.lower()
    if suffix not in (".png", ".pdf"):
        raise BoardError(f"{out}: name a .pdf (prints at true size) or a .png")
    check_output(out, suffix)
    margin = round(MARGIN_SQUARES * PNG_SQUARE_PX)
    picture = board_picture(board, PNG_SQUARE_PX, margin)
    data = _pdf(board, picture) if suffix == ".pdf" else _png(board, picture)
    replace_atomically(out, lambda temporary: _write(temporary, data))
    width, height = (1e3 * side for side in board.size_m)
    return (
        f"{board.kind}, {board.columns}x{board.rows} squares of {board.square_m * 1e3:g} mm, "
        f"{width:.0f} x {height:.0f} mm without its margin. Print at 100 % (no fitting to the page), glue "
        f"it to "
        "something flat and stiff, then measure ten squares with a ruler: --square-mm is what you measure."
    )


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _png(board: Board, picture: NDArray[np.uint8]) -> bytes:
    """PNG with its resolution (pHYs), so that 100 % is true size. The chunk goes right after IHDR."""
    data: bytes = cv2.imencode(".png", picture)[1].tobytes()
    per_metre = round(PNG_SQUARE_PX / board.square_m)
    body = b"pHYs" + per_metre.to_bytes(4, "big") * 2 + b"\1"
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    after_ihdr = 8 + 4 + 4 + 13 + 4
    return data[:after_ihdr] + chunk + data[after_ihdr:]


def _pdf(board: Board, picture: NDArray[np.uint8]) -> bytes:
    """One page, just as large as the board with its margin, holding the picture (PDF 1.4, ISO 32000)."""
    scale = board.square_m / PNG_SQUARE_PX * POINTS_PER_M
    width, height = (side * scale for side in (picture.shape[1], picture.shape[0]))
    pixels = zlib.compress(picture.tobytes(), 9)
    content = f"q {width:.4f} 0 0 {height:.4f} 0 0 cm /B Do Q".encode()
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {picture.shape[1]} /Height {picture.shape[0]} /ColorSpace "
        f"/DeviceGray /BitsPerComponent 8 /Filter /FlateDecode /Length {len(pixels)} >>\nstream\n"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.4f} {height:.4f}] /Contents 4 0 R "
            "/Resources << /XObject << /B 5 0 R >> >> >>"
        ).encode(),
        f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream",
        image.encode() + pixels + b"\nendstream",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    return (
        out
        + (
            f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
            f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
        ).encode()
    )
