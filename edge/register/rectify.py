"""The secondary view seen from the reference camera, as the calibration says, light included.

Geometry is exact for a far scene, or for the plane the calibration was told of; what the parallax of nearer
objects leaves is taken out by the flow that follows (``edge.register.align``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.file import (
    MAX_SIDE,
    CalibrationError,
    load_calibration,
    parse_calibration,
    read_calibration,
)
from edge.calibration.light import LightMatch
from edge.calibration.maps import Map, reference_map, secondary_map
from edge.calibration.model import (
    CALIBRATION_VERSION,
    Calibration,
    Homography,
    Lens,
    Mounting,
    Photometry,
    identity,
)
from edge.frames import FloatImage

__all__ = [
    "CALIBRATION_VERSION",
    "MAX_SIDE",
    "Calibration",
    "CalibrationError",
    "Homography",
    "Lens",
    "Mounting",
    "Photometry",
    "Rectifier",
    "identity",
    "load_calibration",
    "parse_calibration",
    "read_calibration",
]


class Rectifier:
    """Brings (H, W, 3) float32 images into the rectified view: light matched, then bilinear, edges continued.

    Outside a camera's view the nearest edge pixel is repeated: black there would read as a shadow.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._maps = None if calibration.is_identity else _fixed_point(secondary_map(calibration))
        self._light = LightMatch(calibration)
        own = reference_map(calibration)
        self._reference_maps = None if own is None else _fixed_point(own)

    @property
    def sensitivity(self) -> float:
        """Light that rectified secondary images show over what their exposure says, by the reference."""
        return self._light.sensitivity

    def rectify(self, image: FloatImage) -> FloatImage:
        """A secondary image (H, W, 3) float32 in [0, 1] as the reference camera would see it.

        Raises ValueError on another size.
        """
        self._check(image)
        return self._mapped(self._light.secondary(image), self._maps)

    def rectify_reference(self, image: FloatImage) -> FloatImage:
        """A reference image: as it is, unless its falloff is known or straight lines are asked for."""
        self._check(image)
        return self._mapped(self._light.reference(image), self._reference_maps)

    def _check(self, image: FloatImage) -> None:
        expected = (self._calibration.height, self._calibration.width)
        if image.shape[:2] != expected:
            raise ValueError(f"rectify: image is {image.shape[:2]}, calibration is for {expected}")

    @staticmethod
    def _mapped(image: FloatImage, maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None) -> FloatImage:
        if maps is None:
            return image
        out: FloatImage = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return out


def _fixed_point(places: Map) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """OpenCV's 1/32 pixel format: three times as fast as floating point."""
    fixed: tuple[NDArray[np.int16], NDArray[np.uint16]] = cv2.convertMaps(
        np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1]), cv2.CV_16SC2
    )
    return fixed
