"""ColorVideoVDP sees what the authors' package sees, on the display that we say."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from edge.errors import ImageError
from export.judging.metrics_vdp import ColorVideoVdp, HdrDisplay, _import_cvvdp, why_unavailable

FOUR_DIGITS = 5e-5
needs_package = pytest.mark.skipif(why_unavailable() is not None, reason=why_unavailable() or "installed")


def scene(noise: float = 0.0, seed: int = 8) -> NDArray[np.float32]:
    """Coloured blobs over three decades of light, with noise."""
    blobs = gaussian_filter(np.random.default_rng(7).normal(size=(72, 96, 3)), (3, 3, 0))
    image = np.clip(10.0 ** (blobs * 9 - 1.2), 0, 1)
    noisy = image * (1.0 + np.random.default_rng(seed).normal(0, noise, image.shape))
    return np.clip(noisy, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def metric() -> ColorVideoVdp:
    """Of the default display."""
    return ColorVideoVdp()


def direct(peak_nits: float) -> Any:
    """The authors' package, on its own display but for the peak."""
    package = _import_cvvdp()
    import torch

    photometry = package.vvdp_display_photometry.load("standard_hdr_linear", [])
    photometry.Y_peak = peak_nits
    return package.cvvdp(
        "standard_hdr_linear", display_photometry=photometry, device=torch.device("cpu"), quiet=True
    )


@needs_package
def test_image_scores_are_those_of_the_package() -> None:
    """Light in cd/m2, colours, orientation and viewing distance all reach it as meant."""
    for peak_nits in (1000.0, 4000.0):
        ours = ColorVideoVdp(HdrDisplay(peak_nits=peak_nits))
        theirs = direct(peak_nits)
        for noise in (0.05, 0.5):
            output, truth = scene(noise), scene()
            expected, _ = theirs.predict(output * peak_nits, truth * peak_nits, dim_order="HWC")
            assert ours.image(output, truth) == pytest.approx(float(expected), abs=FOUR_DIGITS)


@needs_package
def test_video_scores_are_those_of_the_package(metric: ColorVideoVdp) -> None:
    """Frame by frame gives the score of the whole array, and asks for each frame once."""

    class Counted(Sequence[Any]):
        """A sequence that loads late."""

        def __init__(self, frames: list[NDArray[np.float32]]) -> None:
            self.frames, self.asked = frames, [0] * len(frames)

        def __len__(self) -> int:
            return len(self.frames)

        def __getitem__(self, index: Any) -> Any:
            self.asked[index] += 1
            return self.frames[index]

    outputs, truths = [scene(0.3, seed) for seed in range(4)], [scene()] * 4
    expected, _ = direct(1000.0).predict(
        np.stack(outputs) * 1000, np.stack(truths) * 1000, dim_order="FHWC", frames_per_second=30
    )
    counted = Counted(outputs)
    assert metric.video(counted, truths, 30.0) == pytest.approx(float(expected), abs=FOUR_DIGITS)
    assert max(counted.asked[1:]) == 1


@needs_package
def test_equal_is_ten_and_more_noise_is_worse(metric: ColorVideoVdp) -> None:
    """Ten is no visible difference; else a table ranks methods the wrong way round."""
    scores = [metric.image(scene(noise), scene()) for noise in (0.0, 0.1, 0.3, 1.0)]
    assert scores[0] == pytest.approx(10.0, abs=1e-3)
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 9.0


@needs_package
def test_flicker_is_seen_in_video_and_not_in_its_frames(metric: ColorVideoVdp) -> None:
    """The reason to use this metric: +-5 % of light at 15 Hz is plain in motion and harmless in a still."""
    flicker = [scene() * np.float32(0.95 if k % 2 else 1.0) for k in range(8)]
    steady = [scene() * np.float32(0.95)] * 8
    truth = [scene()] * 8
    assert metric.video(flicker, truth, 30.0) < metric.video(steady, truth, 30.0) - 0.1


@needs_package
def test_a_brighter_display_shows_more(metric: ColorVideoVdp) -> None:
    """The peak is really the light of 1.0: noise in the dark is not seen on a dim display."""
    dim = ColorVideoVdp(HdrDisplay(peak_nits=5.0))
    assert dim.image(scene(0.5), scene()) > metric.image(scene(0.5), scene()) + 0.1


@needs_package
def test_scores_come_with_their_condition(metric: ColorVideoVdp) -> None:
    """A score without display and version compares with nothing."""
    for part in ("ColorVideoVDP v", "75.4 [pix/deg]", "Lpeak=1000"):
        assert part in metric.condition


@needs_package
def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that loads its tables from the network fails in a laboratory without one."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the metric opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert ColorVideoVdp().image(scene(0.1), scene()) < 10.0


@needs_package
def test_frames_that_do_not_fit_are_named(metric: ColorVideoVdp) -> None:
    """Not an assertion of the package from deep inside."""
    with pytest.raises(ImageError, match="different shapes"):
        metric.image(scene()[:40], scene())
    with pytest.raises(ImageError, match="a truth for each frame"):
        metric.video([scene()] * 2, [scene()], 30.0)
    with pytest.raises(ImageError, match=r"got \(40, 96, 3\)"):
        metric.video([scene(), scene()[:40]], [scene()] * 2, 30.0)


def test_without_the_package_the_text_says_what_to_install() -> None:
    """One clear line; and importing the module needs neither torch nor the package."""
    code = (
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'pycvvdp' else found(name, *a)\n"
        "import sys, export.judging.metrics, export.judging.metrics_vdp as m\n"
        "assert not {'torch', 'pycvvdp'} & set(sys.modules)\n"
        "m.ColorVideoVdp()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "UnavailableError: ColorVideoVDP is not installed" in done.stderr.splitlines()[-1]
    assert "pip install 'twinhdr[vdp]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_display_without_light_is_refused(value: float) -> None:
    """Else every picture on it is perfect."""
    with pytest.raises(ValueError, match="peak_nits"):
        HdrDisplay(peak_nits=value)
