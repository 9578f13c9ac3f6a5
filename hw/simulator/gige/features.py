"""What the simulated camera can be told: one table, from which its registers and its XML are made.

Names and meanings follow the GenICam SFNC 2.7; those that begin with HDR are Hikrobot's, in its own spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from hw.simulator.gige.memory import FEATURES_AT, Memory
from hw.simulator.gige.pixels import PIXEL_FORMATS

Kind = Literal["integer", "float", "enumeration", "boolean", "command"]
HdrSpelling = Literal["HDRShuter", "HDRShutter"]

SEQUENCER_SETS: Final = 8
HDR_SLOTS: Final = 4
TRIGGERS: Final = {"AcquisitionStart": 0, "FrameBurstStart": 1, "FrameStart": 2}
SOURCES: Final = {"Line0": 0, "Line2": 2, "Software": 7, "Action1": 10}
OFF_ON: Final = {"Off": 0, "On": 1}
CHUNKS: Final = {"ExposureTime": 0x1001, "Gain": 0x1002, "Timestamp": 0x1003}
"""Chunk ids; each chunk is 8 bytes: two IEEE doubles and an integer."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One node. ``count`` values lie behind one another where ``selector`` names the node that chooses."""

    name: str
    kind: Kind
    category: str
    low: float = 0
    high: float = 0xFFFF_FFFF
    step: int = 1
    initial: float = 0
    unit: str = ""
    writable: bool = True
    entries: Mapping[str, int] = field(default_factory=dict)
    selector: str = ""
    count: int = 1
    locked: bool = False
    """Refused while frames flow, as everything is that changes the payload's size."""
    address: int = 0

    @property
    def size(self) -> int:
        return 8 if self.kind == "float" else 4

    def at(self, index: int = 0) -> int:
        return self.address + index * self.size

    def accepts(self, value: float) -> bool:
        if self.kind == "enumeration":
            return value in self.entries.values()
        return self.low <= value <= self.high and (
            self.kind != "integer" or (value - self.low) % self.step == 0
        )


@dataclass(frozen=True, slots=True)
class Abilities:
    """What differs from model to model."""

    width: int
    height: int
    hdr: HdrSpelling | None = "HDRShuter"
    sequencer: bool = False
    chunks: bool = False
    burst_only: bool = False
    """No AcquisitionStart trigger: one edge starts a burst of at most 1023 frames, as on Hikrobot's."""


def table(can: Abilities) -> tuple[Feature, ...]:
    """Every feature of a camera with these abilities, with its address."""
    rows = [*_format(can), *_acquisition(can), *_exposure(), *_actions()]
    if can.hdr is not None:
        rows += _hdr(can.hdr)
    if can.sequencer:
        rows += _sequencer()
    if can.chunks:
        rows += _chunks()
    return tuple(_placed(rows))


def _placed(rows: Iterable[Feature]) -> Iterator[Feature]:
    at = FEATURES_AT
    for row in rows:
        at += at % row.size
        yield replace(row, address=at)
        at += row.size * row.count


def _format(can: Abilities) -> list[Feature]:
    kind = "ImageFormatControl"
    rows = []
    for side, offset, most in (("Width", "OffsetX", can.width), ("Height", "OffsetY", can.height)):
        rows += [
            Feature(side, "integer", kind, 16, most, 2, most, locked=True),
            Feature(offset, "integer", kind, 0, most - 16, 2, locked=True),
            Feature(f"{side}Max", "integer", kind, initial=most, writable=False),
            Feature(f"Sensor{side}", "integer", kind, initial=most, writable=False),
        ]
    formats = {name: row.code for name, row in PIXEL_FORMATS.items()}
    rows.append(
        Feature(
            "PixelFormat",
            "enumeration",
            kind,
            entries=formats,
            initial=formats["BayerRG8"],
            locked=True,
        )
    )
    return [*rows, Feature("PayloadSize", "integer", "TransportLayerControl", writable=False)]


def _acquisition(can: Abilities) -> list[Feature]:
    kind = "AcquisitionControl"
    triggers = {name: code for name, code in TRIGGERS.items() if code or not can.burst_only}
    per_trigger = (
        Feature("TriggerMode", "enumeration", kind, entries=OFF_ON),
        Feature("TriggerSource", "enumeration", kind, entries=SOURCES),
        Feature("TriggerActivation", "enumeration", kind, entries={"RisingEdge": 0}),
        Feature("TriggerDelay", "float", kind, 0, 1e6, unit="us"),
        Feature("TriggerSoftware", "command", kind),
    )
    return [
        Feature("AcquisitionMode", "enumeration", kind, entries={"Continuous": 2}, initial=2),
        Feature("AcquisitionStart", "command", kind),
        Feature("AcquisitionStop", "command", kind),
        Feature("AcquisitionBurstFrameCount", "integer", kind, 1, 1023, initial=1),
        Feature("AcquisitionFrameRate", "float", kind, 0.1, 240, initial=30, unit="Hz"),
        Feature("AcquisitionFrameRateEnable", "boolean", kind, 0, 1, initial=1),
        Feature("ResultingFrameRate", "float", kind, 0, 1e6, initial=30, unit="Hz", writable=False),
        Feature("TriggerSelector", "enumeration", kind, entries=triggers, initial=min(triggers.values())),
        *(replace(row, selector="TriggerSelector", count=len(TRIGGERS)) for row in per_trigger),
    ]


def _exposure() -> list[Feature]:
    acquisition, analog = "AcquisitionControl", "AnalogControl"
    return [
        Feature("ExposureMode", "enumeration", acquisition, entries={"Timed": 0}),
        Feature("ExposureAuto", "enumeration", acquisition, entries={"Off": 0, "Continuous": 2}),
        Feature("ExposureTime", "float", acquisition, 10, 1e6, initial=5000, unit="us"),
        Feature("GainAuto", "enumeration", analog, entries={"Off": 0, "Continuous": 2}),
        Feature("Gain", "float", analog, 0, 24, unit="dB"),
        Feature("BlackLevel", "integer", analog, 0, 4095, initial=64, writable=False),
    ]


def _hdr(spelling: HdrSpelling) -> list[Feature]:
    kind = "AcquisitionControl"
    return [
        Feature("HDREnable", "boolean", kind, 0, 1),
        Feature("HDRSelector", "integer", kind, 0, HDR_SLOTS - 1),
        Feature(
            spelling, "integer", kind, 10, 1_000_000, initial=5000, unit="us", selector="HDRSelector",
            count=HDR_SLOTS,
        ),
        Feature("HDRGain", "float", kind, 0, 24, unit="dB", selector="HDRSelector", count=HDR_SLOTS),
    ]  # fmt: skip


def _sequencer() -> list[Feature]:
    kind, last = "SequencerControl", SEQUENCER_SETS - 1
    return [
        Feature("SequencerMode", "enumeration", kind, entries=OFF_ON),
        Feature("SequencerConfigurationMode", "enumeration", kind, entries=OFF_ON),
        Feature("SequencerSetStart", "integer", kind, 0, last),
        Feature("SequencerSetActive", "integer", kind, 0, last, writable=False),
        Feature("SequencerSetSelector", "integer", kind, 0, last),
        Feature("SequencerSetSave", "command", kind),
        Feature("SequencerSetLoad", "command", kind),
        Feature("SequencerPathSelector", "integer", kind, 0, 0),
        Feature("SequencerSetNext", "integer", kind, 0, last),
        Feature("SequencerTriggerSource", "enumeration", kind, entries={"Off": 0, "FrameStart": 1}),
    ]


def _chunks() -> list[Feature]:
    kind = "ChunkDataControl"
    slots = {name: index for index, name in enumerate(CHUNKS)}
    return [
        Feature("ChunkModeActive", "boolean", kind, 0, 1, locked=True),
        Feature("ChunkSelector", "enumeration", kind, entries=slots),
        Feature(
            "ChunkEnable", "boolean", kind, 0, 1, selector="ChunkSelector", count=len(slots), locked=True
        ),
    ]


def _actions() -> list[Feature]:
    kind = "ActionControl"
    return [Feature(f"Action{part}", "integer", kind) for part in ("DeviceKey", "GroupKey", "GroupMask")]


class Settings:
    """The features of one camera as named values over its memory."""

    def __init__(self, rows: Iterable[Feature], memory: Memory) -> None:
        self._rows = {row.name: row for row in rows}
        self._memory = memory
        for row in self._rows.values():
            for index in range(row.count):
                self.put(row.name, row.initial, index)

    def has(self, name: str) -> bool:
        return name in self._rows

    def get(self, name: str, index: int = 0) -> float:
        row = self._rows[name]
        at = row.at(index)
        return self._memory.double(at) if row.kind == "float" else self._memory.word(at)

    def whole(self, name: str, index: int = 0) -> int:
        return int(self.get(name, index))

    def put(self, name: str, value: float, index: int = 0) -> None:
        row = self._rows[name]
        if row.kind == "float":
            self._memory.put_double(row.at(index), value)
        else:
            self._memory.put_word(row.at(index), int(value))

    def owner(self, address: int) -> tuple[Feature, int] | None:
        """The feature whose register begins at ``address``, and which of its values."""
        for row in self._rows.values():
            index, rest = divmod(address - row.address, row.size)
            if 0 <= index < row.count and rest == 0:
                return row, index
        return None
