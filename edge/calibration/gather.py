"""Material for calibration out of a recording: instants for features, views of the board."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from edge.calibration.board import Board, Detection, find_board
from edge.calibration.features import Instant
from edge.calibration.guide import is_new
from edge.calibration.shots import MaterialError, Shot
from edge.calibration.views import View
from edge.develop.linear import DevelopSettings, develop
from edge.frames import CameraName, FloatImage, Frame, FrameStatus
from edge.fuse.assembly import develop_settings
from edge.session.config import session_config
from edge.session.recording import Session

KEPT = 8
"""Frames of each camera that wait for the other's."""
STILL_PX = 3.0
"""Corners that move by more between two reference frames are blurred, and their way between them a guess."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A secondary frame and the reference frames before and after it, as filmed; times in ns on one clock."""

    before: Frame
    after: Frame
    secondary: Frame
    share: float

    @property
    def name(self) -> str:
        """For people: the secondary's number."""
        return f"secondary frame {self.secondary.seq}"


class Darkroom:
    """Develops the frames of a pair of cameras."""

    def __init__(self, reference: DevelopSettings, secondary: DevelopSettings) -> None:
        self._settings: dict[CameraName, DevelopSettings] = {"reference": reference, "secondary": secondary}

    @classmethod
    def of(cls, session: Session) -> Darkroom:
        """As the recording was developed. Raises SessionError."""
        config, header = session_config(session.header.config, session.path), session.header
        mine, other = (
            develop_settings(config, header.cameras[name], header.transfer)
            for name in ("reference", "secondary")
        )
        return cls(mine, other)

    def develop(self, frame: Frame) -> FloatImage:
        """(H, W, 3) float32 linear in [0, 1]."""
        return develop(frame.image, frame.pixel_format, self._settings[frame.camera])


class MomentBuffer:
    """Puts frames of two cameras, which come in any order between the cameras, together to moments."""

    def __init__(self) -> None:
        self._references: deque[tuple[Frame, int]] = deque(maxlen=KEPT)
        self._waiting: deque[tuple[Frame, int]] = deque(maxlen=KEPT)

    def add(self, frame: Frame, t_ns: int) -> list[Moment]:
        """The moments that this frame completes."""
        if frame.status is not FrameStatus.OK:
            return []
        (self._waiting if frame.camera == "secondary" else self._references).append((frame, t_ns))
        ready, late = [], deque[tuple[Frame, int]](maxlen=KEPT)
        for item in self._waiting:
            moment = self._around(*item)
            if moment is not None:
                ready.append(moment)
            elif not self._references or item[1] > self._references[-1][1]:
                late.append(item)
        self._waiting = late
        return ready

    def _around(self, secondary: Frame, t_ns: int) -> Moment | None:
        for before, after in pairwise(self._references):
            if before[1] <= t_ns <= after[1]:
                share = (t_ns - before[1]) / max(1, after[1] - before[1])
                return Moment(before[0], after[0], secondary, share)
        return None


def moments(frames: Iterable[tuple[Frame, int]], times: Sequence[int] | None = None) -> Iterator[Moment]:
    """Secondary frames with the reference frames around them, from frames with times, in order of time.

    ``times`` asks for the next secondary frame at or after each of them (rising, ns); None: for all.
    """
    buffer = MomentBuffer()
    due = None if times is None else deque(times)
    for frame, t_ns in frames:
        if frame.camera == "secondary" and due is not None:
            if not due or t_ns < due[0]:
                continue
            while due and due[0] <= t_ns:
                due.popleft()
        ready = buffer.add(frame, t_ns)
        yield from ready
        if due is not None and not due and ready:
            return


def session_moments(session: Session, count: int) -> Iterator[Moment]:
    """About ``count`` moments spread evenly over a recording, low and high exposures in turn."""
    stamps = [record.t_ns for record in session.frame_records("secondary") if record.file is not None]
    if not stamps:
        raise MaterialError(
            f"{session.path}: no secondary frame was kept; record with masters.enabled and calibrate from "
            f"that"
        )
    step = max(1, len(stamps) // max(count, 1))
    step += step % 2 == 0 and step > 1  # an odd step meets every exposure of the cycle of two
    return moments(_in_order(session), stamps[::step])


def instants(session: Session, count: int) -> Iterator[Instant]:
    """``session_moments``, developed. Raises SessionError, MaterialError."""
    room = Darkroom.of(session)
    found = False
    for moment in session_moments(session, count):
        found = True
        yield instant_of(moment, room)
    if not found:
        told = "; ".join(session.problems[:2]) or "no secondary frame lies between two reference frames"
        raise MaterialError(f"{session.path}: {told}")


def instant_of(moment: Moment, room: Darkroom) -> Instant:
    """The images of a moment."""
    return Instant(
        moment.name,
        room.develop(moment.before),
        room.develop(moment.after),
        moment.share,
        room.develop(moment.secondary),
        moment.secondary.exposure.light / moment.before.exposure.light,
    )


def board_shots(session: Session, board: Board, count: int) -> Iterator[tuple[Shot, View]]:
    """Views of the board from a recording: about ``count`` tries, those that say nothing new left out.

    Raises SessionError, MaterialError.
    """
    room, size = Darkroom.of(session), session_size(session)
    taken: list[View] = []
    for moment in session_moments(session, count):
        shot, view = shot_of(moment, room, board)
        seen = [found for found in (view.reference, view.secondary) if found is not None]
        if not seen or (
            all(len(found.ids) for found in seen) and len(seen) == 2 and not is_new(view, taken, board, size)
        ):
            continue
        taken.append(view)
        yield shot, view


def shot_of(moment: Moment, room: Darkroom, board: Board) -> tuple[Shot, View]:
    """The board as both cameras saw it in the secondary's moment, and the pictures.

    The reference's corners are interpolated to that moment; a board that moves too fast is not seen.
    """
    images = [room.develop(frame) for frame in (moment.before, moment.after, moment.secondary)]
    ratio = moment.secondary.exposure.light / moment.before.exposure.light
    shot = Shot(moment.name, images[0], images[2], ratio)
    before, after = (find_board(board_grey(image), board) for image in images[:2])
    secondary = find_board(board_grey(images[2], 1.0 / ratio), board)
    return shot, View(moment.name, _between(before, after, moment.share), secondary)


def _between(before: Detection | None, after: Detection | None, share: float) -> Detection | None:
    if before is None or after is None or before.mirrored:
        return before
    ids, i, j = np.intersect1d(before.ids, after.ids, return_indices=True)
    if not len(ids):
        return None
    start, end = before.corners[i], after.corners[j]
    if float(np.median(np.hypot(*(end - start).T))) > STILL_PX:
        return None
    return Detection(ids.astype(np.int32), (start + np.float32(share) * (end - start)).astype(np.float32))


def board_grey(image: FloatImage, scale: float = 1.0) -> FloatImage:
    """Grey, brightened where the exposure was shorter; never darkened: clipped paper would become grey."""
    grey: FloatImage = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return grey * np.float32(scale) if scale > 1.0 else grey


def _in_order(session: Session) -> Iterator[tuple[Frame, int]]:
    return heapq.merge(session.stamped("reference"), session.stamped("secondary"), key=lambda item: item[1])


def session_size(session: Session) -> tuple[int, int]:
    """Width and height of both cameras' pictures. Raises MaterialError where they differ."""
    sizes = {name: (info.width, info.height) for name, info in session.header.cameras.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {w}x{h}" for name, (w, h) in sizes.items())
        raise MaterialError(
            f"{session.path}: pictures of different sizes ({told}); give both cameras one ROI"
        )
    return sizes["reference"]
