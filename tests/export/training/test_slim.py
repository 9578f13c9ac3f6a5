"""Taking parts out of a trained network: what must stay the same function, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from export.eafnet.config import EafnetConfig, variant
from export.eafnet.model import Eafnet
from export.training.slim import narrowed, selected_share, without_fine_attention

FINE = variant("s", width=8, growth=4, attention_width=6, head_width=6, fine_attention=True)


def trained(config: EafnetConfig, seed: int = 0) -> Eafnet:
    """A network whose every layer does something; a fresh one answers with its start."""
    torch.manual_seed(seed)
    net = Eafnet(config)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net.eval()


def bracket(seed: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    reference = torch.rand(2, 3, 64, 64)
    exposure = torch.tensor([[0.25, 1.0, 4.0]]).repeat(2, 1)
    low, high = reference / 4, (reference * 4).clamp(max=1.0)
    mean = torch.stack([x.pow(1 / 2.2).mean((1, 2, 3)) for x in (low, reference, high)], dim=1)
    return low, reference, high, exposure, mean


@torch.no_grad()
def test_where_attention_looks_straight_ahead_the_answer_stays() -> None:
    """A network that starts its training from noise again has lost hours."""
    net = trained(replace(FINE, efsm=False))
    fine = net.merge[0].attend[0]
    # Keys that differ from pixel to pixel in nothing but their place cannot be had from a convolution, so
    # attention is made to hand on each pixel's own value.
    fine.forward = lambda reference, keys, values: (values, values)  # type: ignore[method-assign,assignment]
    low, reference, high, exposure, mean = bracket()
    coarse = without_fine_attention(net, torch.ones(8))
    assert coarse.config.attended_scales == (1,)
    before = net(low, reference, high, exposure, mean)
    assert torch.allclose(coarse.eval()(low, reference, high, exposure, mean), before, atol=1e-5)


@torch.no_grad()
def test_the_share_is_what_the_selection_leaves() -> None:
    """It scales what moves over; a wrong one makes every highlight too bright or too dark."""
    net = trained(FINE)
    low, _, high, exposure, mean = bracket()
    share = selected_share(net, low, high, exposure, mean)
    assert share.shape == (8,)
    assert bool(((share >= 0) & (share <= 1)).all())
    assert net.select_pair is not None
    last = net.select_pair.modulate[-1]
    last.weight.zero_()
    last.bias.zero_()  # a sigmoid of zero for every channel
    halved = selected_share(net, low, high, exposure, mean)
    alive = share > 0
    assert torch.allclose(halved[alive], torch.full_like(halved[alive], 0.5), atol=1e-4)


@torch.no_grad()
def test_channels_that_do_nothing_can_go_without_a_trace() -> None:
    """What is left must be the channels that matter, in every layer that reads them."""
    net = trained(FINE)
    merging, head = net.merge[0], net.head
    for channel in (1, 4):
        merging.weigh.weight[:, channel] = 0
        head.last.weight[:, channel] = 0
    for channel in (0, 3):
        head.mix.weight[:, channel] = 0
    slim = narrowed(net, 4, 4)
    assert (slim.config.attention_width, slim.config.head_width) == (4, 4)
    images = bracket()
    assert torch.allclose(slim.eval()(*images), net(*images), atol=1e-5)


def test_what_cannot_be_taken_out_is_refused() -> None:
    """Else weights are lost without a word."""
    with pytest.raises(ValueError, match="no fine attention"):
        without_fine_attention(Eafnet(replace(FINE, fine_attention=False)), torch.ones(8))
    with pytest.raises(ValueError, match="no larger"):
        narrowed(Eafnet(FINE), 8, 6)


def test_a_single_scale_is_attended_to() -> None:
    """Else the pair would not reach a network of one scale at all."""
    assert variant("s").attended_scales == (1,)
    assert variant("s", multiscale=False).attended_scales == (0,)
    assert variant("l").attended_scales == (0, 1)
