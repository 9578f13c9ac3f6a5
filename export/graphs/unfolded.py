"""EAFNet's restoration step by step as the paper prints it, to prove that folding changes nothing.

Training and export compute Haar wavelets and bandpass filters inside the kernels of the convolutions beside
them. Here they are steps of their own: wavelet, convolution, 64 coefficients, their weights, inverse DCT,
projection, inverse wavelet.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from export.eafnet.layout import haar, inverse_haar
from export.eafnet.model import Eafnet
from export.eafnet.restoration import DCT_SIDE, INVERSE_DCT, BandpassFilters, HaarConv, LightFeatures


class _Steps(nn.Module):
    """One block of ``Restoration``, unfolded."""

    def __init__(self, block: HaarConv | LightFeatures | BandpassFilters) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        if isinstance(block, BandpassFilters):
            return _filtered(block, x)
        if isinstance(block, HaarConv):
            convolved: Tensor = block.conv(haar(x))
            return convolved
        return x + (inverse_haar(block.conv(haar(x))) if block.dwt else block.conv(x))


def _filtered(block: BandpassFilters, x: Tensor) -> Tensor:
    n = DCT_SIDE * DCT_SIDE
    coefficients = block.predict(x) * block.weights.reshape(1, -1, 1, 1)
    basis = INVERSE_DCT.to(x).repeat(block.bands, 1)[:, :, None, None]
    out: Tensor = block.project(functional.conv2d(coefficients, basis, groups=block.bands))
    assert basis.shape == (block.bands * n, n, 1, 1)
    return out if block.bands == 1 else inverse_haar(out)


def unfolded(net: Eafnet) -> Eafnet:
    """A copy of ``net`` (not frozen) whose wavelets and filters are steps of their own."""
    copy = Eafnet(net.config)
    copy.load_state_dict(net.state_dict())
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, HaarConv | LightFeatures | BandpassFilters) and not isinstance(
                module, _Steps
            ):
                setattr(module, name, _Steps(child))
    return copy.eval()
