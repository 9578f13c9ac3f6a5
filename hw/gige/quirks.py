"""What cameras call things, and where they lie: data, so that a new model is a new line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

# Nodes by meaning, the standard's spelling first (GenICam SFNC 2.7), then older and vendors' ones.
EXPOSURE: Final = ("ExposureTime", "ExposureTimeAbs", "ExposureTimeRaw")
GAIN: Final = ("Gain", "GainAbs", "GainRaw")
FRAME_RATE: Final = ("AcquisitionFrameRate", "AcquisitionFrameRateAbs", "FrameRate")
FRAME_RATE_ENABLE: Final = ("AcquisitionFrameRateEnable", "AcquisitionFrameRateEnabled", "FrameRateEnable")
RESULTING_RATE: Final = ("ResultingFrameRate", "ResultingFrameRateAbs", "AcquisitionResultingFrameRate")
BURST_COUNT: Final = ("AcquisitionBurstFrameCount",)

SWITCHED_OFF: Final[tuple[tuple[str, str | bool], ...]] = (
    # whatever changes counts behind our back, or makes them anything but linear in light
    ("SequencerMode", "Off"),
    ("HDREnable", False),
    ("ExposureAuto", "Off"),
    ("GainAuto", "Off"),
    ("BalanceWhiteAuto", "Off"),
    ("GammaEnable", False),
    ("GammaEnabled", False),
    ("LUTEnable", False),
    ("SharpnessEnable", False),
    ("NoiseReductionEnable", False),
)
SWITCHED_TO: Final[tuple[tuple[str, str], ...]] = (
    ("AcquisitionMode", "Continuous"),
    ("ExposureMode", "Timed"),
)

HDR_ENABLE, HDR_SELECTOR, HDR_GAIN = "HDREnable", "HDRSelector", "HDRGain"
HDR_SHUTTER: Final = ("HDRShuter", "HDRShutter")
"""Hikrobot's HDR polling. Most firmware has it with one t."""

START_SELECTORS: Final = ("AcquisitionStart", "FrameBurstStart", "FrameStart")
"""Which trigger one common edge should release, best first: free run, a burst, one frame."""

CHUNKS: Final = {
    # meaning: (entries of ChunkSelector, nodes that carry the value)
    "exposure": (("ExposureTime", "Exposure"), ("ChunkExposureTime", "ChunkExposureTimeAbs")),
    "gain": (("Gain",), ("ChunkGain", "ChunkGainAll")),
}


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one family of cameras differs.

    ``gain_raw_per_db``: counts of an integer gain for one dB. ``stamp`` says which instant of the exposure
    the device stamps. ``write_lag``: frames that an exposure written between two frames may be late.
    ``tick_ratio``: counted ns for a real one where known; None: measured.
    """

    gain_raw_per_db: float = 1.0
    stamp: Literal["begin", "end"] = "begin"
    write_lag: int = 1
    tick_ratio: float | None = None


DEFAULT: Final = Quirks()
TABLE: Final[tuple[tuple[str, str, Quirks], ...]] = (
    # vendor, model: regular expressions, ignoring case; the first row that fits counts
    # Basler ace classic: GainRaw in steps of 0.0359 dB (ace User's Manual AW000893, "Gain")
    ("basler", "acA.*", Quirks(gain_raw_per_db=1 / 0.0359)),
    # Aravis' fake camera: GainRaw is dB
    ("aravis", "fake", Quirks(gain_raw_per_db=1.0)),
)
"""Wrong ticks (x10 and x0.694 on some Hikrobot models) follow the firmware, not the model: they are measured
when the camera is opened (``hw.gige.setup``) and again from the frames (``edge.timing.ticks``)."""


def quirks_of(vendor: str, model: str) -> Quirks:
    """The row of a camera, or the default."""
    for vendor_re, model_re, quirks in TABLE:
        if re.search(vendor_re, vendor, re.IGNORECASE) and re.fullmatch(model_re, model, re.IGNORECASE):
            return quirks
    return DEFAULT


def gain_value(node: str, gain_db: float, quirks: Quirks) -> float:
    """What to write into the gain node for ``gain_db``."""
    return gain_db * quirks.gain_raw_per_db if node.endswith("Raw") else gain_db


def gain_db(node: str, value: float, quirks: Quirks) -> float:
    """The gain in dB that a gain node's value stands for."""
    db = value / quirks.gain_raw_per_db if node.endswith("Raw") else value
    return db if math.isfinite(db) else 0.0
