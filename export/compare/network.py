"""A network of ours as a method. Torch is imported when one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from edge.frames import FloatImage
from export.compare.merges import OnReference, aligned
from export.compare.row import Method
from export.training.brackets import Sample

if TYPE_CHECKING:
    import torch

    from export.eafnet.model import Eafnet


def network(net: Eafnet, on_reference: OnReference | None = None) -> Method:
    """``net`` as a method, with the device's registration and mirrored padding."""
    return aligned(forward(net), on_reference or OnReference())


def forward(net: Eafnet) -> Method:
    """``net`` on samples that are registered already."""
    import torch

    def padded(image: FloatImage) -> torch.Tensor:
        h, w = image.shape[:2]
        m = net.config.multiple
        grown = cv2.copyMakeBorder(image, 0, -h % m, 0, -w % m, cv2.BORDER_REFLECT_101)
        return torch.from_numpy(grown.transpose(2, 0, 1)[None].copy())

    def fuse(sample: Sample) -> FloatImage:
        h, w = sample.reference.shape[:2]
        exposure = torch.from_numpy(sample.exposure[None].copy())
        mean = torch.from_numpy(sample.mean[None].copy())
        images = [padded(x) for x in (sample.low, sample.reference, sample.high)]
        with torch.inference_mode():
            out = net(*images, exposure, mean)
        answer: FloatImage = out[0, :, :h, :w].permute(1, 2, 0).numpy()
        return answer

    return fuse
