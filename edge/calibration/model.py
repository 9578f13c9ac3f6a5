"""What a calibration says: lenses, mounting, how views are brought together, and the match of their light.

Pixels have their centres at integers. Geometry is OpenCV's: x to the right, y down, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

CALIBRATION_VERSION = 2

Matrix: TypeAlias = NDArray[np.float64]
Homography: TypeAlias = tuple[tuple[float, float, float], ...]
Three: TypeAlias = tuple[float, float, float]
Mode: TypeAlias = Literal["homography", "rectify"]

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
"""For what is read from a file: a misspelt key or a quoted number is a fault, never a silent default."""

IDENTITY: Homography = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Lens:
    """Pinhole and distortion of one camera.

    Focal lengths and principal point in pixels; ``distortion`` is k1, k2, p1, p2, k3 of Brown and Conrady as
    OpenCV orders them, on normalised coordinates.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def matrix(self) -> Matrix:
        """(3, 3) camera matrix."""
        return np.array(((self.fx, 0.0, self.cx), (0.0, self.fy, self.cy), (0.0, 0.0, 1.0)))

    def coefficients(self) -> Matrix:
        """(5,) as OpenCV takes them."""
        return np.array(self.distortion, np.float64)


@dataclass(frozen=True, slots=True)
class Mounting:
    """The secondary beside the reference: a point X before the reference is at R X + t before the secondary.

    ``rotation_deg`` is R as an axis times its angle in degrees (Rodrigues), ``translation_m`` is t.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    rotation_deg: Three
    translation_m: Three

    def rotation(self) -> Matrix:
        """(3, 3) R."""
        return np.asarray(cv2.Rodrigues(np.radians(self.rotation_deg))[0], np.float64)

    @property
    def baseline_m(self) -> float:
        """Distance between the two cameras."""
        return float(np.linalg.norm(self.translation_m))

    @property
    def secondary_at_m(self) -> Three:
        """Where the secondary stands, seen from the reference: right, down, forward."""
        x, y, z = -self.rotation().T @ np.array(self.translation_m)
        return float(x), float(y), float(z)

    @staticmethod
    def of(rotation: Matrix, translation: Matrix) -> Mounting:
        """From (3, 3) R and (3,) t."""
        x, y, z = np.degrees(cv2.Rodrigues(np.asarray(rotation, np.float64))[0].ravel())
        a, b, c = np.asarray(translation, np.float64).ravel()
        return Mounting((float(x), float(y), float(z)), (float(a), float(b), float(c)))


@dataclass(frozen=True, slots=True)
class Photometry:
    """How the secondary's values become what the reference would have counted at the same exposure.

    ``secondary_gain`` are factors on linear R, G, B. ``*_black`` is light that is not there, as a share of
    the range from black to white level: what is to be taken off beyond the camera's own black level.
    ``*_falloff`` are a, b, c of the relative illumination 1 + a r^2 + b r^4 + c r^6, r being the distance
    from the picture's centre over half its diagonal.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    secondary_gain: Three = (1.0, 1.0, 1.0)
    reference_black: float = 0.0
    secondary_black: float = 0.0
    reference_falloff: Three = (0.0, 0.0, 0.0)
    secondary_falloff: Three = (0.0, 0.0, 0.0)

    @property
    def sensitivity(self) -> float:
        """Light the secondary records over what the reference does at the same exposure.

        What its channels have in common: it is applied to the exposure, never to the values, so that what
        saturates stays saturated.
        """
        return 1.0 / min(self.secondary_gain)

    @property
    def balance(self) -> Three:
        """What is left to each channel of the secondary; the smallest is 1."""
        red, green, blue = (gain * self.sensitivity for gain in self.secondary_gain)
        return red, green, blue


@dataclass(frozen=True, slots=True)
class Calibration:
    """Geometry between the cameras, and the match of their light.

    ``homography`` is (3, 3), pixels of the secondary image to pixels of the reference image; in mode
    ``homography`` it is all that is used, in mode ``rectify`` the nearest to the lenses' maps that there is.
    ``width`` and ``height`` are the image size it was measured at. ``plane_m`` is the distance at which the
    views coincide, None for infinity. ``undistort_reference`` straightens the reference's picture too, and
    the secondary follows; by default the reference's picture is left as it was filmed.
    ``board``, ``quality`` and ``made`` are plain values for people and reports; nothing depends on them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    width: int
    height: int
    homography: Homography
    mode: Mode = "homography"
    reference: Lens | None = None
    secondary: Lens | None = None
    mounting: Mounting | None = None
    plane_m: float | None = None
    undistort_reference: bool = False
    photometry: Photometry | None = None
    board: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_identity(self) -> bool:
        """Whether the views already coincide, so that nothing needs to be resampled."""
        return self.mode == "homography" and bool(np.allclose(self.homography, np.eye(3), atol=1e-9))

    def to_dict(self) -> dict[str, Any]:
        """As written to the calibration file and to a session's header: plain JSON values."""
        from edge.calibration.file import to_plain

        return to_plain(self)


def identity(width: int, height: int) -> Calibration:
    """Both cameras see the same picture."""
    return Calibration(width, height, IDENTITY)


def as_rows(matrix: Matrix) -> Homography:
    """(3, 3) as plain rows, scaled so that the last number is 1."""
    scaled = np.asarray(matrix, np.float64) / matrix[2, 2]
    return tuple((float(x), float(y), float(z)) for x, y, z in scaled)
