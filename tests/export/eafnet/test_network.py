"""The network is what the specification says: transforms, equations, switches and cost."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the network needs PyTorch: pip install twinhdr[export]")

from torch.nn import functional  # noqa: E402

from export.eafnet.config import VARIANTS, EafnetConfig, variant  # noqa: E402
from export.eafnet.layout import from_windows, haar, inverse_haar, space_to_depth, to_windows  # noqa: E402
from export.eafnet.model import Eafnet  # noqa: E402
from export.eafnet.prealign import luminance_gain, relative_times  # noqa: E402
from export.eafnet.restoration import (  # noqa: E402
    BandpassFilters,
    HaarConv,
    LightFeatures,
    inverse_dct_matrix,
)
from export.eafnet.start import SKIP_MAX, SKIP_MIN  # noqa: E402
from export.graphs.cost import cost  # noqa: E402

EXPOSURE = torch.tensor([[0.25, 1.0, 4.0]])
MEAN = torch.tensor([[0.2, 0.4, 0.6]])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tiny(name: str, **changes: Any) -> EafnetConfig:
    """A variant with few channels: the same structure at a hundredth of the cost."""
    return variant(name, width=8, growth=4, attention_width=4, **changes)


def bracket(side: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low, reference, high = torch.rand(3, batch, 3, side, side)
    return low, reference, high


def test_haar_is_orthonormal_and_inverts() -> None:
    """If it were not, folding it into convolutions would change the network."""
    x = torch.rand(2, 3, 8, 12)
    bands = haar(x)
    assert torch.allclose(bands.square().sum(), x.square().sum(), rtol=1e-5)
    assert torch.allclose(inverse_haar(bands), x, atol=1e-6)


def test_haar_bands_are_the_specified_ones() -> None:
    """Weights trained with one order of bands are useless with another."""
    a, b, c, d = 1.0, 2.0, 4.0, 8.0
    bands = haar(torch.tensor([[[[a, b], [c, d]]]])).flatten().tolist()
    assert bands == [(a + b + c + d) / 2, (-a - b + c + d) / 2, (-a + b - c + d) / 2, (a - b - c + d) / 2]


def test_inverse_dct_is_orthonormal() -> None:
    """The bandpass filters of the paper are a basis; a wrong constant would weigh them unevenly."""
    basis = inverse_dct_matrix()
    assert torch.allclose(basis @ basis.T, torch.eye(64), atol=1e-6)
    assert torch.allclose(basis[:, 0], torch.full((64,), 0.125), atol=1e-6)


def test_windows_come_back_where_they_were() -> None:
    """A window put back in the wrong place is a visible 8x8 mosaic."""
    x = torch.rand(4, 3, 16, 24)
    windows = to_windows(x, 2, 3)
    assert windows.shape == (2, 2 * 6, 64, 3)
    assert torch.equal(windows[0, 0, 9], x[0, :, 1, 1])
    assert torch.equal(from_windows(windows, x, 2, 3), x)


def test_space_to_depth_orders_channels_as_onnx_does() -> None:
    """The exported graph uses ONNX's SpaceToDepth; another order would scramble the stem's input."""
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert space_to_depth(x, 2).flatten().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


@pytest.mark.parametrize("bands", [1, 4])
def test_folded_bandpass_filters_equal_the_steps_of_the_paper(bands: int) -> None:
    """The exported network must be the trained one: coefficients, weights, inverse DCT, 1x1, inverse Haar."""
    block = BandpassFilters(6, 5, bands)
    torch.nn.init.normal_(block.weights, mean=1.0, std=0.5)
    x = torch.rand(1, 6, 8, 8)
    outputs = []
    for band in range(bands):
        rows = slice(64 * band, 64 * (band + 1))
        coefficients = functional.conv2d(x, block.predict.weight[rows], block.predict.bias[rows], padding=1)
        weighted = coefficients * block.weights[band][:, None, None]
        pixels = torch.einsum("pk,bkhw->bphw", inverse_dct_matrix(), weighted)
        mine = slice(5 * band, 5 * (band + 1))
        outputs.append(functional.conv2d(pixels, block.project.weight[mine], block.project.bias[mine]))
    expected = torch.cat(outputs, dim=1)
    if bands == 4:
        expected = inverse_haar(expected)
    assert torch.allclose(block(x), expected, atol=1e-5)
    block.freeze()
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_folded_haar_convolutions_equal_the_unfolded_ones() -> None:
    """As above, for the two other places where a wavelet meets a convolution."""
    x = torch.rand(1, 4, 16, 16)
    enter, light = HaarConv(4), LightFeatures(variant("s", width=4))
    assert torch.allclose(enter(x), enter.conv(haar(x)), atol=1e-5)
    assert torch.allclose(light(x), x + inverse_haar(light.conv(haar(x))), atol=1e-5)


def test_luminance_gain_brings_the_means_together() -> None:
    """Equation 2 is printed upside down; that way low becomes darker and high brighter still."""
    gain = luminance_gain(torch.tensor(0.4), torch.tensor([0.2, 0.8, 0.0]))
    assert gain[0] == pytest.approx(2.0, rel=0.01)
    assert gain[1] == pytest.approx(0.5, rel=0.01)
    assert gain[2] == 8.0


def test_times_are_relative_to_the_low_exposure() -> None:
    """H and the output share the scale on which 1.0 saturates the low exposure."""
    times, steps = relative_times(EXPOSURE * 7)
    assert times.flatten().tolist() == [1.0, 4.0, 16.0]
    assert steps.flatten().tolist() == pytest.approx([-0.2, 0.2])


@pytest.mark.parametrize("skip", ["reference", "blend"])
def test_an_untrained_network_answers_with_its_skip(skip: str) -> None:
    """Training starts from a usable picture instead of grey."""
    net = Eafnet(tiny("s", skip=skip))
    low, reference, high = bracket(64)
    low[..., :32] = 1.0
    reference[..., 20:] = 1.0
    out = net(low, reference, high, EXPOSURE, MEAN)
    expected = reference / 4
    if skip == "blend":
        clipped = reference == 1.0
        expected = torch.where(clipped, torch.maximum(low, expected), expected)
        partly = (reference > 0.75) & ~clipped  # inside the ramp
        out, expected = out[~partly], expected[~partly]
    assert torch.allclose(out, expected.clamp(SKIP_MIN, SKIP_MAX), atol=1e-5)


def test_the_start_is_steadied_by_the_high_exposure_and_by_no_ghost() -> None:
    """Shadows are noisy in the reference and quiet in the high exposure, unless something moved there."""
    generator = torch.Generator().manual_seed(3)
    truth = torch.full((1, 3, 64, 64), 0.05)
    reference = (truth + 0.004 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    high = truth * 4
    low = truth / 4
    net = Eafnet(tiny("s"))
    high[..., 40:60, 40:60] = 0.9  # was somewhere else then
    out = net(low, reference, high, EXPOSURE, MEAN) * 4
    still, moved = (slice(None), slice(None), slice(0, 30)), (..., slice(44, 56), slice(44, 56))
    assert (out[still] - 0.05).std() < 0.4 * (reference[still] - 0.05).std()
    assert torch.allclose(out[moved], reference[moved], atol=1e-5)


def test_a_clipped_channel_is_never_taken_for_darker_than_where_it_clips() -> None:
    """A dark object that has moved through the low exposure must not leave its ghost in a clipped sky."""
    net = Eafnet(tiny("s"))
    low, reference, high = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    out = net(low, reference, high, EXPOSURE, MEAN)
    assert torch.allclose(out, torch.full_like(out, 0.25), atol=1e-5)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_pair_features_do_not_depend_on_the_reference(name: str) -> None:
    """They are cached over all reference frames of a group: a dependence would be a ghost of the first."""
    net = Eafnet(tiny(name)).eval()
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    side = net.config.multiple
    low, reference, high = bracket(side)
    pair = net.encode_pair(low, high, EXPOSURE, MEAN)
    other = net.fuse(1 - reference, low, high, EXPOSURE, pair)
    assert torch.equal(other, net(low, 1 - reference, high, EXPOSURE, MEAN))


@pytest.mark.parametrize("name", ["l", "s"])
def test_a_batch_is_computed_sample_by_sample(name: str) -> None:
    """Low and high run as one batch; mixing up samples would train on other scenes' pairs."""
    net = Eafnet(tiny(name)).eval()
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    low, reference, high = bracket(32, batch=3)
    exposure = torch.tensor([[0.25, 1.0, 4.0], [0.5, 1.0, 2.0], [0.125, 1.0, 4.0]])
    mean = torch.rand(3, 3)
    together = net(low, reference, high, exposure, mean)
    for i in range(3):
        k = slice(i, i + 1)
        alone = net(low[k], reference[k], high[k], exposure[k], mean[k])
        assert torch.allclose(together[k], alone, atol=1e-5)


SWITCHES: list[dict[str, Any]] = [
    {"inputs": ("L", "H")},
    {"inputs": ("L", "G")},
    {"inputs": ("H", "G")},
    {"efsm": False},
    {"asymmetric": False},
    {"cosine_attention": False},
    {"guidance": "none"},
    {"guidance": "concat"},
    {"guidance": "add", "guidance_source": "attention"},
    {"modulation_ratio": 0.5},
    {"modulation_ratio": 8.0},
    {"dwt": False},
    {"multiscale": False},
    {"merging": "ahdr"},
    {"skip": "none"},
    {"skip": "reference"},
]


@pytest.mark.parametrize("name", ["l", "s"])
@pytest.mark.parametrize("changes", SWITCHES, ids=str)
def test_every_ablation_trains(name: str, changes: dict[str, Any]) -> None:
    """Each row of the paper's tables is one switch; one that does not run cannot be reproduced."""
    net = Eafnet(tiny(name, **changes))
    torch.nn.init.normal_(net.head.last.weight, std=0.1)
    out = net(*bracket(net.config.multiple), EXPOSURE, MEAN)
    out.mean().backward()
    idle = [n for n, p in net.named_parameters() if p.grad is None]
    assert not idle, f"these parameters take no part: {idle}"


def test_configuration_survives_json() -> None:
    """A checkpoint's network is rebuilt from its header."""
    import json

    config = variant("s", inputs=("L", "H"), skip="reference")
    assert EafnetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("name", "parameters", "per_pair", "per_reference"),
    [
        ("l", 1.886e6, 115.2, 792.7),
        ("m", 1.169e6, 34.5, 89.2),
        ("s", 0.401e6, 11.2, 24.7),
        ("xs", 1.294e6, 16.4, 27.3),
    ],
)
def test_cost_is_the_specified_one(
    name: str, parameters: float, per_pair: float, per_reference: float
) -> None:
    """Frame rates on the device follow from these.

    The specification's table: L 1.89 M, 114.9 + 792.6 kMAC/px (ours the same); M 1.28 M, 38.5 + 119.8;
    S 0.45 M, 12.2 + 40.9; XS 1.47 M, 17.4 + 34.4. The family differs because low and high share their stem
    too (fewer parameters), eq. 10's convolution over the reference's features is computed once for both,
    guidance comes from the attended features, the head sees low, high and the skip, attention is left out
    at the first scale, and S has a narrower spatial attention.
    """
    counted = cost(variant(name))
    assert counted.parameters == pytest.approx(parameters, rel=0.005)
    assert counted.per_pair == pytest.approx(per_pair, rel=0.01)
    assert counted.per_reference == pytest.approx(per_reference, rel=0.01)


def test_unknown_variant_names_those_there_are() -> None:
    """A typing error gets an answer, not a traceback."""
    with pytest.raises(ValueError, match="l, m, s, xs"):
        variant("xl")
