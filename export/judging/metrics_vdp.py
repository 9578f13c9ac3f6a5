"""ColorVideoVDP: how many people would see the difference, on a given HDR display.

Mantiuk, Hanji, Ashraf, Asano and Chapiro 2024, "ColorVideoVDP: A visual difference predictor for image, video
and display distortions", ACM Transactions on Graphics 43(4); the authors' package ``cvvdp`` (MIT). Its wheel
carries its calibration, nothing is fetched at run time. A score is 10 JOD (just-objectionable differences)
without a visible difference; one JOD less, and 75 % of people prefer the truth.

It judges light, not numbers: an image in [0, 1] (1.0 saturates the low exposure) is shown on an
``HdrDisplay`` in proportion, 1.0 at its peak. The default peak of 1000 cd/m2, the usual mastering display of
HDR10, puts what saturates the reference at 250 cd/m2 for a low exposure at -2 EV, near the 203 cd/m2 of ITU-R
BT.2408. Scores compare only for one display and one version of the package: report
``ColorVideoVdp.condition`` beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from edge.errors import ImageError, UnavailableError
from edge.frames import FloatImage
from export.judging.metrics_ssim import same_shape

if TYPE_CHECKING:
    import torch

TORCHVISION_OPERATORS = ("nms", "qnms")


@dataclass(frozen=True, slots=True)
class HdrDisplay:
    """The display and the room; the defaults but for the peak are the package's ``standard_hdr_linear``.

    ``pixels_per_degree`` 75.40245 is a 30-inch 4K display seen from two display heights. A smaller figure
    brings the eye nearer: 37.7 for 1920 x 1080 over the whole of the same display.
    """

    peak_nits: float = 1000.0
    contrast: float = 1e6
    ambient_lux: float = 10.0
    pixels_per_degree: float = 75.40245

    def __post_init__(self) -> None:
        for name in ("peak_nits", "contrast", "pixels_per_degree"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"{name} {value}: must be a positive number")


def why_unavailable() -> str | None:
    """What to do before ``ColorVideoVdp`` can be made; None where it can. Imports nothing."""
    if all(find_spec(name) is not None for name in ("torch", "torchvision", "pycvvdp")):
        return None
    return "ColorVideoVDP is not installed; install it with: pip install 'twinhdr[vdp]'"


class ColorVideoVdp:
    """The metric for one display; building it reads tables, so build it once.

    ``device`` is a torch device name. Raises ``UnavailableError`` where the package is missing.
    """

    def __init__(self, display: HdrDisplay | None = None, device: str = "cpu") -> None:
        package = _import_cvvdp()
        import torch

        self.display = display or HdrDisplay()
        photometry = package.vvdp_display_photo_eotf(
            self.display.peak_nits,
            contrast=self.display.contrast,
            source_colorspace="BT.709-linear",
            E_ambient=self.display.ambient_lux,
        )
        photometry.short_name = "linear"
        geometry = package.vvdp_display_geometry((3840, 2160), ppd=self.display.pixels_per_degree)
        self._metric: Any = package.cvvdp(
            display_photometry=photometry, display_geometry=geometry, device=torch.device(device), quiet=True
        )

    @property
    def condition(self) -> str:
        """Version and display in the words the authors ask to be reported with every score."""
        return str(self._metric.get_info_string()).strip('"')

    def image(self, output: FloatImage, truth: FloatImage) -> float:
        """JOD of one (H, W, 3) linear image in [0, 1] against the truth; 10 is best, below 0 is possible."""
        return self.video([output], [truth], 0.0)

    def video(
        self, outputs: Sequence[FloatImage], truths: Sequence[FloatImage], frames_per_second: float
    ) -> float:
        """JOD of a sequence, flicker included. Frames are asked for in order, once each: they may load late.

        Raises ``ImageError`` where the sequences are empty, or differ in length or in the size of a frame.
        """
        if len(outputs) != len(truths) or not outputs:
            raise ImageError(f"ColorVideoVDP needs a truth for each frame, got {len(outputs)}, {len(truths)}")
        same_shape(outputs[0], truths[0])
        source = _Source(outputs, truths, frames_per_second, self.display.peak_nits, self._metric)
        score, _ = self._metric.predict_video_source(source)
        return float(score)


class _Source:
    """What the package asks of a video (its ``video_source``), from sequences of [0, 1] images."""

    def __init__(
        self,
        outputs: Sequence[FloatImage],
        truths: Sequence[FloatImage],
        frames_per_second: float,
        peak_nits: float,
        metric: Any,
    ) -> None:
        self.outputs, self.truths = outputs, truths
        self.frames_per_second = frames_per_second
        self.peak_nits = peak_nits
        self.photometry = metric.display_photometry
        self.height, self.width = truths[0].shape[:2]

    def get_video_size(self) -> tuple[int, int, int]:
        return self.height, self.width, len(self.truths)

    def get_batch_size(self) -> int:
        return 1

    def get_frames_per_second(self) -> float:
        return self.frames_per_second

    def get_test_frame(self, frame: int, device: torch.device, colorspace: str) -> torch.Tensor:
        return self._shown(self.outputs[frame], device, colorspace)

    def get_reference_frame(self, frame: int, device: torch.device, colorspace: str) -> torch.Tensor:
        return self._shown(self.truths[frame], device, colorspace)

    def _shown(self, image: FloatImage, device: torch.device, colorspace: str) -> torch.Tensor:
        import torch

        if image.shape != (self.height, self.width, 3):
            raise ImageError(f"ColorVideoVDP got {image.shape}, not ({self.height}, {self.width}, 3)")
        planes = torch.from_numpy(image.transpose(2, 0, 1).copy())[None, :, None]
        emitted = planes.to(device=device, dtype=torch.float32) * self.peak_nits
        target: torch.Tensor = self.photometry.source_2_target_colorspace(emitted, colorspace)
        return target


def _import_cvvdp() -> Any:
    problem = why_unavailable()
    if problem is not None:
        raise UnavailableError(problem)
    try:
        import_module("torchvision")
    except RuntimeError as error:
        # The wheels of torchvision in the package index are built for CUDA. Beside a CPU build of torch their
        # operators do not load, and the import stops where it describes two of them, which cvvdp never calls:
        # it uses a blur written in torch. Declared by name, they let the import pass.
        if "torchvision::" not in str(error):
            raise
        torch = import_module("torch")
        for name in TORCHVISION_OPERATORS:
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", schema)
    return import_module("pycvvdp")
