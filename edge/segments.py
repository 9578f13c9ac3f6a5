"""What every stream on disk has in common: numbered segment files, and the one error of writing them."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import EX_CANTCREAT, TwinhdrError
from edge.hdr_metadata import ContentLight


class EncodeError(TwinhdrError):
    """A video file cannot be written. The text names the file, the cause and what to do next."""

    exit_code = EX_CANTCREAT


@dataclass(frozen=True, slots=True)
class Location:
    """Where a frame lies: ``file`` relative to the session folder (posix), ``index`` from 0 inside it."""

    file: str
    index: int


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """One finished file of one stream. ``light`` only for PQ video."""

    stream: str
    file: str
    frames: int
    size_bytes: int
    first_t_ns: int
    last_t_ns: int
    light: ContentLight | None = None
