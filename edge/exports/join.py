"""The segments of a recording as one plain MP4, without encoding again.

A segment is a fragmented MP4, right for a recorder that may be killed and wrong for much that opens files:
photo libraries, televisions and editors want one file with its index in front. Joining copies the packets:

- times count from the first frame; gaps between frames stay what they were;
- HEVC is tagged ``hvc1``, whose parameter sets stand in the sample entry only (ISO/IEC 14496-15, 8.4.1);
  the recorder repeats them with each keyframe, so they are taken out of the stream here;
- MaxCLL and MaxFALL become those measured over all frames, in box and stream.
"""

from __future__ import annotations

import datetime
import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from edge.encode.mp4 import parameter_sets, patch_content_light, without_parameter_sets
from edge.errors import EX_CANTCREAT, TwinhdrError
from edge.images.imageio import replace_atomically
from edge.session.recording import HdrRecord, Session
from edge.tone.hdr_metadata import ContentLight


class JoinError(TwinhdrError):
    """Segments cannot become one file. The text names the file and the cause."""

    exit_code = EX_CANTCREAT


def join(session: Session, out: Path, advance: Callable[[int], None] = lambda _: None) -> int:
    """Write the fused video of ``session`` to ``out``; returns its frames.

    ``advance`` hears how many frames each finished segment brought. What a crash cut off ends where it was
    cut. Raises JoinError and ImageError (the file cannot be written).
    """
    if out.suffix.lower() not in (".mp4", ".mov", ".m4v"):
        raise JoinError(f"{out}: the name must end with .mp4, .m4v or .mov; choose such a name")
    records = [record for record in session.hdr_records() if record.file is not None]
    files = list(dict.fromkeys(str(record.file) for record in records))
    paths = [session.path / file for file in files]
    if not paths:
        raise JoinError(
            f"{session.path}: no fused video was recorded; set hdr.enabled, or run twinhdr refuse"
        )
    written = 0

    def write(temporary: Path) -> None:
        nonlocal written
        written = _remux(paths, temporary, _made(session, records), advance)
        light = content_light(records)
        if light is not None:
            patch_content_light(temporary, light.sei_safe())

    replace_atomically(out, write)
    return written


def content_light(records: Iterable[HdrRecord]) -> ContentLight | None:
    """MaxCLL and MaxFALL over all frames; None for HLG."""
    shown = [(r.peak_nits, r.average_nits) for r in records if r.peak_nits is not None]
    if not shown:
        return None
    peak, average = max(p for p, _ in shown), max(a or 0.0 for _, a in shown)
    return ContentLight(max(1, round(peak)), max(1, round(average)))


def _made(session: Session, records: Sequence[HdrRecord]) -> str | None:
    """When the first frame was taken (UTC), as players show it; None where the clock was not known."""
    try:
        begin = datetime.datetime.fromisoformat(session.header.started_utc)
    except ValueError:
        return None
    offset = datetime.timedelta(microseconds=(records[0].t_ns - session.origin_ns) / 1e3)
    return (begin + offset).isoformat(timespec="milliseconds")


def _remux(paths: Sequence[Path], out: Path, made: str | None, advance: Callable[[int], None]) -> int:
    import av

    template = _Segment(paths[0])
    frames, last_dts, first_pts = 0, None, None
    try:
        options = {"movflags": "faststart", "video_track_timescale": str(template.time_base.denominator)}
        with av.open(str(out), "w", format="mp4", options=options) as container:
            stream = container.add_stream_from_template(template.stream, opaque=True)
            stream.codec_context.codec_tag = template.tag
            stream.time_base = template.time_base
            if made is not None:
                container.metadata["creation_time"] = made
            for number, path in enumerate(paths):
                segment = template if number == 0 else _Segment(path)
                segment.must_match(template)
                count = 0
                for packet in segment.packets():
                    first_pts = packet.pts if first_pts is None else first_pts
                    packet.pts, packet.dts = packet.pts - first_pts, packet.dts - first_pts
                    if last_dts is not None and packet.dts <= last_dts:
                        raise JoinError(
                            f"{path}: begins before the file in front of it ends; join them by hand"
                        )
                    last_dts, count = packet.dts, count + 1
                    packet.stream = stream
                    container.mux(packet)
                frames += count
                advance(count)
                segment.close()
    except av.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror) from error
    finally:
        template.close()
    if not frames:
        raise JoinError(f"{paths[0]}: holds no frame that can be read; there is nothing to join")
    return frames


def _without_parameter_sets(packet: Any) -> Any:
    """The same packet; FFmpeg's own filter for this would leave start codes where MP4 wants lengths."""
    import av

    data = bytes(packet)
    kept = without_parameter_sets(data)
    if len(kept) == len(data):
        return packet
    bare = av.Packet(kept)
    bare.pts, bare.dts, bare.duration = packet.pts, packet.dts, packet.duration
    bare.time_base, bare.is_keyframe = packet.time_base, packet.is_keyframe
    return bare


class _Segment:
    """One file of ours, read as packets. Raises JoinError where it is none."""

    def __init__(self, path: Path) -> None:
        import av

        self.path = path
        try:
            self._container = av.open(str(path))
            self.stream: Any = self._container.streams.video[0]
        except (av.FFmpegError, OSError, IndexError) as error:
            raise JoinError(f"{path}: cannot be read: {error}; copy it again, or move it away") from error
        self.time_base: Fraction = self.stream.time_base
        self.is_hevc = self.stream.codec_context.name == "hevc"
        self.tag = "hvc1" if self.is_hevc else "av01"

    def must_match(self, other: _Segment) -> None:
        """One sample entry has to describe all files."""
        mine, theirs = self._shape(), other._shape()
        if mine != theirs:
            raise JoinError(
                f"{self.path}: was encoded otherwise than {other.path.name}; join what is alike, file by file"
            )

    def packets(self) -> Iterator[Any]:
        """In order; a file that breaks off ends there."""
        import av

        try:
            for packet in self._container.demux(self.stream):
                if packet.is_corrupt:  # cut in the middle
                    return
                if packet.dts is not None and packet.size:
                    yield _without_parameter_sets(packet) if self.is_hevc else packet
        except av.error.InvalidDataError:
            return

    def close(self) -> None:
        self._container.close()

    def _shape(self) -> tuple[object, ...]:
        context = self.stream.codec_context
        extra = bytes(context.extradata or b"")
        sets = parameter_sets(extra) if self.is_hevc else (extra,)
        return context.name, context.width, context.height, self.time_base, sets
