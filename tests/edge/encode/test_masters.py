"""Masters are the negative: every bit comes back, and what does not is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge.encode.masters import MasterSettings, MasterWriter, stored_format, to_quadrants
from edge.encode.segments import ClosedSegment, EncodeError, Location
from edge.encode.video_read import DamagedVideoError, count_frames, from_quadrants, read_master
from edge.frames import CameraName, Exposure, Frame, PixelFormat

HEIGHT, WIDTH = 38, 54
PERIOD_NS = 66_666_667


def images(pixel_format: PixelFormat, bits: int, count: int = 5, height: int = HEIGHT) -> list[NDArray[Any]]:
    rng = np.random.default_rng(bits)
    shape = (height, WIDTH, 3) if pixel_format == "rgb" else (height, WIDTH)
    dtype = np.uint8 if bits == 8 else np.uint16
    return [rng.integers(0, 1 << bits, shape).astype(dtype) for _ in range(count)]


def write(
    folder: Path,
    pictures: list[NDArray[Any]],
    pixel_format: PixelFormat = "bayer_rggb",
    bits: int = 12,
    camera: CameraName = "secondary",
    settings: MasterSettings | None = None,
) -> tuple[list[Location], list[ClosedSegment]]:
    closed: list[ClosedSegment] = []
    height, width = pictures[0].shape[:2]
    writer = MasterWriter(
        folder,
        camera,
        width=width,
        height=height,
        pixel_format=pixel_format,
        bit_depth=bits,
        fps=15.0,
        origin_ns=1000,
        settings=settings,
        on_segment=closed.append,
    )
    at = [
        writer.write(frame(image, i, pixel_format, bits, camera), 1000 + i * PERIOD_NS)
        for i, image in enumerate(pictures)
    ]
    writer.close()
    writer.close()
    return at, closed


def frame(image: NDArray[Any], seq: int, pixel_format: PixelFormat, bits: int, camera: CameraName) -> Frame:
    return Frame(camera, seq, 0, 0, Exposure(1000.0), image, pixel_format, bits)


def good(path: Path) -> list[NDArray[Any]]:
    return [image for _, _, image in read_master(path) if not isinstance(image, DamagedVideoError)]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("pixel_format", ["bayer_gbrg", "mono", "rgb"])
def test_bit_exact(tmp_path: Path, pixel_format: PixelFormat, bits: int) -> None:
    """One bit lost is a master lost."""
    pictures = images(pixel_format, bits)
    at, closed = write(tmp_path, pictures, pixel_format, bits)
    assert at[4] == Location("secondary/000000.mkv", 4)
    assert closed[0].frames == 5
    assert closed[0].size_bytes == (tmp_path / "secondary/000000.mkv").stat().st_size
    back = list(read_master(tmp_path / "secondary/000000.mkv"))
    assert [index for index, _, _ in back] == list(range(5))
    for (_, pts_ns, image), original, i in zip(back, pictures, range(5), strict=True):
        assert not isinstance(image, DamagedVideoError)
        assert image.dtype == original.dtype
        assert (image == original).all()
        assert abs(pts_ns - i * PERIOD_NS) <= 500_000


def test_depths_between_and_beyond(tmp_path: Path) -> None:
    """An 11-bit camera is kept in the next larger format; 17 bits are refused by name."""
    assert stored_format(11, colour=False) == "gray12le"
    assert stored_format(13, colour=True) == "gbrp14le"
    with pytest.raises(ValueError, match="17 bits"):
        stored_format(17, colour=False)
    pictures = images("mono", 9)
    write(tmp_path, pictures, "mono", 9)
    assert all((a == b).all() for a, b in zip(good(tmp_path / "secondary/000000.mkv"), pictures, strict=True))


def test_odd_mosaic(tmp_path: Path) -> None:
    """A mosaic with an odd side has no quadrants and must still come back."""
    pictures = images("bayer_rggb", 12, height=37)
    write(tmp_path, pictures)
    assert all((a == b).all() for a, b in zip(good(tmp_path / "secondary/000000.mkv"), pictures, strict=True))


@given(
    hnp.arrays(
        np.uint16,
        st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda s: (2 * s[0], 2 * s[1])),
    )
)
def test_quadrants_invert(mosaic: NDArray[np.uint16]) -> None:
    """Colours would swap if the two were not inverses; the upper left quadrant is the (even, even) pixels."""
    quadrants = to_quadrants(mosaic)
    assert (from_quadrants(quadrants) == mosaic).all()
    assert (quadrants[: mosaic.shape[0] // 2, : mosaic.shape[1] // 2] == mosaic[::2, ::2]).all()


def test_segments(tmp_path: Path) -> None:
    """A long recording must be many files, each readable alone."""
    pictures = images("mono", 8, 30)
    at, closed = write(tmp_path, pictures, "mono", 8, settings=MasterSettings(segment_s=1.0))
    assert [segment.frames for segment in closed] == [15, 15]
    assert at[15] == Location("secondary/000001.mkv", 0)
    second = list(read_master(tmp_path / "secondary/000001.mkv"))
    assert (second[14][2] == pictures[29]).all()
    assert second[0][1] == 1_000_000_000
    assert count_frames(tmp_path / "secondary/000001.mkv") == 15


def test_wrong_frames_are_refused(tmp_path: Path) -> None:
    """A camera that changes size or sends more bits than it says must be told, not be recorded wrong."""
    with pytest.raises(EncodeError, match=r"the image is \(38, 54, 3\), the file \(38, 54\)"):
        write(tmp_path, [*images("mono", 8, 1), *images("rgb", 8, 1)], "mono", 8)
    with pytest.raises(EncodeError, match="more than 10 bits"):
        write(tmp_path, [np.full((HEIGHT, WIDTH), 1024, np.uint16)], "mono", 10)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    """A failing disk costs the frames it damaged and no more; no wrong pixel may pass as a master."""
    pictures = images("bayer_rggb", 12)
    write(tmp_path, pictures)
    path, torn = tmp_path / "secondary/000000.mkv", tmp_path / "torn.mkv"
    whole = path.read_bytes()
    first_cluster = whole.index(b"\x1f\x43\xb6\x75")  # Matroska's cluster id
    for position in range(first_cluster + 200, len(whole) - 200, 331):
        torn.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        read = list(read_master(torn))
        kept = [(i, image) for i, _, image in read if not isinstance(image, DamagedVideoError)]
        assert len(kept) >= 4
        assert all((image == pictures[i]).all() for i, image in kept)


def test_cut_at_any_byte(tmp_path: Path) -> None:
    """What was written before the cut is read, and no cut is a traceback."""
    pictures = images("bayer_rggb", 12)
    write(tmp_path, pictures)
    whole = (tmp_path / "secondary/000000.mkv").read_bytes()
    torn = tmp_path / "torn.mkv"
    counts = []
    for size in [*range(0, 700, 23), *range(700, len(whole), 499)]:
        torn.write_bytes(whole[:size])
        try:
            kept = good(torn)
        except DamagedVideoError:
            kept = []
        assert all((a == b).all() for a, b in zip(kept, pictures, strict=False))
        counts.append(len(kept))
    assert counts == sorted(counts)
    assert counts[-1] >= 4


def test_not_a_video(tmp_path: Path) -> None:
    """Any file can lie in a session's folder."""
    for data in (b"", b"hello", bytes(5000)):
        (tmp_path / "x.mkv").write_bytes(data)
        with pytest.raises(DamagedVideoError):
            list(read_master(tmp_path / "x.mkv"))
        with pytest.raises(DamagedVideoError):
            count_frames(tmp_path / "x.mkv")
    with pytest.raises(DamagedVideoError, match="No such file"):
        list(read_master(tmp_path / "none.mkv"))


def test_foreign_files_are_read(tmp_path: Path) -> None:
    """A mosaic in plain rows made by any other program is a master too; lossy video with chroma is not."""
    picture = images("mono", 8, 1)[0]
    for name, codec, pix_fmt in (("a.mkv", "ffv1", "gray"), ("b.mkv", "mpeg4", "yuv420p")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=15)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
            made = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format=pix_fmt)
            container.mux(stream.encode(made))
            container.mux(stream.encode(None))
    assert (good(tmp_path / "a.mkv")[0] == picture).all()
    (_, _, error), *_ = read_master(tmp_path / "b.mkv")
    assert isinstance(error, DamagedVideoError)
    assert "yuv420p" in str(error)
