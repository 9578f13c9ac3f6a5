"""The thread that films: waits for each exposure, takes it of the film, sends it, notes the truth."""

from __future__ import annotations

import json
import struct
import time
from typing import IO, Any

import numpy as np

from edge.frames import Exposure
from hw.simulator.gige.device import Device, Shot
from hw.simulator.gige.features import CHUNKS
from hw.simulator.gige.film import Film, Noise, picture_at
from hw.simulator.gige.gvsp import Leader, Stream, chunk, packets
from hw.simulator.gige.pixels import BY_CODE
from hw.simulator.sensor import Sensor

_IMAGE_CHUNK = 0x1000
_BEHIND_NS = 500_000_000
_LAST_BLOCK = 0xFFFF


class Projector:
    """Films until ``stop``. ``truth`` gets one JSON line for each exposure, sent or not."""

    def __init__(self, device: Device, film: Film, stream: Stream, truth: IO[str] | None) -> None:
        self._device = device
        self._film = film
        self._stream = stream
        self._truth = truth
        self._noise = Noise(Sensor(), device.options.faults.seed)
        self._rng = np.random.Generator(np.random.SFC64((device.options.faults.seed, 7)))
        self._stopping = False
        self._acquisition = 0
        self._block = 0
        self._phase = 0
        self._kept = b""

    def stop(self) -> None:
        with self._device.changed:
            self._stopping = True
            self._device.changed.notify_all()

    def run(self) -> None:
        while not self._stopping:
            shot = self._wait()
            if shot is not None:
                self._take(shot)

    def _chance(self, per_mille: float) -> bool:
        return per_mille > 0 and float(self._rng.random()) * 1000.0 < per_mille

    def _wait(self) -> Shot | None:
        """The next exposure when it begins, or None after half a second, or when it was called off."""
        device = self._device
        with device.changed:
            self._block += device.skip_missed(_BEHIND_NS)
            if device.acquisition != self._acquisition:
                self._acquisition, self._block = device.acquisition, 0
                self._phase = int(self._rng.integers(4))
            begin_ns = device.shutter.next_begin()
            now_ns = time.monotonic_ns()
            if begin_ns is None or begin_ns > now_ns:
                device.changed.wait(0.5 if begin_ns is None else min(0.5, (begin_ns - now_ns) / 1e9))
                return None
            return device.take_shot(self._chance(device.options.faults.late_exposure), self._phase)

    def _take(self, shot: Shot) -> None:
        options = self._device.options
        faults = options.faults
        if shot.number == 0 and faults.first_frame_missing:
            self._note(shot, None, "never sent")
            return
        self._block = self._block % _LAST_BLOCK + 1
        end_ns = shot.begin_ns + round(shot.exposure.exposure_us * 1e3)
        payload, leader = self._expose(shot)
        if not self._called_off(shot, end_ns + round(options.readout_us * 1e3)):
            return
        route = self._device.route()
        if route is None:
            self._note(shot, leader, "no client")
            return
        whole = packets(leader, memoryview(payload), route.packet_size)
        if self._chance(faults.lost_frames):
            self._note(shot, leader, "lost")
            return
        damaged = self._chance(faults.damaged_frames)
        missing = self._missing(len(whole), damaged)
        self._note(shot, leader, "damaged" if damaged else "sent")
        self._stream.send(self._block, whole, route, missing, kept=faults.resend and not damaged)

    def _missing(self, count: int, damaged: bool) -> set[int]:
        """Which packets the network swallows. A damaged frame keeps its leader and trailer."""
        missing: set[int] = set()
        loss = self._device.options.faults.packet_loss
        if loss > 0:
            missing = set(np.flatnonzero(self._rng.random(count) * 1000.0 < loss).tolist())
        if damaged:
            missing.add(int(self._rng.integers(1, max(count - 1, 2))))
        return missing

    def _called_off(self, shot: Shot, due_ns: int) -> bool:
        """Wait until ``due_ns``; False where the acquisition was stopped meanwhile."""
        device = self._device
        with device.changed:
            while True:
                if self._stopping or not device.shutter.acquiring or device.acquisition != shot.acquisition:
                    return False
                left_ns = due_ns - time.monotonic_ns()
                if left_ns <= 0:
                    return True
                device.changed.wait(left_ns / 1e9)

    def _expose(self, shot: Shot) -> tuple[bytes, Leader]:
        device = self._device
        settings, options = device.settings, device.options
        kind = BY_CODE[settings.whole("PixelFormat")]
        width, height = settings.whole("Width"), settings.whole("Height")
        x, y = settings.whole("OffsetX"), settings.whole("OffsetY")
        middle_ns = shot.begin_ns + round(shot.exposure.exposure_us * 500)
        picture = self._film[picture_at(middle_ns, options.film)][y : y + height, x : x + width]
        ratio = shot.exposure.light / Exposure(options.reference_exposure_us).light
        gain = 10.0 ** (shot.exposure.gain_db / 20.0)
        counts = self._noise.expose(picture, ratio, gain, kind.bit_depth)
        if not (device.stuck and self._kept):
            self._kept = kind.pack(counts).tobytes()
        payload = self._kept
        moments = {
            "begin": shot.begin_ns,
            "middle": middle_ns,
            "end": shot.begin_ns + round(shot.exposure.exposure_us * 1e3),
        }
        stamp = self._device.stamp(moments[options.stamp])
        chunks = self._chunks(shot, payload, stamp)
        leader = Leader(self._block, stamp, kind.code, width, height, x, y, with_chunks=chunks is not None)
        return payload if chunks is None else chunks, leader

    def _chunks(self, shot: Shot, payload: bytes, stamp: int) -> bytes | None:
        settings = self._device.settings
        if not settings.has("ChunkModeActive") or not settings.get("ChunkModeActive"):
            return None
        values = {
            "ExposureTime": struct.pack(">d", shot.exposure.exposure_us),
            "Gain": struct.pack(">d", shot.exposure.gain_db),
            "Timestamp": struct.pack(">Q", stamp % (1 << 64)),
        }
        parts = [chunk(_IMAGE_CHUNK, payload)]
        for index, (name, identity) in enumerate(CHUNKS.items()):
            if settings.get("ChunkEnable", index):
                parts.append(chunk(identity, values[name]))
        return b"".join(parts)

    def _note(self, shot: Shot, leader: Leader | None, fate: str) -> None:
        if self._truth is None:
            return
        line: dict[str, Any] = {
            "acquisition": shot.acquisition,
            "number": shot.number,
            "block": None if leader is None else leader.block,
            "begin_ns": shot.begin_ns,
            "exposure_us": shot.exposure.exposure_us,
            "gain_db": shot.exposure.gain_db,
            "stamp": None if leader is None else leader.stamp,
            "fate": fate,
        }
        self._truth.write(json.dumps(line) + "\n")
        self._truth.flush()
