"""The raw frames of one camera, put together from sidecar lines and master files, which may disagree.

The line says what a frame is, the file holds its pixels. A crash leaves lines without pixels (the line is
written first to last, a video fragment later); a lost disk cache leaves pixels without lines. Each mismatch
is reported once per file, and every frame that can be read is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from edge.encode.video_read import DamagedVideoError, read_master
from edge.errors import ImageError
from edge.frames import CameraName, Exposure, Frame, FrameStatus, Image
from edge.session.format import FrameRecord, SessionHeader
from edge.session.stills import dtype_of, read_counts
from hw.camera import CameraInfo

VIDEO_SUFFIXES = (".mkv", ".mp4", ".mov", ".avi")


class FrameReader:
    """Reads one camera once. ``report`` gets one text per problem."""

    def __init__(
        self,
        folder: Path,
        header: SessionHeader,
        camera: CameraName,
        origin_ns: int,
        report: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._camera = camera
        self._info = header.cameras[camera]
        self._transfer = header.transfer
        self._cycle = header.exposures[camera]
        self._origin_ns = origin_ns
        self._report = report
        self._decode = True
        self._recent: deque[FrameRecord] = deque(maxlen=len(self._cycle))

    def read(self, records: Iterable[FrameRecord]) -> Iterator[tuple[Frame, int]]:
        """Frames with their time on the reference clock in ns, in the order of the lines."""
        for record, image in self._items(records):
            yield frame_of(record, image, self._info), record.t_ns

    def find(self, records: Iterable[FrameRecord]) -> Iterator[FrameRecord]:
        """What ``read`` would yield, without its pixels: the record of every frame that is there."""
        self._decode = False
        for record, _ in self._items(records):
            yield record

    def _items(self, records: Iterable[FrameRecord]) -> Iterator[tuple[FrameRecord, Image]]:
        seen: set[str] = set()
        without_file = 0
        for file, group in groupby(records, key=lambda record: record.file):
            if file is None:
                for record in group:
                    without_file += record.status == "ok"
                    if record.status != "ok":
                        yield record, np.empty((0, 0), dtype_of(self._info))
                continue
            first_time = file not in seen
            seen.add(file)
            if file.lower().endswith(VIDEO_SUFFIXES):
                yield from self._video(file, list(group), guess=first_time)
            else:
                for record in group:
                    yield from self._still(file, record)
        for path in sorted((self._folder / self._camera).glob("*.mkv")):
            if f"{self._camera}/{path.name}" not in seen:
                yield from self._video(f"{self._camera}/{path.name}", [], guess=True)
        if without_file:
            self._report(
                f"{self._camera}: {without_file} frames were filmed but not kept; "
                "set masters.enabled to keep raw frames"
            )

    def _still(self, file: str, record: FrameRecord) -> Iterator[tuple[FrameRecord, Image]]:
        try:
            image = read_counts(self._folder / file, self._info, self._transfer)
        except ImageError as error:
            self._report(f"{error} (frame {record.seq} of {self._camera} is skipped)")
            return
        yield from self._deliver(record, image)

    def _video(
        self, file: str, records: Sequence[FrameRecord], *, guess: bool
    ) -> Iterator[tuple[FrameRecord, Image]]:
        listed = {record.index: record for record in records}
        guessed: list[int] = []
        damaged: list[int] = []
        cause = ""
        try:
            for index, pts_ns, image in read_master(self._folder / file, decode=self._decode):
                record = listed.pop(index, None)
                if isinstance(image, DamagedVideoError):
                    damaged.append(index)
                    cause = str(image)
                    continue
                if record is None and guess:
                    record = self._guess(index, pts_ns, file)
                    guessed.append(index)
                if record is not None:
                    yield from self._deliver(record, image)
        except DamagedVideoError as error:
            self._report(f"{file}: the file cannot be read further: {error}")
        if damaged:
            self._report(
                f"{file}: {len(damaged)} frames ({_spans(damaged)}) are damaged and skipped: {cause}"
            )
        if guessed:
            self._report_guessed(file, guessed)
        if listed:
            seqs = _spans(sorted(record.seq for record in listed.values()))
            self._report(
                f"{file}: {len(listed)} frames (seq {seqs}) are listed in frames.jsonl but not in the file; "
                "they were being written when the recording broke off"
            )

    def _guess(self, index: int, pts_ns: int, file: str) -> FrameRecord | None:
        """A record for a frame that has none: time from the video, exposure from one cycle before."""
        t_ns = self._origin_ns + pts_ns
        if not self._recent:
            if len(self._cycle) > 1:
                return None
            return self._record(index, t_ns, t_ns, t_ns, self._cycle[0], file, index)
        last = self._recent[-1]
        step = index - last.index if last.file == file and index > last.index else 1
        like = next((r for r in self._recent if (last.seq + step - r.seq) % len(self._cycle) == 0), last)
        device_ns = last.t_device_ns + (t_ns - last.t_ns)
        host_ns = last.t_host_ns + (t_ns - last.t_ns)
        return self._record(last.seq + step, t_ns, device_ns, host_ns, like.exposure, file, index)

    def _record(
        self, seq: int, t_ns: int, device_ns: int, host_ns: int, exposure: Exposure, file: str, index: int
    ) -> FrameRecord:
        return FrameRecord(
            kind=self._camera,
            seq=seq,
            t_ns=t_ns,
            t_device_ns=device_ns,
            t_host_ns=host_ns,
            exposure_us=exposure.exposure_us,
            gain_db=exposure.gain_db,
            file=file,
            index=index,
        )

    def _report_guessed(self, file: str, guessed: Sequence[int]) -> None:
        frames = f"{file}: {len(guessed)} frames ({_spans(guessed)}) have no line in frames.jsonl"
        if self._recent:
            self._report(f"{frames}; time is taken from the video, exposure from one cycle before")
        else:
            self._report(f"{frames}, nor has any before them, so their exposures are unknown; skipped")

    def _deliver(self, record: FrameRecord, image: Image) -> Iterator[tuple[FrameRecord, Image]]:
        info = self._info
        shape = (info.height, info.width, 3) if info.pixel_format == "rgb" else (info.height, info.width)
        if self._decode and (image.shape != shape or image.dtype != dtype_of(info)):
            self._report(
                f"{record.file}: {image.dtype} images of {image.shape}, and session.json says "
                f"{shape} with {info.bit_depth} bits; its frames are skipped"
            )
            return
        self._recent.append(record)
        yield record, image


def frame_of(record: FrameRecord, image: Image, info: CameraInfo) -> Frame:
    """The frame that a line of the sidecar and its pixels make."""
    return Frame(
        camera=info.name,
        seq=record.seq,
        t_device_ns=record.t_device_ns,
        t_host_ns=record.t_host_ns,
        exposure=record.exposure,
        image=image,
        pixel_format=info.pixel_format,
        bit_depth=info.bit_depth,
        status=FrameStatus(record.status),
    )


def _spans(numbers: Sequence[int]) -> str:
    """Sorted numbers as text: 3-5, 8."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans[:8])
    return text + (", ..." if len(spans) > 8 else "")
