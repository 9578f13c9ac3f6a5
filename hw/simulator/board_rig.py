"""Two cameras of known geometry that film a board which a patient person holds from one pose to the next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.frames import CameraName, Exposure, FloatImage, Frame
from hw.camera import CameraInfo, EndOfRecordingError
from hw.simulator.board_view import BoardCamera, Eye
from hw.simulator.motion import Matrix
from hw.simulator.sensor import Sensor, expose

Pose = tuple[Matrix, Matrix]
"""Rotation (3, 3), and place of the board's upper left corner (3,), before the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class BoardScene:
    """What is filmed: the board's picture (h, w) in [0, 1], its size, its poses, and both eyes."""

    texture: FloatImage
    size_m: tuple[float, float]
    poses: Sequence[Pose]
    reference: Eye
    secondary: Eye
    width: int = 480
    height: int = 270
    seed: int = 1
    frames_per_pose: int = 4
    """Of the reference; the secondary has half as many."""
    period_ns: int = 33_333_333
    cycle: tuple[Exposure, Exposure] = (Exposure(4_000.0), Exposure(16_000.0))
    sensor: Sensor = field(default_factory=Sensor)


class BoardRig:
    """``hw.camera.Rig`` over a `BoardScene`. Films as fast as it is read; ends after the last pose."""

    def __init__(self, scene: BoardScene) -> None:
        self._reference = BoardSource("reference", scene)
        self._secondary = BoardSource("secondary", scene)

    @property
    def reference(self) -> BoardSource:
        return self._reference

    @property
    def secondary(self) -> BoardSource:
        return self._secondary

    @property
    def trigger(self) -> BoardRig:
        return self

    def start(self) -> int:
        """The common edge, at 0 of both clocks."""
        return 0

    def stop(self) -> None:
        """Nothing to drop."""


class BoardSource:
    """One camera of the rig. Stamps of both cameras are of one clock."""

    def __init__(self, name: CameraName, scene: BoardScene) -> None:
        self._name: CameraName = name
        self._scene = scene
        self._own = name == "reference"
        eye = scene.reference if self._own else scene.secondary
        self._camera = BoardCamera(eye, scene.width, scene.height)
        self._seq = 0
        self._shown: tuple[int, FloatImage] | None = None
        self._stopped = threading.Event()

    @property
    def info(self) -> CameraInfo:
        sensor, scene = self._scene.sensor, self._scene
        return CameraInfo(
            self._name,
            "twinhdr board simulator",
            self._name,
            scene.width,
            scene.height,
            sensor.pixel_format,
            sensor.bit_depth,
            sensor.black,
            sensor.white,
            scene.period_ns / 1e3 * (1 if self._own else 2),
        )

    def start(self) -> None:
        """Nothing to arm."""

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """The scene says what is exposed."""

    def stop(self) -> None:
        self._stopped.set()

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame. Raises EndOfRecordingError after the last pose."""
        if self._stopped.is_set():
            return None
        per_pose = self._scene.frames_per_pose // (1 if self._own else 2)
        which = self._seq // per_pose
        if which >= len(self._scene.poses):
            raise EndOfRecordingError(f"{self._name}: the board was shown in all its poses")
        seq, self._seq = self._seq, self._seq + 1
        return self._frame(seq, self._light(which))

    def _light(self, which: int) -> FloatImage:
        if self._shown is None or self._shown[0] != which:
            rotation, position = self._scene.poses[which]
            seen = self._camera.see(self._scene.texture, self._scene.size_m, rotation, position)
            self._shown = which, seen
        return self._shown[1]

    def _frame(self, seq: int, light: FloatImage) -> Frame:
        scene = self._scene
        base = Exposure(8_000.0)
        exposure = base if self._own else scene.cycle[seq % 2]
        # The secondary films in the middle between two reference frames.
        at = seq * scene.period_ns if self._own else (2 * seq + 1) * scene.period_ns - scene.period_ns // 2
        rng = np.random.Generator(np.random.PCG64((scene.seed, self._own, seq)))
        image = expose(light, scene.sensor, exposure.light / base.light, 0.0, rng)
        return Frame(
            self._name,
            seq,
            at,
            at + 1_000_000,
            exposure,
            image,
            scene.sensor.pixel_format,
            scene.sensor.bit_depth,
        )
