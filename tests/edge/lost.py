"""What a session still holds after a crash, and that it holds it in order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from edge.encode.video_read import DamagedVideoError, count_frames
from edge.session.recording import Session

S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Newest:
    """Session time in ns of the last frame that can be read, by stream; 0: none."""

    reference: int
    secondary: int
    hdr: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Seconds between the last frame that was filmed and the last that can be read, by stream."""

    reference: float
    secondary: float
    hdr: float


def newest(folder: Path) -> Newest:
    """Of a session, whatever became of it; fails where a frame is doubled or out of order."""
    session = Session.open(folder)
    cameras = []
    for camera in ("reference", "secondary"):
        stamps = [(frame.seq, t_ns) for frame, t_ns in session.stamped(camera)]
        assert all(a < b for a, b in itertools.pairwise(stamps)), folder
        cameras.append(stamps[-1][1] if stamps else 0)
    files: dict[str, int] = {}
    records = list(session.hdr_records())
    assert all(a.seq < b.seq for a, b in itertools.pairwise(records)), folder
    hdr = 0
    for record in records:
        assert record.file is not None
        if record.file not in files:
            files[record.file] = standing(folder / record.file)
        if record.index < files[record.file]:
            hdr = record.t_ns
    return Newest(cameras[0], cameras[1], hdr)


def standing(path: Path) -> int:
    """Frames of a file; 0 where not even the header came to the disk, as in a recording's first second."""
    try:
        return count_frames(path)
    except DamagedVideoError:
        return 0


def lost(folder: Path, until_ns: int) -> Lost:
    """What a session lost that was filmed until ``until_ns``; fails where ``newest`` does."""
    last = newest(folder)
    return Lost(*(max(0.0, (until_ns - t_ns) / S) for t_ns in (last.reference, last.secondary, last.hdr)))


def assert_all_readable(root: Path) -> int:
    """Every video file of every session opens and holds frames. Returns how many there are."""
    files = [path for path in root.glob("s*/*/*") if path.suffix in (".mkv", ".mp4")]
    assert all(count_frames(path) > 0 for path in files)
    return len(files)


def worst(losses: list[Lost]) -> float:
    """Of all streams, in seconds."""
    return max(max(one.reference, one.secondary, one.hdr) for one in losses)


def print_worst(losses: list[Lost]) -> None:
    """By stream: the worst, and the middle one."""
    for stream in ("reference", "secondary", "hdr"):
        values = sorted(getattr(one, stream) for one in losses)
        print(
            f"{stream}: lost at most {values[-1]:.3f} s, half of the times {values[len(values) // 2]:.3f} s"
        )
