"""Real video files of the simulated scene, coded as a webcam codes: 8 bits, sRGB, compressed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edge.frames import Exposure
from edge.tone.colour import srgb_from_linear
from hw.simulator.scene import World

REFERENCE_US = 8_000.0
LOW, HIGH = Exposure(2_000.0), Exposure(32_000.0)


def coded(radiance: NDArray[np.floating], ratio: float) -> NDArray[np.uint8]:
    """What an 8-bit camera makes of (H, W, 3) ``radiance`` at ``ratio`` times the reference's light."""
    signal = srgb_from_linear(np.clip(radiance * ratio, 0.0, 1.0))
    counts: NDArray[np.uint8] = np.rint(signal * 255.0).astype(np.uint8)
    return counts


def film(path: Path, world: World, exposures: Sequence[Exposure], fps: int, frames: int) -> Path:
    """``frames`` frames that cycle through ``exposures``, in lossless H.264."""
    with av.open(str(path), "w") as container:
        first = world.render(0.0)
        stream = container.add_stream("libx264rgb", rate=fps, options={"crf": "0", "preset": "ultrafast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "rgb24"
        stream.time_base = Fraction(1, fps)
        for n in range(frames):
            exposure = exposures[n % len(exposures)]
            image = coded(world.render(n / fps), exposure.exposure_us / REFERENCE_US)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path
