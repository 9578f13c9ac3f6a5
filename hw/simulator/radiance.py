"""Scene-linear radiance images: read them and bring them to the scale where 1.0 saturates the reference."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge.errors import EX_NOINPUT, TwinhdrError
from edge.frames import FloatImage


class SceneError(TwinhdrError):
    """A radiance image cannot be used. The text names the file and the fault."""

    exit_code = EX_NOINPUT


def load_radiance(path: str | Path) -> FloatImage:
    """Read an RGB EXR as (H, W, 3) float32 scene-linear radiance, >= 0, on the file's own scale.

    Raises SceneError where the file is missing, is no EXR, has no RGB or holds values that are not finite.
    """
    import OpenEXR  # the OpenCV wheels refuse EXR

    path = Path(path)
    if not path.is_file():
        raise SceneError(f"{path}: no such radiance image")
    try:
        with OpenEXR.File(str(path)) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
    except (RuntimeError, TypeError, ValueError) as error:
        raise SceneError(f"{path}: cannot be read as EXR ({error})") from error
    if "RGB" in channels:
        pixels = channels["RGB"]
    elif "RGBA" in channels:
        pixels = channels["RGBA"][..., :3]
    else:
        raise SceneError(f"{path}: has channels {', '.join(channels)}, needs R, G and B")
    image: FloatImage = np.array(pixels, dtype=np.float32, order="C")
    if not np.isfinite(image).all():
        raise SceneError(f"{path}: holds values that are not finite")
    return np.maximum(image, 0.0, out=image)


def brightest_channel(radiance: FloatImage) -> FloatImage:
    """(H, W) float32 maximum of R, G and B: the channel that clips first."""
    red, green, blue = (radiance[..., channel] for channel in range(3))
    largest: FloatImage = np.maximum(np.maximum(red, green), blue)  # five times faster than max(axis=2)
    return largest


def exposure_scale(radiance: FloatImage, percentile: float, level: float) -> float:
    """Factor that brings ``percentile`` (0-100) of the brightest channel to ``level`` reference units.

    Measured on every fourth row and column: the answer is a choice of exposure, not a measurement.
    """
    brightest = brightest_channel(radiance[::4, ::4])
    return level / max(float(np.percentile(brightest, percentile)), 1e-9)


def limit_peak(radiance: FloatImage, peak: float) -> FloatImage:
    """Bend radiance above ``peak / 2`` smoothly towards ``peak``, keeping hue; below it nothing changes.

    A sun disc of 1e4 is beyond any bracket of three; bent down it is still a highlight that two EV less
    records. The slope is continuous at the knee.
    """
    knee = 0.5 * peak
    brightest = brightest_channel(radiance)
    above = brightest > knee
    if not above.any():
        return radiance
    room = peak - knee
    bent: FloatImage = radiance.copy()
    m = brightest[above]
    bent[above] *= ((knee + room * -np.expm1(-(m - knee) / room)) / m)[:, None]
    return bent


def resample(radiance: FloatImage, width: int, height: int) -> FloatImage:
    """Resize to (height, width, 3); enlarging is bicubic in the log domain.

    Linear bicubic rings below zero around a light a thousand times brighter than its neighbours.
    """
    size = (width, height)
    if width <= radiance.shape[1] and height <= radiance.shape[0]:
        shrunk: FloatImage = cv2.resize(radiance, size, interpolation=cv2.INTER_AREA)
        return shrunk
    floor = np.float32(1e-4)
    log = cv2.log(radiance + floor)
    grown: FloatImage = cv2.exp(cv2.resize(log, size, interpolation=cv2.INTER_CUBIC))
    np.subtract(grown, floor, out=grown)
    np.maximum(grown, 0.0, out=grown)
    return grown
