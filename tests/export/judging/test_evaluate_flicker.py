"""The comparison of two cameras with one that alternates is fair, and shows what it is there to show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli import app
from export.compare.merges import OnReference, aligned, radiance_merge, reference_only
from export.compare.row import Row
from export.judging.curves import SIZE, curve_picture, value_span
from export.judging.flicker import OURS, SETUPS, Moment, Shoot, watch
from export.judging.setups import alternating_camera, dual_camera

SHOOT = Shoot(width=160, height=96, frames=9)
ROWS = [
    Row("reference", reference_only),
    Row("flow + merge", aligned(radiance_merge, OnReference())),
]


def moments(setup: str, frames: int = 9) -> list[Moment]:
    return list(SETUPS[setup](Shoot(width=96, height=64, frames=frames)))


def test_our_setup_groups_as_the_device_does() -> None:
    """Four reference frames share a pair; ages stay within a pair's length."""
    film = list(dual_camera(Shoot(width=96, height=64, frames=16)))
    groups = [m.group for m in film]
    assert all(high == low + 1 and low % 2 == 0 for low, high in groups)
    assert max(groups.count(group) for group in groups) == 4
    assert groups == sorted(groups)
    for moment in film:
        np.testing.assert_allclose(moment.sample.exposure, (0.25, 1.0, 4.0))
        assert moment.to_low == 1.0


def test_the_alternating_camera_fuses_with_its_neighbours() -> None:
    """Each frame is the reference in turn; what no neighbour has is made from the frame itself."""
    film = list(alternating_camera(Shoot(width=96, height=64, frames=7)))
    np.testing.assert_allclose(film[2].sample.exposure, (0.25, 1.0, 16.0))
    np.testing.assert_allclose(film[3].sample.exposure, (0.25, 1.0, 4.0))
    np.testing.assert_allclose(film[4].sample.exposure, (1 / 16, 1.0, 4.0))
    assert [m.to_low for m in film[2:5]] == pytest.approx([4.0, 1.0, 1.0])
    two = list(alternating_camera(Shoot(width=96, height=64, frames=4), exposures=2))
    np.testing.assert_allclose(two[0].sample.exposure, (1 / 16, 1.0, 4.0))
    np.testing.assert_allclose(two[1].sample.exposure, (0.25, 1.0, 16.0))


@pytest.mark.parametrize("setup", list(SETUPS))
def test_a_frame_is_on_the_scale_of_its_truth(setup: str) -> None:
    """A wrong scale in one setup would be taken for its flicker."""
    for moment in moments(setup):
        answer = moment.sample.reference * moment.sample.exposure[0] * np.float32(moment.to_low)
        exposed = (moment.sample.reference > 0.1) & (moment.sample.reference < 0.8)
        ratio = answer[exposed] / moment.truth[exposed]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.03)


def test_one_scene_at_one_pace() -> None:
    """Both setups film the same seconds of the same world."""
    times = {setup: [m.t_s for m in moments(setup)] for setup in SETUPS}
    for setup in SETUPS:
        np.testing.assert_allclose(np.diff(times[setup]), 1 / 30, atol=0.016)
        assert times[setup][-1] == pytest.approx(times[OURS][-1], abs=0.02)


def test_alternating_flickers_and_ours_does_not() -> None:
    """The reason for the second camera, in its plainest form: the frame alone."""
    ours = watch(SHOOT, OURS, ROWS)
    single = watch(SHOOT, "one camera, 3 exposures", ROWS)
    assert single.figures["reference"]["step_beyond"] > 10 * ours.figures["reference"]["step_beyond"]
    assert single.figures["flow + merge"]["lsd_difference"] > ours.figures["flow + merge"]["lsd_difference"]
    assert len(ours.curves["truth"]) == SHOOT.frames
    assert ours.figures["flow + merge"]["step_at_change"] <= ours.figures["flow + merge"]["step_beyond"]


def test_a_pair_that_flickers_is_caught() -> None:
    """The bars must be able to fail: here a method that takes each pair at another brightness."""
    seen: list[np.ndarray] = []

    def by_pair(sample: object) -> np.ndarray:
        low = sample.low  # type: ignore[attr-defined]
        if not seen or seen[-1] is not low:
            seen.append(low)
        gain = 1.05 if len(seen) % 2 else 1.0
        return reference_only(sample) * np.float32(gain)  # type: ignore[arg-type]

    result = watch(SHOOT, OURS, [Row("jumpy", by_pair), Row("steady", reference_only)])
    assert result.bars("jumpy") == (False, False)
    assert result.figures["jumpy"]["step_at_change"] > 0.003
    assert result.bars("steady")[1]


def test_the_command_writes_figures_and_curves(tmp_path: Path) -> None:
    """What goes into the documentation."""
    arguments = ["flicker", "--scene", "square", "--frames", "5", "--width", "128", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "bar 0.001" in result.output
    read = json.loads((tmp_path / "flicker.json").read_text())
    assert [r["setup"] for r in read] == list(SETUPS)
    assert len(read[0]["curves"]["flow + merge"]) == 5
    assert "| two cameras | flow + merge |" in (tmp_path / "flicker.md").read_text()
    assert (tmp_path / "square.png").is_file()
    wrong = CliRunner().invoke(app, ["flicker", "--scene", "nowhere"])
    assert wrong.exit_code == 1
    assert "neither shipped" in wrong.output


def test_curves_are_drawn_where_they_are() -> None:
    """A plot that cuts its curve off hides the flicker."""
    times = [0.0, 0.5, 1.0]
    curves = {"truth": (times, [0.5, 0.5, 0.5]), "ours": (times, [0.4, 0.6, 0.4])}
    low, high = value_span(curves.values())
    assert low < 0.4
    assert high > 0.6
    picture = curve_picture("title", curves)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    orange = (picture[..., 0] > 180) & (picture[..., 2] < 110)
    assert np.flatnonzero(orange[50:].any(axis=1)).size > 150
    steady_low, steady_high = value_span([(times, [0.5, 0.5, 0.5])])
    assert steady_high - steady_low >= 0.01
