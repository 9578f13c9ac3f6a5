"""Take parts out of a trained network and keep what it had learnt, as far as that goes.

**Fine attention.** On a registered pair the attention of the first scale mostly looks straight ahead: what it
hands on is the value of the same pixel. Put that in its place, and values, exposure-guided selection and the
join that follows are linear in the pair's raw features: they add to the guidance's convolution, which reads
the same features. What the attention did beside that is lost, and a short training mends it.

**Width** of spatial attention and head: the channels that matter most stay, by the size of the weights that
make a channel times that of those that read it (Li et al., "Pruning Filters for Efficient ConvNets", ICLR
2017, has the first factor).
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from export.eafnet.attention import Merging, WindowAttention
from export.eafnet.model import Eafnet, Head


@torch.no_grad()
def without_fine_attention(net: Eafnet, share: Tensor) -> Eafnet:
    """A network like ``net`` but for its fine attention, in training mode.

    ``share`` (C,): what the exposure-guided selection leaves of each channel of the first scale, on average.
    Raises ValueError where ``net`` has no fine attention or its guidance is not added.
    """
    config = net.config
    if not config.fine_attention or config.guidance != "add" or config.fusion_scales != 2:
        raise ValueError(f"EAFNet-{config.name.upper()} here has no fine attention beside an added guidance")
    coarse = Eafnet(replace(config, fine_attention=False))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    for side, module in enumerate(net.merge):
        merging = cast("Merging", module)
        fine = cast("WindowAttention", merging.attend[0])
        assert merging.join is not None
        assert merging.guide_raw is not None
        ahead = merging.join.weight[:, : config.width]
        value = fine.value.weight[:, :, 0, 0] * share
        own = f"merge.{side}."
        state[own + "guide_raw.weight"] += torch.einsum("omhw,mi->oihw", ahead, value)
        state[own + "join.weight"] = merging.join.weight[:, config.width :].clone()
        state = {_moved(k, own): v for k, v in state.items() if not k.startswith(own + "attend.0.")}
    coarse.load_state_dict(state)
    return coarse.train()


def _moved(key: str, own: str) -> str:
    return key.replace(own + "attend.1.", own + "attend.0.", 1)


@torch.no_grad()
def selected_share(net: Eafnet, low: Tensor, high: Tensor, exposure: Tensor, mean: Tensor) -> Tensor:
    """(C,): what ``net``'s exposure-guided selection leaves of the first scale's channels, for these pairs.

    Arguments as ``Eafnet.encode_pair``.
    """
    if net.select_pair is None:
        return torch.ones(net.config.width)
    ratios: list[Tensor] = []

    def note(_module: object, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        if not ratios:  # the first scale comes first
            before = inputs[0].mean(dim=(0, 2, 3))
            ratios.append(output.mean(dim=(0, 2, 3)) / before.clamp(min=1e-6))

    hook = net.select_pair.register_forward_hook(note)
    net.encode_pair(low, high, exposure, mean)
    hook.remove()
    return ratios[0].clamp(0.0, 1.0)


@torch.no_grad()
def narrowed(net: Eafnet, attention_width: int, head_width: int) -> Eafnet:
    """A network like ``net`` with a narrower spatial attention and head, in training mode.

    Raises ValueError where a width would grow, or there is no head of its own.
    """
    config = net.config
    head = cast("Head", net.head)
    if attention_width > config.attention_width or not 0 < head_width <= config.head_width:
        raise ValueError(
            f"narrowing to {attention_width} and {head_width} from {config.attention_width} and "
            f"{config.head_width}: give widths that are no larger, of a network with a head"
        )
    slim = Eafnet(replace(config, attention_width=attention_width, head_width=head_width))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    for side, module in enumerate(net.merge):
        merging = cast("Merging", module)
        made = _size(merging.compare_reference.weight) + _size(merging.compare_other.weight)
        kept = _strongest(made * _size(merging.weigh.weight, of=1), attention_width)
        own = f"merge.{side}."
        for name in ("compare_reference.weight", "compare_reference.bias", "compare_other.weight"):
            state[own + name] = state[own + name][kept]
        state[own + "weigh.weight"] = state[own + "weigh.weight"][:, kept]
    assert head.mix is not None
    kept = _strongest(_size(head.mix.weight) * _size(head.last.weight, of=1), head_width)
    # What the first convolution makes for the second, and what features bring to the first, are two sets.
    brought = _strongest(_size(head.mix.weight[:, : config.head_width], of=1), head_width)
    blocks = (brought[:, None] * config.reduction**2 + torch.arange(config.reduction**2)).reshape(-1)
    beside = torch.arange(config.head_width, head.mix.in_channels)
    state["head.expand.weight"] = state["head.expand.weight"][blocks]
    state["head.expand.bias"] = state["head.expand.bias"][blocks]
    state["head.mix.weight"] = state["head.mix.weight"][kept][:, torch.cat([brought, beside])]
    state["head.mix.bias"] = state["head.mix.bias"][kept]
    state["head.last.weight"] = state["head.last.weight"][:, kept]
    slim.load_state_dict(state)
    return slim.train()


def _size(weight: Tensor, of: int = 0) -> Tensor:
    """Length of a convolution's weights per output channel, or per input channel with ``of`` 1."""
    return weight.square().transpose(0, of).flatten(1).sum(dim=1).sqrt()


def _strongest(strength: Tensor, count: int) -> Tensor:
    return strength.argsort(descending=True)[:count].sort().values
