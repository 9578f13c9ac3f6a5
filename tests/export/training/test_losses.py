"""Training minimises what the paper says."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="losses need PyTorch: pip install twinhdr[export]")

from torch.nn import functional  # noqa: E402

from export.training.losses import HdrLoss, mu_law, sobel  # noqa: E402

KERNELS = (
    ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    ((-2, -1, 0), (-1, 0, 1), (0, 1, 2)),
    ((0, -1, -2), (1, 0, -1), (2, 1, 0)),
)


@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_sobel_filters_are_the_printed_kernels(dilation: int) -> None:
    """The loss is written as sums of differences for speed; it must stay the paper's D-ASL."""
    x = torch.rand(1, 1, 12, 12)
    padded = functional.pad(x, (dilation,) * 4, mode="reflect")
    for kernel, ours in zip(KERNELS, sobel(x, dilation), strict=True):
        weight = torch.tensor(kernel, dtype=torch.float32)[None, None]
        assert torch.allclose(functional.conv2d(padded, weight, dilation=dilation), ours, atol=1e-5)


def test_loss_is_zero_for_the_truth_and_counts_every_term() -> None:
    """A term that silently drops out would train another network."""
    truth, other = torch.rand(2, 1, 3, 16, 16)
    assert float(HdrLoss(0.25, 0.1)(truth, truth)) == 0.0
    plain = float(HdrLoss(0.0)(other, truth))
    assert plain == pytest.approx(float((mu_law(other) - mu_law(truth)).abs().mean()))
    assert float(HdrLoss(0.25)(other, truth)) > plain
    assert float(HdrLoss(0.0, 1.0)(other, truth)) == pytest.approx(
        plain + float((other - truth).abs().mean())
    )
