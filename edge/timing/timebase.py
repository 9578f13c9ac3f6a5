"""One time for both cameras: session time, on the reference camera's clock."""

from __future__ import annotations

from edge.frames import CameraName, Frame
from edge.timing.clock import ClockFit, ClockLine

HOLD_NS = 500_000_000
HOLD_FRAMES = 12
"""How long the first reference frames wait for the secondary clock, so that they can have a pair."""
EDGE_SLACK_NS = 20_000_000
"""Two first frames begin this far apart at most, on clocks not yet well known, if none was lost before."""
MAX_WAITING = 32
MIN_STEP_NS = 1_000_000
"""Session time never runs backwards: a correction of the clocks shows as frames this close together."""


class TimeBase:
    """Session time for the frames of both cameras: ns of the reference camera's clock, in real units.

    Zero is the common start edge: the beginning of the first exposure that arrived. The first frames wait
    until the tick ratio of their camera is known, those of the reference also for the secondary's, but not
    long. Each camera's times rise strictly. A camera that was restarted goes on where the host's clock says
    that it is.
    """

    def __init__(self) -> None:
        self.reference = ClockFit()
        self.secondary = ClockFit()
        self._waiting: list[Frame] = []
        self._given_up: list[Frame] = []
        self._last_ns: dict[CameraName, int] = {}
        self._epochs: dict[CameraName, int] = {}
        self._epoch_device_ns: int | None = None
        self._epoch_host_ns: float | None = None
        self._begin: Frame | None = None
        self._held = True

    def stamp(self, frame: Frame) -> list[tuple[Frame, int]]:
        """Take one frame; return (frame, t_ns) for each that can be placed, in order of arrival."""
        same_run = self._epochs.setdefault(frame.camera, frame.epoch) == frame.epoch
        if not same_run or not self._fit(frame.camera).continues(frame.t_device_ns, frame.t_host_ns):
            self._epochs[frame.camera] = frame.epoch
            self._restart(frame.camera)
        self._fit(frame.camera).observe(frame.t_device_ns, frame.t_host_ns, frame.exposure.exposure_us)
        if self._begin is None and frame.camera == "reference":
            self._begin = frame
        self._waiting.append(frame)
        placed = [] if self._hold(frame) else self._place_all()
        while len(self._waiting) > MAX_WAITING:
            self._given_up.append(self._waiting.pop(0))
        return placed

    def given_up(self) -> list[Frame]:
        """Frames that found no place in time since the last call: their camera's clock never settled."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def drift_ppm(self) -> float | None:
        """Secondary clock against the reference clock; positive where the secondary runs fast."""
        if self.reference.line is None or self.secondary.line is None:
            return None
        return self.secondary.line.drift_ppm - self.reference.line.drift_ppm

    def _fit(self, camera: CameraName) -> ClockFit:
        return self.reference if camera == "reference" else self.secondary

    def _restart(self, camera: CameraName) -> None:
        """A new run of a device clock. The session's zero is remembered on the host's clock meanwhile."""
        self._given_up += [f for f in self._waiting if f.camera == camera]
        self._waiting = [f for f in self._waiting if f.camera != camera]
        if camera == "secondary":
            self.secondary = ClockFit()
            return
        if self.reference.line is not None and self._epoch_device_ns is not None:
            self._epoch_host_ns = self.reference.line.to_host(self._epoch_device_ns)
        self._begin = self._epoch_device_ns = None
        self.reference = ClockFit()

    def _hold(self, frame: Frame) -> bool:
        """Whether the first reference frames still wait for the secondary clock."""
        if self._held:
            waiting = sum(f.camera == "reference" for f in self._waiting)
            settled = self.reference.line is not None and self.secondary.line is not None
            waited_ns = 0 if self._begin is None else frame.t_host_ns - self._begin.t_host_ns
            self._held = not settled and waiting < HOLD_FRAMES and waited_ns < HOLD_NS
        return self._held

    def _place_all(self) -> list[tuple[Frame, int]]:
        placed: list[tuple[Frame, int]] = []
        waiting: list[Frame] = []
        for frame in self._waiting:
            t_ns = self._place(frame)
            if t_ns is None:
                waiting.append(frame)
            else:
                placed.append((frame, t_ns))
        self._waiting = waiting
        return placed

    def _place(self, frame: Frame) -> int | None:
        reference = self.reference.line
        if reference is None:
            return None
        epoch_ns = self._epoch(reference)
        t_device_ns: float = frame.t_device_ns
        if frame.camera == "secondary":
            if self.secondary.line is None:
                return None
            t_device_ns = reference.to_device(self.secondary.line.to_host(frame.t_device_ns))
        t_ns = round((t_device_ns - epoch_ns) / reference.tick_ratio)
        last_ns = self._last_ns.get(frame.camera)
        if last_ns is not None and t_ns <= last_ns:
            t_ns = last_ns + MIN_STEP_NS
        self._last_ns[frame.camera] = t_ns
        return t_ns

    def _epoch(self, reference: ClockLine) -> int:
        """The session's zero on the reference camera's clock."""
        if self._epoch_device_ns is None:
            if self._epoch_host_ns is not None:
                self._epoch_device_ns = round(reference.to_device(self._epoch_host_ns))
            else:
                self._epoch_device_ns = self._first_exposure(reference)
        return self._epoch_device_ns

    def _first_exposure(self, reference: ClockLine) -> int:
        """The common start edge: begin of the first reference exposure, or of an earlier secondary one."""
        assert self._begin is not None, "a reference line comes from reference frames"
        begin_ns = self._begin.t_device_ns - _half_ns(self._begin) * reference.tick_ratio
        line, first = self.secondary.line, next((f for f in self._waiting if f.camera == "secondary"), None)
        if line is not None and first is not None:
            early_ns = reference.to_device(line.to_host(first.t_device_ns) - _half_ns(first))
            if begin_ns - early_ns > EDGE_SLACK_NS * reference.tick_ratio:
                begin_ns = early_ns
        return round(begin_ns)


def _half_ns(frame: Frame) -> float:
    return frame.exposure.exposure_us * 500.0
