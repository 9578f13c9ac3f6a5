"""A frame of the wrong exposure would be radiance that is wrong by four stops, with full confidence."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.frames import Exposure
from hw.exposure_level import LevelIdentifier, quantiles_of

LOW, HIGH = Exposure(500.0), Exposure(8_000.0)


def scene(median: float, spread_ev: float = 2.0, seed: int = 0) -> NDArray[np.float64]:
    """Radiance per microsecond of 1500 sampled pixels: log-normal, as natural scenes are."""
    rng = np.random.default_rng(seed)
    return np.asarray(median * 2.0 ** rng.normal(0.0, spread_ev, 1_500))


def seen(radiance: NDArray[np.float64], exposure: Exposure, seed: int = 1) -> NDArray[np.float64]:
    """Quantiles of what an 8-bit camera sees of it, with noise."""
    rng = np.random.default_rng(seed)
    linear = np.clip(radiance * exposure.light + rng.normal(0, 0.002, radiance.size), 0.0, 1.0)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    counts = np.rint(coded * 255) / 255
    return quantiles_of(np.where(counts <= 0.04045, counts / 12.92, ((counts + 0.055) / 1.055) ** 2.4))


MEDIUM = 1.0 / 8_000
"""Half of the pixels clip in the high exposure."""


def test_nothing_is_said_before_two_frames_differ() -> None:
    """The parity after a start is never assumed: the first frame may be either."""
    for first, second in ((LOW, HIGH), (HIGH, LOW)):
        identifier = LevelIdentifier([LOW, HIGH])
        assert identifier.identify(seen(scene(MEDIUM), first)) is None
        assert identifier.identify(seen(scene(MEDIUM), first)) is None
        assert identifier.identify(seen(scene(MEDIUM), second)) == second
        assert identifier.identify(seen(scene(MEDIUM), first)) == first


@pytest.mark.parametrize("median", [MEDIUM / 64, MEDIUM / 8, MEDIUM, MEDIUM * 4])
def test_repeats_and_skips_are_told(median: float) -> None:
    """A webcam that skips a setting once would be wrong from there on if frames were counted."""
    rng = np.random.default_rng(5)
    identifier = LevelIdentifier([LOW, HIGH])
    truth = [LOW, HIGH, *(LOW if rng.random() < 0.5 else HIGH for _ in range(60))]
    told = [identifier.identify(seen(scene(median, seed=n % 3), one, n)) for n, one in enumerate(truth)]
    assert told[1:] == truth[1:]


def test_a_frame_between_two_exposures_belongs_to_none() -> None:
    """A rolling shutter that is told while it reads out gives a frame that fits neither."""
    identifier = LevelIdentifier([LOW, HIGH])
    for n, one in enumerate((LOW, HIGH, LOW)):
        identifier.identify(seen(scene(MEDIUM / 4), one, n))
    assert identifier.identify(seen(scene(MEDIUM / 4), Exposure(2_000.0))) is None
    assert identifier.identify(seen(scene(MEDIUM / 4), HIGH)) == HIGH


@pytest.mark.parametrize("ev_per_frame", [-0.15, 0.15])
def test_a_sunrise_is_followed(ev_per_frame: float) -> None:
    """A scene that slowly becomes brighter would one day be taken for the other exposure."""
    identifier = LevelIdentifier([LOW, HIGH])
    for n in range(60):
        one = (LOW, HIGH)[n % 2]
        # up to where even the low exposure is mostly white, or the high one mostly black, minus a margin
        told = identifier.identify(seen(scene(MEDIUM / 4 * 2.0 ** (ev_per_frame * (n - 30) / 2)), one, n))
        assert told == one or n == 0


def test_a_lamp_that_goes_on_costs_frames_but_no_truth_for_long() -> None:
    """After a jump of the light nothing fits; the identifier must find its way back by itself."""
    identifier = LevelIdentifier([LOW, HIGH])
    told: list[Exposure | None] = []
    truth = [(LOW, HIGH)[n % 2] for n in range(40)]
    for n, one in enumerate(truth):
        bright = MEDIUM / 16 if n < 20 else MEDIUM / 16 * 2.0**2.5
        told.append(identifier.identify(seen(scene(bright), one, n)))
    assert told[1:20] == truth[1:20]
    assert all(a in (b, None) for a, b in zip(told[20:], truth[20:], strict=True))
    assert told[27:] == truth[27:]


def test_a_covered_lens_says_nothing() -> None:
    """Two black frames look alike: to guess would be to be wrong half of the time."""
    identifier = LevelIdentifier([LOW, HIGH])
    for n in range(10):
        assert identifier.identify(seen(scene(MEDIUM / 1e6), (LOW, HIGH)[n % 2], n)) is None
    assert not identifier.settled


def test_exposures_may_change_while_it_films() -> None:
    """Each step of an automatic exposure would cost a pair."""
    identifier = LevelIdentifier([LOW, HIGH])
    told = []
    truth = []
    for n in range(40):
        drift = 1.0 + 0.02 * n
        cycle = [Exposure(LOW.exposure_us * drift), Exposure(HIGH.exposure_us * drift)]
        if n:
            identifier.change(cycle)
        lagging = 1.0 + 0.02 * max(n - 2, 0)
        truth.append(Exposure((LOW, HIGH)[n % 2].exposure_us * lagging))
        told.append(identifier.identify(seen(scene(MEDIUM / 4), truth[-1], n)))
    assert None not in told[1:]
    assert max(abs(a.ev_from(b)) for a, b in zip(told[1:], truth[1:], strict=True) if a) < 0.3


def test_exposures_that_cannot_be_told_apart_are_refused() -> None:
    """A pair of equal exposures is no pair."""
    with pytest.raises(ValueError, match=r"0\.5 EV apart"):
        LevelIdentifier([LOW, Exposure(600.0)])
