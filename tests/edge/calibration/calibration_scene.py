"""Two cameras of known geometry before a printed board, for the tests of calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.board import Board, Detection, find_board
from edge.calibration.board_print import board_picture
from edge.calibration.gather import board_grey
from edge.calibration.shots import Shot
from edge.calibration.views import View
from edge.encode.masters import MasterWriter
from edge.frames import FloatImage
from edge.session.recording import SessionHeader, SessionWriter
from hw.camera import Camera, EndOfRecordingError
from hw.simulator.board_rig import BoardRig, BoardScene, Pose
from hw.simulator.board_view import TEXTURE_PX, BoardCamera, Eye, noisy, pose

WIDTH, HEIGHT = 960, 540
CHARUCO = Board("charuco", 11, 8, 0.023)
CHECKERBOARD = Board("checkerboard", 10, 7, 0.025)

REFERENCE = Eye((900.0, 902.0), (475.0, 272.0), (-0.12, 0.05, 0.0, 0.0, 0.0), falloff=(-0.30, 0.05))
SECONDARY = Eye(
    (912.0, 910.0),
    (486.0, 266.0),
    (-0.11, 0.04, 0.0, 0.0, 0.0),
    (0.6, -1.8, 0.9),
    (-0.0505, 0.0012, 0.0009),
    gain=(1.10, 0.96, 0.88),
    falloff=(-0.22, 0.02),
    blur_px=0.8,
)
"""A hand-made rig: 50.5 mm apart, 2.1 degrees off, other lenses, other light."""

TILTS = (
    *(
        (30, 0, 0),
        (-30, 0, 0),
        (0, 32, 0),
        (0, -32, 0),
        (22, 22, 5),
        (-22, 24, -8),
        (25, -22, 15),
        (-24, -24, -12),
    ),
    *(
        (6, 4, 90),
        (4, -8, 2),
        (34, 12, 0),
        (-12, -34, 4),
        (14, 34, -6),
        (-33, 9, 20),
        (10, -10, -30),
        (26, 26, 45),
    ),
)
PLACES = (
    *((-0.2, -0.12), (0.22, 0.12), (0.2, -0.14), (-0.22, 0.13), (0, 0), (0.25, 0), (-0.25, 0), (0, 0.15)),
    *(
        (0, 0),
        (0, -0.15),
        (0.12, 0.1),
        (-0.12, -0.1),
        (0.26, 0.16),
        (-0.26, -0.16),
        (0.26, -0.16),
        (-0.26, 0.16),
    ),
)


def poses(board: Board, count: int = 16) -> list[Pose]:
    """Poses as a person who follows the guide would hold the board; a checkerboard has to stay in view."""
    inward, nearest = (1.0, 0.34) if board.kind == "charuco" else (0.6, 0.46)
    made = []
    for i in range(count):
        u, v = PLACES[i % 16]
        tilt = TILTS[i % 16] if i < 16 else (TILTS[i % 16][1], -TILTS[i % 16][0], TILTS[i % 16][2] + 90)
        away = nearest + 0.16 * ((7 * i) % 16) / 16
        reach = inward * away * WIDTH / REFERENCE.focal[0]
        made.append(pose(tilt, (u * reach + 0.025, v * reach, away), board.size_m))
    return made


@lru_cache(maxsize=8)
def camera(eye: Eye, width: int = WIDTH, height: int = HEIGHT) -> BoardCamera:
    return BoardCamera(eye, width, height)


@lru_cache(maxsize=4)
def texture(board: Board) -> FloatImage:
    return np.asarray(board_picture(board, TEXTURE_PX) / 255.0 * 0.70 + 0.04, np.float32)


def film(
    board: Board, held: Sequence[Pose], eyes: tuple[Eye, Eye] = (REFERENCE, SECONDARY), seed: int = 1
) -> list[Shot]:
    """Pictures of both cameras with noise, one shot a pose."""
    rng = np.random.default_rng(seed)
    shots = []
    for i, (rotation, position) in enumerate(held):
        images = [
            noisy(camera(eye).see(texture(board), board.size_m, rotation, position), 10_000.0, rng)
            for eye in eyes
        ]
        shots.append(Shot(f"view {i}", images[0], images[1]))
    return shots


def ideal(
    board: Board,
    held: Sequence[Pose],
    eyes: tuple[Eye, Eye] = (REFERENCE, SECONDARY),
    noise_px: float = 0.035,
    seed: int = 1,
) -> list[View]:
    """Views as detection finds them, without the rendering: true corners, noise of ``noise_px`` rms."""
    rng = np.random.default_rng(seed)
    views = []
    for i, (rotation, position) in enumerate(held):
        points = board.points().astype(np.float64) @ rotation.T + position
        found = []
        for eye in eyes:
            before = points @ eye.rotation().T + eye.translation_m
            corners, _ = cv2.projectPoints(
                before, np.zeros(3), np.zeros(3), eye.matrix(), np.array(eye.distortion)
            )
            noisy_corners = corners.reshape(-1, 2) + rng.normal(
                0.0, noise_px / np.sqrt(2.0), (len(points), 2)
            )
            inside = ((noisy_corners > 4) & (noisy_corners < (WIDTH - 5, HEIGHT - 5))).all(axis=1)
            if board.kind == "checkerboard" and not inside.all():
                inside[:] = False
            ids = np.flatnonzero(inside).astype(np.int32)
            found.append(Detection(ids, noisy_corners[inside].astype(np.float32)) if len(ids) >= 8 else None)
        views.append(View(f"view {i}", found[0], found[1]))
    return views


def detect(shots: Sequence[Shot], board: Board) -> list[View]:
    return [
        View(s.name, find_board(board_grey(s.reference), board), find_board(board_grey(s.secondary), board))
        for s in shots
    ]


def true_places(
    pixels: NDArray[np.float64], eyes: tuple[Eye, Eye] = (REFERENCE, SECONDARY)
) -> NDArray[np.float64]:
    """Where what the reference sees at ``pixels`` (n, 2), infinitely far, lies in the secondary's picture."""
    one, two = eyes
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    rays = cv2.undistortPointsIter(
        pixels.reshape(-1, 1, 2), one.matrix(), np.array(one.distortion), None, None, criteria
    ).reshape(-1, 2)
    turned = np.column_stack((rays, np.ones(len(rays)))) @ two.rotation().T
    seen, _ = cv2.projectPoints(turned, np.zeros(3), np.zeros(3), two.matrix(), np.array(two.distortion))
    return np.asarray(seen.reshape(-1, 2), np.float64)


def half_size(eye: Eye) -> Eye:
    """The same camera at 480x270."""
    (fx, fy), (cx, cy) = eye.focal, eye.centre
    return replace(eye, focal=(fx / 2, fy / 2), centre=((cx - 0.5) / 2, (cy - 0.5) / 2))


def small_scene(board: Board = CHARUCO, count: int = 14, frames_per_pose: int = 4) -> BoardScene:
    """A rig at 480x270 that films ``count`` poses of a board twice as large in squares."""
    return BoardScene(
        texture(board),
        board.size_m,
        poses(board, count),
        half_size(REFERENCE),
        half_size(SECONDARY),
        frames_per_pose=frames_per_pose,
    )


def record(rig: BoardRig, folder: Path) -> Path:
    """A session with masters of what ``rig`` films."""
    cameras = {"reference": rig.reference.info, "secondary": rig.secondary.info}
    first = {name: _drain(getattr(rig, name)) for name in cameras}
    header = SessionHeader(
        "board",
        "2026-01-01T00:00:00+00:00",
        "test",
        cameras,  # type: ignore[arg-type]
        {
            "reference": (first["reference"][0].exposure,),
            "secondary": tuple(f.exposure for f in first["secondary"][:2]),
        },
    )
    writer = SessionWriter.create(folder, header, sync_s=None)
    writer.sidecar.start(0)
    for name, frames in first.items():
        info = cameras[name]
        masters = MasterWriter(
            folder,
            name,  # type: ignore[arg-type]
            width=info.width,
            height=info.height,
            pixel_format=info.pixel_format,
            bit_depth=info.bit_depth,
            fps=1e6 / info.frame_period_us,
            origin_ns=0,
            on_segment=writer.sidecar.segment,
        )
        for frame in frames:
            writer.sidecar.frame(frame, frame.t_device_ns, masters.write(frame, frame.t_device_ns))
        masters.close()
    writer.sidecar.end()
    return folder


def _drain(source: Camera) -> list:  # type: ignore[type-arg]
    frames = []
    while True:
        try:
            frames.append(source.read(0.0))
        except EndOfRecordingError:
            return frames
