"""The secondary view seen from the reference camera.

A calibration file maps secondary pixels to reference pixels. It holds a homography, which is exact for a far
or flat scene and leaves the parallax of near objects to the fusion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import TwinhdrError
from edge.frames import FloatImage

CALIBRATION_VERSION = 1
MAX_SIDE = 1 << 15
TINY = 1e-9

Homography: TypeAlias = tuple[tuple[float, float, float], ...]


class CalibrationError(TwinhdrError):
    """A calibration file cannot be used. The text names the file, the fault and what to do."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Calibration:
    """Geometry between the cameras.

    ``homography`` is (3, 3), pixels of the secondary image to pixels of the reference image (pixel centres at
    integers). ``width`` and ``height`` are the image size it was measured at.
    """

    width: int
    height: int
    homography: Homography

    @property
    def is_identity(self) -> bool:
        """Whether the views already coincide, so that nothing needs to be resampled."""
        return bool(np.allclose(self.homography, np.eye(3), atol=1e-9))

    def to_dict(self) -> dict[str, Any]:
        """As written to the calibration file and to a session's header."""
        return {
            "version": CALIBRATION_VERSION,
            "width": self.width,
            "height": self.height,
            "homography": [list(row) for row in self.homography],
        }


def identity(width: int, height: int) -> Calibration:
    """Both cameras see the same picture."""
    return Calibration(width, height, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def parse_calibration(data: Any, where: str) -> Calibration:
    """Check what was read from ``where``. Raises CalibrationError."""
    if not isinstance(data, dict):
        raise CalibrationError(f"{where}: not a calibration (expected a JSON object); calibrate again")
    if data.get("version") != CALIBRATION_VERSION:
        raise CalibrationError(
            f"{where}: version {data.get('version')!r}, this twinhdr reads version {CALIBRATION_VERSION}; "
            "calibrate again"
        )
    width, height = _side(data, "width", where), _side(data, "height", where)
    return Calibration(width, height, _homography(data.get("homography"), width, height, where))


def _side(data: dict[str, Any], key: str, where: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_SIDE:
        raise CalibrationError(
            f"{where}: {key} must be pixels from 1 to {MAX_SIDE}, not {value!r}; calibrate again"
        )
    return value


def _homography(data: Any, width: int, height: int, where: str) -> Homography:
    """Three rows, scaled so that the last number is 1."""
    try:
        matrix = np.asarray(data, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CalibrationError(
            f"{where}: homography must be three rows of three numbers ({error}); calibrate again"
        ) from error
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(matrix[2, 2]) < TINY:
        raise CalibrationError(
            f"{where}: homography must be three rows of three finite numbers, the last not 0; calibrate again"
        )
    with np.errstate(all="ignore"):  # what overflows is refused
        matrix = matrix / matrix[2, 2]
        usable = np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > TINY
        corners = np.array([(x, y, 1.0) for x in (0, width - 1) for y in (0, height - 1)])
        if not usable or any((corners @ m[2] <= 0).any() for m in (matrix, np.linalg.inv(matrix))):
            raise CalibrationError(
                f"{where}: homography does not map one picture onto another (it is singular, or its horizon "
                "lies within the picture); calibrate again"
            )
    return tuple((float(a), float(b), float(c)) for a, b, c in matrix)


def load_calibration(path: Path, width: int, height: int) -> Calibration:
    """Read a calibration file for images of ``width`` x ``height``. Raises CalibrationError."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CalibrationError(
            f"{path}: cannot be read ({error}); set calibration.file or remove it"
        ) from error
    calibration = parse_calibration(data, str(path))
    if (calibration.width, calibration.height) != (width, height):
        raise CalibrationError(
            f"{path}: measured at {calibration.width}x{calibration.height}, but the cameras deliver "
            f"{width}x{height}; calibrate at this size"
        )
    return calibration


class Rectifier:
    """Maps (H, W, 3) float32 secondary images into the reference view, bilinear, edges continued.

    Outside the secondary's view the nearest edge pixel is repeated: black there would read as a shadow.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._maps = None if calibration.is_identity else _fixed_point_maps(calibration)

    def rectify(self, image: FloatImage) -> FloatImage:
        """(H, W, 3) float32 as the reference camera would see it. Raises ValueError on another size."""
        expected = (self._calibration.height, self._calibration.width)
        if image.shape[:2] != expected:
            raise ValueError(f"rectify: image is {image.shape[:2]}, calibration is for {expected}")
        if self._maps is None:
            return image
        out: FloatImage = cv2.remap(image, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return out


def _fixed_point_maps(calibration: Calibration) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """For each reference pixel its place in the secondary image, in OpenCV's 1/32 pixel format."""
    inverse = np.linalg.inv(np.asarray(calibration.homography))
    x, y = np.meshgrid(
        np.arange(calibration.width, dtype=np.float64), np.arange(calibration.height, dtype=np.float64)
    )
    w = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    # The format ends at 16 bits; what lies beyond is outside the picture anyway.
    map_x, map_y = (
        np.clip((row[0] * x + row[1] * y + row[2]) / w, -MAX_SIDE, MAX_SIDE - 1).astype(np.float32)
        for row in inverse[:2]
    )
    fixed: tuple[NDArray[np.int16], NDArray[np.uint16]] = cv2.convertMaps(map_x, map_y, cv2.CV_16SC2)
    return fixed
