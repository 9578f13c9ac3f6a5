"""The HDR signal is what the standards say, for every pixel that can occur, and fast enough to be live."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edge.tone import colour
from edge.tone.tonemap import HdrFormat, HdrToneMapper, YuvImage

Array = NDArray[np.float64]

# ITU-R BT.2087-0, table 1; ST 2084, 5.2; BT.2100-2, tables 4, 5 and 9: written out, in float64.
BT2087 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def pq(nits: Array) -> Array:
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    y = (nits / 10000) ** m1
    return np.asarray(((c1 + c2 * y) / (1 + c3 * y)) ** m2)


def hlg(scene: Array) -> Array:
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def reference_codes(radiance: Array, fmt: HdrFormat) -> tuple[Array, Array, Array]:
    """Y, Cb, Cr codes before rounding: exact arithmetic, chroma left-sited by the (1 2 1) x (1 1) filter."""
    light = np.nan_to_num(radiance.astype(np.float64) @ colour.rec709_to_bt2020().T, nan=0.0)
    if fmt.transfer == "pq":
        signal = pq(np.clip(light * fmt.reference_white_nits, 0.0, fmt.peak_nits))
    else:
        white = (fmt.reference_white_nits / fmt.peak_nits) ** (
            1 / (1.2 + 0.42 * np.log10(fmt.peak_nits / 1e3))
        )
        signal = hlg(np.clip(light * white, 0.0, 1.0))
    red, green, blue = np.moveaxis(signal, -1, 0)
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    cb, cr = (blue - luma) / 1.8814, (red - luma) / 1.4746
    return 219 * 4 * luma + 64, _down(224 * 4 * cb + 512), _down(224 * 4 * cr + 512)


def _down(chroma: Array) -> Array:
    rows = (chroma[0::2] + chroma[1::2]) / 2
    left = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    return np.asarray((left + 2 * rows[:, 0::2] + rows[:, 1::2]) / 4)


def distance(image: YuvImage, radiance: Array, fmt: HdrFormat) -> float:
    """The largest difference to the reference in code values, over all planes."""
    planes = zip((image.y, image.cb, image.cr), reference_codes(radiance, fmt), strict=True)
    return max(float(np.abs(fast.astype(float) - exact).max()) for fast, exact in planes)


def test_colour_matrix_is_bt2087() -> None:
    """Colours would shift on every HDR display if the conversion to BT.2020 were another one."""
    assert np.abs(colour.rec709_to_bt2020() - BT2087).max() < 6e-5


def test_white_and_peak_levels() -> None:
    """Paper white stands at 203 cd/m2 (PQ 58 %, HLG 75 %, BT.2408), or graders see a wrong exposure."""
    for transfer, percent in (("pq", 0.5807), ("hlg", 0.75)):
        image = HdrToneMapper(HdrFormat(transfer)).convert(np.ones((4, 4, 3), np.float32))  # type: ignore[arg-type]
        assert image.y[0, 0] == pytest.approx(64 + 876 * percent, abs=1.0)
        assert (image.cb == 512).all()
        assert (image.cr == 512).all()


@pytest.mark.parametrize("fmt", [HdrFormat(), HdrFormat("hlg"), HdrFormat("pq", 100.0, 4000.0)])
def test_fast_path_is_exact(fmt: HdrFormat) -> None:
    """Tables and integer planes must not be visible: at most one code off the formulas, shadows to peak."""
    rng = np.random.default_rng(1)
    radiance = (2.0 ** rng.uniform(-14, 3, (64, 96, 3))).astype(np.float32)
    radiance[:8] = 0.0
    radiance[8:16] = np.linspace(0, 6, 96)[None, :, None]
    assert distance(HdrToneMapper(fmt).convert(radiance), radiance, fmt) <= 1.0


MAPPER = HdrToneMapper()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9).map(lambda s: (*s, 3)),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    )
)
def test_no_input_makes_garbage(radiance: NDArray[np.float32]) -> None:
    """One NaN of a broken model must stay one black pixel: never a code outside the legal range, any size."""
    image = MAPPER.convert(radiance)
    height, width = (n + n % 2 for n in radiance.shape[:2])
    assert image.y.shape == (height, width)
    assert image.cb.shape == image.cr.shape == (height // 2, width // 2)
    assert 64 <= image.y.min() <= image.y.max() <= 940
    for chroma in (image.cb, image.cr):
        assert 64 <= chroma.min() <= chroma.max() <= 960
    assert image.light is not None
    assert 0.0 <= image.light.average_nits <= image.light.peak_nits + 1e-3 <= 1000.1


def test_special_values() -> None:
    """NaN and negative are black, infinite is the peak, and each only where it stands."""
    radiance = np.full((8, 8, 3), 0.5, np.float32)
    clean = HdrToneMapper().convert(radiance)
    for value, code in ((np.nan, 64), (-np.inf, 64), (-1.0, 64), (np.inf, 64 + 876 * 0.7518)):
        radiance[2, 2] = value
        image = MAPPER.convert(radiance)
        assert image.y[2, 2] == pytest.approx(code, abs=1)
        image.y[2, 2] = clean.y[2, 2]
        assert (image.y == clean.y).all()


def test_odd_size_is_padded_by_its_edge() -> None:
    """A camera with odd sides must not lose its last row, nor show a black line."""
    rng = np.random.default_rng(2)
    odd = rng.random((5, 7, 3), np.float32)
    padded = np.pad(odd, ((0, 1), (0, 1), (0, 0)), mode="edge")
    mapper = HdrToneMapper()
    assert (mapper.convert(odd).y == mapper.convert(padded).y).all()
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        mapper.convert(np.zeros((4, 4), np.float32))


def test_light_is_cta_861_3() -> None:
    """MaxCLL is the brightest *channel* of any pixel, MaxFALL the mean of each pixel's brightest."""
    radiance = np.zeros((10, 10, 3), np.float32)
    radiance[0, 0] = 2.0
    radiance[1, 0] = (0.0, 0.0, 1.0)
    light = HdrToneMapper().convert(radiance).light
    assert light is not None
    assert light.peak_nits == pytest.approx(406.0, rel=1e-3)
    assert light.average_nits == pytest.approx((406.0 + 203.0 * BT2087[2, 2]) / 100, rel=2e-3)
    radiance[0, 0] = 100.0
    light = HdrToneMapper().convert(radiance).light
    assert light is not None
    assert light.peak_nits == pytest.approx(1000.0, rel=1e-3)
    assert HdrToneMapper(HdrFormat("hlg")).convert(radiance).light is None


def test_planes_belong_to_the_caller() -> None:
    """The encoder reads one image while the next is made: work buffers must not be handed out."""
    mapper = HdrToneMapper()
    first = mapper.convert(np.full((4, 4, 3), 0.25, np.float32))
    kept = first.y.copy(), first.cb.copy(), first.cr.copy()
    mapper.convert(np.full((4, 4, 3), (3.0, 1.0, 0.1), np.float32))
    assert all((a == b).all() for a, b in zip(kept, (first.y, first.cb, first.cr), strict=True))


def test_conversion_fits_the_frame_budget() -> None:
    """960x540 in 8 ms of CPU: the line has 25 ms for everything but network and encoder."""
    rng = np.random.default_rng(3)
    radiance = (rng.random((540, 960, 3)) ** 3 * 4).astype(np.float32)
    mapper = HdrToneMapper()
    mapper.convert(radiance)
    spent = []
    for _ in range(15):
        begin = time.thread_time()
        mapper.convert(radiance)
        spent.append(time.thread_time() - begin)
    assert min(spent) < 0.008  # the quickest of a few: the machine may be busy with something else


def test_transfer_functions_invert() -> None:
    """Reading light back from the signal is how MaxCLL is measured; the pairs must be inverses."""
    nits = np.array([0.0, 0.005, 1.0, 100.0, 203.0, 1000.0, 10000.0])
    assert colour.nits_from_pq(colour.pq_from_nits(nits)) == pytest.approx(nits, rel=1e-9, abs=1e-9)
    light = np.linspace(0, 1, 33)
    assert colour.linear_from_srgb(colour.srgb_from_linear(light)) == pytest.approx(light, abs=1e-9)


def test_lookup_without_wide_tables_in_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """JetPack's and Debian's OpenCV look up 8-bit images only; the picture must be the same there."""
    radiance = np.random.default_rng(4).random((8, 8, 3), np.float32) * 4
    expected = HdrToneMapper().convert(radiance)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise colour.cv2.error("(-215:Assertion failed) lut_cn == cn && _lut.total() == 256")

    monkeypatch.setattr(colour.cv2, "LUT", refuse)
    image = HdrToneMapper().convert(radiance)
    assert (image.y == expected.y).all()
    assert (image.cb == expected.cb).all()
    assert image.light == expected.light
