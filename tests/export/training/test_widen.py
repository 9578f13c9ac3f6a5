"""A wide network starts where a narrow one has got to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="widening needs PyTorch: pip install twinhdr[export]")

from export.eafnet.config import EafnetConfig, variant  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.training.widen import widen  # noqa: E402

EXPOSURE = torch.tensor([[0.25, 1.0, 4.0], [0.5, 1.0, 2.0]])
MEAN = torch.tensor([[0.2, 0.4, 0.6], [0.3, 0.4, 0.5]])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def trained(config: EafnetConfig) -> Eafnet:
    """A network whose every parameter matters: a fresh one ends in a convolution of zeros."""
    net = Eafnet(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
        net.head.last.weight.normal_(std=0.3)
    return net


@torch.inference_mode()
def answer(net: Eafnet, side: int = 64) -> torch.Tensor:
    """The network's logits' sigmoid on one fixed random bracket."""
    low, reference, high = torch.rand((3, 2, 3, side, side), generator=torch.Generator().manual_seed(1))
    out: torch.Tensor = net.eval()(low, reference, high, EXPOSURE, MEAN)
    return out


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_widened_m_answers_as_its_s(noise: float) -> None:
    """M would start from scratch, hours behind S, if one channel were counted twice."""
    small = trained(variant("s"))
    wide = widen(small, variant("m"), noise)
    assert wide.config == variant("m")
    untrained = answer(Eafnet(variant("s")))
    expected = answer(small)
    assert (untrained - expected).abs().max() > 0.05
    assert (answer(wide) - expected).abs().max() < 1e-4


NARROW = variant("l", width=8, growth=4, attention_width=4)
CHANGES: list[dict[str, Any]] = [
    {},
    {"cosine_attention": False},
    {"guidance": "add", "guidance_source": "features"},
    {"guidance": "none"},
    {"multiscale": False},
    {"dwt": False},
    {"efsm": False},
    {"merging": "ahdr"},
    {"shared_pair": True, "second_scale": "stride", "head_width": 4, "reduction": 2},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_every_kind_of_network_widens(changes: dict[str, Any]) -> None:
    """The paper's ablations pass through the same code; widths that are no multiples too."""
    small = trained(replace(NARROW, **changes))
    head = 6 if small.config.head_width else 0
    wide = replace(small.config, width=20, growth=6, attention_width=7, head_width=head)
    assert (answer(widen(small, wide)) - answer(small)).abs().max() < 1e-4


def test_a_head_that_learns_to_see_the_high_exposure_starts_blind() -> None:
    """Weights from before the head saw the high exposure must not be lost, nor answer differently."""
    small = trained(variant("s", head_high=False))
    for config in (variant("s"), variant("m")):
        wide = widen(small, config)
        assert wide.config.head_high
        assert (answer(wide) - answer(small)).abs().max() < 1e-4


def test_copies_part_when_they_are_trained() -> None:
    """Copies with equal gradients stay copies: a wide network that can do no more than the narrow one."""
    small = trained(variant("s", width=8, growth=4, attention_width=4, head_width=4))
    wide = widen(small, replace(small.config, width=16, growth=8))
    stem = wide.reference_stem.first.weight
    assert torch.equal(stem[:8], stem[8:])
    low, reference, high, truth = torch.rand(4, 2, 3, 32, 32)
    (wide(low, reference, high, EXPOSURE, MEAN) - truth).abs().mean().backward()
    first, second = stem.grad[:8], stem.grad[8:]
    assert (first - second).abs().mean() > 0.05 * first.abs().mean()


def test_what_cannot_be_widened_is_named() -> None:
    """XS shrinks by 4 where S shrinks by 2: no widening joins them."""
    with pytest.raises(ValueError, match=r"reduction \(2 and 4\)"):
        widen(Eafnet(variant("s")), variant("xs"))
    with pytest.raises(ValueError, match="width >= 64"):
        widen(Eafnet(variant("m")), replace(variant("s"), growth=32))
    with pytest.raises(ValueError, match="frozen"):
        widen(Eafnet(variant("s")).freeze(), variant("m"))
