"""The merges everybody knows, as OpenCV has them.

OpenCV's take 8-bit pictures, so each exposure is coded with gamma 2.2 in 8 bits, as a camera's JPEG would be,
and the response curve is given rather than estimated: it is known exactly here. What is lost to 8 bits is
part of the row. None of them aligns anything; times stand for light (exposure time times gain).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import FloatImage
from export.training.brackets import GAMMA, Sample

DARKEST = 0.5
"""What code 0 stands for in the response, in codes: a logarithm is taken of it."""


def debevec(sample: Sample) -> FloatImage:
    """Debevec and Malik 1997, "Recovering High Dynamic Range Radiance Maps from Photographs", equation 6.

    OpenCV's ``createMergeDebevec``: a mean of logarithms under triangle weights.
    """
    radiance = cv2.createMergeDebevec().process(_pictures(sample), _times(sample), _response())
    scaled: FloatImage = np.asarray(radiance, np.float32) * sample.exposure[0]
    return scaled


def robertson(sample: Sample) -> FloatImage:
    """Robertson, Borman and Stevenson 2003, "Estimation-theoretic approach to dynamic range enhancement".

    OpenCV's ``createMergeRobertson``, weights a Gaussian that is zero at codes 0 and 255; where all three
    exposures are there, the low one (white) or the high one (black) is all that is known.
    """
    pictures = _pictures(sample)
    merged = cv2.createMergeRobertson().process(pictures, _times(sample), _response())
    radiance = np.asarray(merged, np.float32) * sample.exposure[0]
    low, reference, high = ((picture == 0) | (picture == 255) for picture in pictures)
    unknown = low & reference & high
    edge = np.where(
        pictures[0] == 255, np.float32(1.0), sample.high * (sample.exposure[0] / sample.exposure[2])
    )
    filled: FloatImage = np.where(unknown, edge, radiance)
    return filled


def mertens(sample: Sample) -> FloatImage:
    """Mertens, Kautz and Van Reeth 2007, "Exposure Fusion": a picture to look at, in [0, 1], no radiance.

    OpenCV's ``createMergeMertens`` with its default weights of contrast, saturation and exposedness.
    """
    picture: FloatImage = np.asarray(cv2.createMergeMertens().process(_pictures(sample)), np.float32)
    return np.clip(picture, 0.0, 1.0)


def _pictures(sample: Sample) -> list[NDArray[np.uint8]]:
    images = (sample.low, sample.reference, sample.high)
    coded = (np.power(np.clip(image, 0.0, 1.0), np.float32(1 / GAMMA)) for image in images)
    return [np.rint(image * np.float32(255.0)).astype(np.uint8) for image in coded]


def _times(sample: Sample) -> NDArray[np.float32]:
    """Relative to the reference: radiance comes out in reference units."""
    return np.asarray(sample.exposure, np.float32)


def _response() -> NDArray[np.float32]:
    """(256, 1, 3): linear value of each code."""
    codes = np.maximum(np.arange(256, dtype=np.float32), np.float32(DARKEST)) / np.float32(255.0)
    return np.repeat(np.power(codes, np.float32(GAMMA))[:, None, None], 3, axis=2)
