"""The robustness report judges in true units and can tell a robust method from one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.images.imageio import write_exr
from edge.register.align import Aligner
from export.cli import app
from export.compare.merges import radiance_merge
from export.judging.metrics import psnr_mu
from export.judging.robustness import Fault, Outcome, faults, misled, on_reference, try_faults, with_fault
from export.training.brackets import VALIDATION, Sample
from tests.export.bracket_sets import radiance
from tests.export.brackets_known import moved, still


class NoAligner(Aligner):
    """Takes everything as it comes."""

    def align(self, reference, low, high, light):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        from edge.register.align import Aligned, stand_in

        low = stand_in(reference, light[0] / light[1]) if low is None else low
        high = stand_in(reference, light[2] / light[1]) if high is None else high
        return Aligned(low, high, light)


def reference_in_units(sample: Sample) -> np.ndarray:
    """Answers with the reference, in units of the low exposure it was told."""
    return sample.reference * sample.exposure[0]


def by_fault(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.fault: outcome for outcome in outcomes}


@pytest.mark.parametrize("told", [0.9, 1.1])
def test_the_truth_stays_in_true_units(told: float) -> None:
    """Judged on the told scale, a network that ignores the lie would seem to lose 1 dB to it."""
    sample = still()
    fault = Fault("low", told=(told, 1.0))
    right = reference_in_units(sample)
    np.testing.assert_allclose(with_fault(reference_in_units, sample, fault, NoAligner()), right, rtol=1e-5)
    np.testing.assert_allclose(with_fault(reference_in_units, sample, fault, Aligner()), right, rtol=1e-5)


def test_a_method_that_believes_everything_is_caught() -> None:
    """The bars must be able to fail."""
    outcomes = by_fault(try_faults(radiance_merge, {"a": still(height=96, width=128)}, NoAligner()))
    assert outcomes["nothing wrong"].within is None
    assert outcomes["nothing wrong"].cost_mu == 0.0
    assert outcomes["high reported +10%"].within is False
    assert outcomes["high reported +10%"].cost_mu > 0.7
    assert outcomes["pair 3 px to the right"].within is False


def test_registration_takes_the_lie_and_the_shift_away() -> None:
    """What the device does about it is part of what is judged."""
    sample = moved(1, height=192, width=256)
    wrong = [fault for fault in faults() if fault.told == (1.0, 1.1) or fault.shift_px == (3.0, 0.0)]
    assert len(wrong) == 2
    for fault in wrong:
        believed = psnr_mu(with_fault(radiance_merge, sample, fault, NoAligner()), sample.truth)
        found = psnr_mu(with_fault(radiance_merge, sample, fault, Aligner()), sample.truth)
        assert found > believed + 6.0, fault


def test_a_missing_exposure_is_judged_on_the_worst_picture() -> None:
    """A mean would hide the one picture that falls below the reference."""
    good, spoiled = still(0), still(1)

    def fuse(sample: Sample) -> np.ndarray:
        if np.shares_memory(sample.reference, spoiled.reference):
            return reference_in_units(sample) * np.float32(0.9)
        return sample.truth

    outcomes = by_fault(try_faults(fuse, {"good": good, "spoiled": spoiled}, NoAligner()))
    assert outcomes["low missing"].worst_mu < -0.2
    assert outcomes["low missing"].worst_picture == "spoiled"
    assert outcomes["low missing"].within is False
    only_good = by_fault(try_faults(fuse, {"good": good}, NoAligner()))
    assert only_good["high missing"].within is True


def test_what_is_missing_really_is() -> None:
    """A low exposure that leaks through would make every network robust."""
    sample = still()
    without = on_reference(sample, Aligner(), "low")
    np.testing.assert_allclose(without.low, np.minimum(sample.reference * 0.25, 1.0))
    assert without.mean[0] != pytest.approx(sample.mean[0], abs=1e-4)
    assert psnr_mu(without.high, sample.high) > 30.0


def test_a_shift_is_three_pixels() -> None:
    """And to the side that it says."""
    sample = still()
    shifted = misled(sample, Fault("x", shift_px=(3.0, 0.0)))
    np.testing.assert_array_equal(shifted.low[:, 3:], sample.low[:, :-3])
    assert all(np.hypot(*fault.shift_px) in (0.0, pytest.approx(3.0)) for fault in faults())


def test_the_command_writes_a_table(tmp_path: Path) -> None:
    """With a network no one trained."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    from export.eafnet.config import variant
    from export.eafnet.model import Eafnet
    from export.training.weights import save_weights

    save_weights(Eafnet(variant("s", width=8, growth=4, attention_width=4)), tmp_path / "tiny.safetensors")
    write_exr(tmp_path / f"{VALIDATION[0]}.exr", radiance(0, 200, 300))
    arguments = ["robustness", "--images", str(tmp_path), "--weights", str(tmp_path / "tiny.safetensors")]
    result = CliRunner().invoke(app, [*arguments, "--size", "96", "64", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    read = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert len(read["faults"]) == len(faults())
    assert read["pictures"] == [VALIDATION[0]]
    assert "| low missing |" in (tmp_path / "out" / "robustness.md").read_text()
