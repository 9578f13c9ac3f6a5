"""The simulated camera: registers that act, and a thread that films and sends."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.frames import Exposure
from hw.simulator.gige import memory as at
from hw.simulator.gige.exposures import Programs, Sequencer, program
from hw.simulator.gige.features import SOURCES, TRIGGERS, Settings, table
from hw.simulator.gige.genicam import description
from hw.simulator.gige.gvcp import ACCESS_DENIED, INVALID_PARAMETER, Action, RefusedError, Resend
from hw.simulator.gige.gvsp import Route
from hw.simulator.gige.options import Options
from hw.simulator.gige.pixels import BY_CODE
from hw.simulator.gige.shutter import Plan, Shutter, Starts

_CHUNK_BYTES = 16
_OVERHEAD_NS = 100_000
"""What a sensor needs between two exposures."""
_FASTEST_HZ = 120.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One exposure that is to be taken. ``number`` counts from the start of the acquisition on."""

    number: int
    begin_ns: int
    exposure: Exposure
    acquisition: int


class Device:
    """State of one camera behind one lock; ``changed`` is notified whenever the stream may have work.

    Implements ``gvcp.Behaviour``. ``fire_test`` and ``resend_packets`` reach into the stream.
    """

    def __init__(self, options: Options, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.options = options
        self.stuck = False
        """Whether every exposure repeats the counts of the first one since then; SIGUSR1 changes it."""
        rows = table(options.abilities)
        xml = description(rows, vendor=options.vendor, model=options.model)
        self.memory = at.Memory(xml)
        mac = 0x0200_0000_0000 | int.from_bytes(options.serial.encode()[-5:], "big")
        at.bootstrap(
            self.memory,
            address=options.interface,
            mac=mac,
            vendor=options.vendor,
            model=options.model,
            serial=options.serial,
            xml=len(xml),
        )
        self.settings = Settings(rows, self.memory)
        self.changed = threading.Condition(threading.RLock())
        self.fire_test: Callable[[Route], None] = lambda route: None
        self.resend_packets: Callable[[Resend, Route], None] = lambda request, route: None
        self.shutter = Shutter()
        self.acquisition = 0
        self._monotonic_ns = monotonic_ns
        self._boot_ns = monotonic_ns()
        self._sequencer = Sequencer()
        self._programs = Programs(options.faults.exposure_lag)
        self._number = 0
        self.memory.after_write = self._written
        self._settle()

    # What the control channel asks of it.

    def check(self, address: int, data: bytes) -> None:
        """See Behaviour."""
        found = self.settings.owner(address)
        if found is None:
            return
        row, _ = found
        if len(data) != row.size:
            raise RefusedError(INVALID_PARAMETER, f"{row.name} is {row.size} bytes long")
        if not row.writable or (row.locked and self.shutter.acquiring):
            raise RefusedError(ACCESS_DENIED, f"{row.name} cannot be written now")
        if not row.accepts(_value(row.kind, data)):
            raise RefusedError(INVALID_PARAMETER, f"{row.name} is out of its range")

    def resend(self, request: Resend) -> None:
        """See Behaviour."""
        route = self.route()
        if self.options.faults.resend and route is not None:
            self.resend_packets(request, route)

    def action(self, action: Action) -> bool:
        """See Behaviour."""
        settings = self.settings
        mine = (
            action.device_key == settings.whole("ActionDeviceKey")
            and action.group_key == settings.whole("ActionGroupKey")
            and bool(action.group_mask & settings.whole("ActionGroupMask"))
        )
        if mine:
            self.edge(SOURCES["Action1"], self._monotonic_ns())
        return mine

    def released(self) -> None:
        """See Behaviour: without a controller nothing is sent."""
        with self.changed:
            self.shutter.stop()
            self.memory.put_word(at.STREAM_PORT, 0)
            self.changed.notify_all()

    def edge(self, source: int, t_ns: int) -> bool:
        """A wire (SOURCES) rose at ``t_ns`` of CLOCK_MONOTONIC; whether it started anything."""
        with self.changed:
            started = self.shutter.edge(source, t_ns)
            self.changed.notify_all()
            return started

    # What the stream asks of it.

    def route(self) -> Route | None:
        """Where frames go; None while no client has opened the stream channel."""
        port = self.memory.word(at.STREAM_PORT) & 0xFFFF
        if port == 0:
            return None
        address = ".".join(map(str, self.memory.read(at.STREAM_ADDRESS, 4)))
        return Route(address, port, self.memory.word(at.STREAM_PACKET_SIZE) & 0xFFFF)

    def take_shot(self, late: bool, phase: int) -> Shot | None:
        """The next exposure if its time has come. The lock must be held."""
        begin_ns = self.shutter.next_begin()
        if begin_ns is None or begin_ns > self._monotonic_ns():
            return None
        exposure = self._programs.for_frame(begin_ns, late).of(self._number, phase)
        shot = Shot(self._number, begin_ns, exposure, self.acquisition)
        self.shutter.took(begin_ns)
        self._number += 1
        return shot

    def skip_missed(self, behind_ns: int) -> int:
        """Give up exposures that lie more than ``behind_ns`` back: the process stood still. How many."""
        skipped = self.shutter.skip_to(self._monotonic_ns() - behind_ns)
        self._number += skipped
        return skipped

    def stamp(self, t_ns: int) -> int:
        """The device's clock at ``t_ns`` of CLOCK_MONOTONIC."""
        return self.options.clock.at(t_ns - self._boot_ns)

    # Registers that act.

    def _written(self, address: int, length: int) -> None:
        with self.changed:
            if address == at.STREAM_PACKET_SIZE:
                self._packet_size()
            elif address == at.TIMESTAMP_CONTROL:
                self._timestamp_control()
            found = self.settings.owner(address)
            if found is not None:
                self._obey(found[0].name)
            self._settle()
            self.changed.notify_all()

    def _packet_size(self) -> None:
        value = self.memory.word(at.STREAM_PACKET_SIZE)
        route = self.route()
        if value & at.FIRE_TEST_PACKET:
            self.memory.put_word(at.STREAM_PACKET_SIZE, value & ~at.FIRE_TEST_PACKET)
            if route is not None:
                self.fire_test(route)

    def _timestamp_control(self) -> None:
        control = self.memory.word(at.TIMESTAMP_CONTROL)
        now_ns = self._monotonic_ns()
        if control & at.TIMESTAMP_LATCH:
            self.memory.put(at.TIMESTAMP_VALUE, (self.stamp(now_ns) % (1 << 64)).to_bytes(8, "big"))
        if control & at.TIMESTAMP_RESET:
            self._boot_ns = now_ns
        self.memory.put_word(at.TIMESTAMP_CONTROL, 0)

    def _obey(self, name: str) -> None:
        if name == "AcquisitionStart":
            self._start()
        elif name == "AcquisitionStop":
            self.shutter.stop()
        elif name == "TriggerSoftware":
            self.edge(SOURCES["Software"], self._monotonic_ns())
        elif name == "SequencerSetSave":
            self._sequencer.save(self.settings)
        elif name == "SequencerSetLoad":
            self._sequencer.load(self.settings)

    def _start(self) -> None:
        if self.shutter.acquiring:
            return
        self.acquisition += 1
        self._number = 0
        self._programs.restart()
        self.shutter.start(self._monotonic_ns(), self._plan())

    def _settle(self) -> None:
        """Bring everything that follows from the settings in line with them."""
        settings, now_ns = self.settings, self._monotonic_ns()
        shape = BY_CODE[settings.whole("PixelFormat")]
        pixels = settings.whole("Width") * settings.whole("Height")
        chunks = settings.has("ChunkModeActive") and settings.whole("ChunkModeActive")
        enabled = sum(settings.whole("ChunkEnable", i) for i in range(3)) if chunks else 0
        image_and_its_chunk = pixels * shape.pixel_bits // 8 + (8 if chunks else 0)
        settings.put("PayloadSize", image_and_its_chunk + enabled * _CHUNK_BYTES)
        options = self.options
        now = program(settings, self._sequencer, options.abilities.hdr, options.hdr_cycle)
        self._programs.record(now_ns, now)
        plan = self._plan()
        settings.put("ResultingFrameRate", 1e9 / plan.period_ns)
        self.shutter.replan(now_ns, plan)

    def _plan(self) -> Plan:
        settings = self.settings
        wanted = (
            settings.get("AcquisitionFrameRate")
            if settings.get("AcquisitionFrameRateEnable")
            else _FASTEST_HZ
        )
        own_ns = max(1e9 / wanted, self._longest_us() * 1e3 + _OVERHEAD_NS)
        period_ns = round(own_ns * self.options.clock.true_per_own)
        starts = {"FrameStart": Starts.FRAME, "FrameBurstStart": Starts.BURST, "AcquisitionStart": Starts.RUN}
        for name, kind in starts.items():
            index = TRIGGERS[name]
            if settings.get("TriggerMode", index):
                return Plan(
                    kind,
                    settings.whole("TriggerSource", index),
                    round(settings.get("TriggerDelay", index) * 1e3),
                    period_ns,
                    settings.whole("AcquisitionBurstFrameCount"),
                )
        return Plan(period_ns=period_ns)

    def _longest_us(self) -> float:
        now = program(self.settings, self._sequencer, self.options.abilities.hdr, self.options.hdr_cycle)
        if now.sets:
            return max(row.exposure.exposure_us for row in now.sets[:2])
        return max((e.exposure_us for e in now.polling), default=now.constant.exposure_us)


def _value(kind: str, data: bytes) -> float:
    return float(struct.unpack(">d", data)[0]) if kind == "float" else float(int.from_bytes(data, "big"))
