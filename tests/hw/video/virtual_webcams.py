"""Films with the two virtual webcams and prints what came, as JSON. Run with virtual_v4l2.c preloaded."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

from edge.capture.rig import open_rig
from edge.config.layers import load_config
from edge.frames import Frame, FrameStatus
from edge.tone.colour import linear_from_srgb

SATURATES_US = 8_000.0


def truth_error_ev(frame: Frame, scene: np.ndarray) -> float:
    """How far, in EV, the picture is from what the exposure that it names would have given."""
    expected = np.clip(scene * (frame.exposure.exposure_us / SATURATES_US), 0.0, 1.0).mean()
    return abs(float(np.log2(linear_from_srgb(frame.image / 255.0).mean() / expected)))


def main(config: Path, scene: Path, frames: int) -> None:
    opened = open_rig(load_config(config))
    rig = opened.rig
    width, height = rig.secondary.info.width, rig.secondary.info.height
    radiance = np.fromfile(scene, np.float32).reshape(height, width, 3)
    rig.reference.set_exposures([opened.reference_exposure])
    rig.secondary.set_exposures(opened.secondary_exposures)
    rig.secondary.start()
    taken: list[Frame] = []
    deadline_s = time.monotonic() + 60.0
    while len(taken) < frames and time.monotonic() < deadline_s:
        frame = rig.secondary.read(0.5)
        if frame is not None:
            taken.append(frame)
    rig.secondary.stop()
    rig.reference.stop()
    good = [frame for frame in taken if frame.status is FrameStatus.OK]
    report = {
        "model": rig.secondary.info.model,
        "serial": rig.secondary.info.serial,
        "status": Counter(frame.status.value for frame in taken),
        "exposures_us": Counter(round(frame.exposure.exposure_us) for frame in good),
        "worst_ev": max(truth_error_ev(frame, radiance) for frame in good),
        "seq": [frame.seq for frame in taken],
        "longest_gap_ms": max((b.t_host_ns - a.t_host_ns) / 1e6 for a, b in pairwise(taken)),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
