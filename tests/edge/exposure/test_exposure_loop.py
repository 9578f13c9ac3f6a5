"""Automatic exposure in a closed loop: simulated light and sensor, the recorder's capture and decisions.

The band, the step and what counts as oscillation are those of the configuration and docs/exposure.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.config.schema import Config
from edge.daemon.run import run_daemon
from edge.exposure.reference import PATIENCE_S
from edge.frames import Exposure
from edge.session.recording import Session
from hw.camera import CameraError, Rig
from hw.simulator.light import SUNRISE_EV, TUNNEL_BEGIN_S, TUNNEL_END_S, TUNNEL_EV
from tests.edge.exposure.exposing import Filmed, config_for, film

AUTO = "exposure: {reference: {mode: auto}, secondary: {mode: auto}}\n"
START_S = 2.0
"""The scene does not begin on its target."""


def off_ev(filmed: Filmed, config: Config) -> np.ndarray:
    """Brightness of each metered reference frame against the target."""
    levels = [seen.level_ev for seen in filmed.metered["reference"]]
    return np.array(levels) - config.exposure.reference.target_ev


def lights_ev(filmed: Filmed) -> np.ndarray:
    return np.log2([frame.exposure.light for frame in filmed.frames["reference"]])


def assert_steady(filmed: Filmed, config: Config) -> None:
    """No step that is seen, no turn faster than its patience."""
    lights = lights_ev(filmed)
    assert np.abs(np.diff(lights)).max() <= config.exposure.reference.ev_per_frame + 1e-6
    moves = [(i, b > a) for i, (a, b) in enumerate(pairwise(lights)) if abs(b - a) > 1e-9]
    turns = [i / 30 for (_, a), (i, b) in pairwise(moves) if a != b]
    assert all(later - earlier >= PATIENCE_S - 0.1 for earlier, later in pairwise(turns))


Tunnel = tuple[Config, Filmed]


@pytest.fixture(scope="module", params=[1, 4], ids=["lag 1", "lag 4"])
def way_out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tunnel:
    """Out of a tunnel, with cameras that take their settings so many frames late."""
    config = config_for(tmp_path_factory.mktemp("way_out"), AUTO + "simulator: {light: tunnel}\n")
    return config, film(config, 16.0, request.param)


@pytest.mark.parametrize("lag_frames", [1, 4])
def test_a_sunrise_stays_in_its_band(tmp_path: Path, lag_frames: int) -> None:
    """Four stops within twenty seconds; else the morning is white, whatever the camera's delay."""
    config = config_for(tmp_path, AUTO + "simulator: {light: sunrise}\n")
    filmed = film(config, 24.0 if lag_frames == 1 else 14.0, lag_frames)
    off = off_ev(filmed, config)
    assert np.abs(off[round(30 * START_S) :]).max() <= config.exposure.reference.band_ev
    assert_steady(filmed, config)
    if lag_frames == 1:
        assert lights_ev(filmed)[-1] < lights_ev(filmed)[60] - 0.7 * SUNRISE_EV


def test_a_tunnel_exit_is_back_in_its_band_as_soon_as_its_speed_allows(way_out: Tunnel) -> None:
    """The light jumps faster than what is unseen; then it is followed at full speed, once, and held."""
    config, filmed = way_out
    off = off_ev(filmed, config)
    band_ev, ev_per_s = config.exposure.reference.band_ev, config.exposure.reference.ev_per_s
    before = off[round(30 * START_S) : round(30 * TUNNEL_BEGIN_S)]
    assert np.abs(before).max() <= band_ev
    out_s = [i / 30 for i, value in enumerate(off) if i / 30 > TUNNEL_BEGIN_S and abs(value) > band_ev]
    assert out_s[-1] <= TUNNEL_BEGIN_S + TUNNEL_EV / ev_per_s + 1.0
    assert out_s[-1] > TUNNEL_END_S, "or this light would not test anything"
    assert len(out_s) == pytest.approx(30 * (out_s[-1] - out_s[0]), abs=2), "out once, back once"
    assert_steady(filmed, config)


def test_a_flickering_lamp_moves_nothing_once_it_is_known(tmp_path: Path) -> None:
    """Else the video pumps with every tube that is near its end."""
    config = config_for(
        tmp_path,
        AUTO
        + "simulator: {light: lamp}\nrig: {reference: {exposure_us: 20000}, secondary: {high_ev: 1.5}}\n",
    )
    filmed = film(config, 12.0)
    settled = slice(round(30 * START_S), None)
    assert np.abs(off_ev(filmed, config)[settled]).max() <= config.exposure.reference.band_ev
    assert np.ptp(lights_ev(filmed)[settled]) <= 0.05
    assert_steady(filmed, config)


def test_whole_half_periods_do_not_see_the_mains(tmp_path: Path) -> None:
    """A 15 ms exposure under a 50 Hz lamp beats at 10 Hz; 10 ms and some gain do not."""
    rig = "simulator: {light: lamp}\nrig: {reference: {exposure_us: 15000}, secondary: {high_ev: 1.5}}\n"
    beat_ev = {}
    for mains in ("null", "50"):
        auto = f"exposure: {{mains_hz: {mains}, reference: {{mode: auto, target_ev: -2.3}}}}\n"
        filmed = film(config_for(tmp_path, auto + rig), 5.0)
        levels = np.array([seen.level_ev for seen in filmed.metered["reference"]])[60:]
        beat_ev[mains] = float(np.abs(np.diff(levels, 2)).mean())  # what alternates from frame to frame
    assert beat_ev["50"] < 0.5 * beat_ev["null"]


def test_planning_ends_the_clipping_of_low(tmp_path: Path) -> None:
    """What low clips is lost for good: no other frame has it."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n")
    filmed = film(config, 8.0)
    before, after = filmed.metered["low"][:4], filmed.metered["low"][-10:]
    allowed = config.exposure.secondary.clipped_share
    assert min(seen.clipped for seen in before) > 5 * allowed, "or this scene would not test anything"
    assert np.mean([seen.clipped for seen in after]) <= allowed
    assert {frame.exposure for frame in filmed.frames["reference"]} == {Exposure(8000.0)}, "that stays fixed"


def test_low_and_high_keep_taking_turns_while_both_cameras_move(way_out: Tunnel) -> None:
    """A change that restarted the cycle would leave reference frames without one of the two."""
    _, filmed = way_out
    at_ns = {frame.seq: frame.t_host_ns for frame in filmed.frames["reference"]}
    lows = []
    for frame in filmed.frames["secondary"]:
        near = min(filmed.frames["reference"], key=lambda r: abs(at_ns[r.seq] - frame.t_host_ns))
        lows.append(frame.exposure.ev_from(near.exposure) < 0)
    runs = [len(list(run)) for run in _runs(lows)]
    assert max(runs) <= 3
    assert np.mean([run == 1 for run in runs]) > 0.6


def _runs(values: list[bool]) -> list[list[bool]]:
    out: list[list[bool]] = [[]]
    for value in values:
        if out[-1] and out[-1][-1] != value:
            out.append([])
        out[-1].append(value)
    return out


class Stubborn:
    """A rig whose secondary camera is away for some settings."""

    def __init__(self, rig: Rig, away: range) -> None:
        self.reference, self._camera, self.trigger = rig.reference, rig.secondary, rig.trigger
        self._away = away
        self._asked = 0

    @property
    def secondary(self) -> Stubborn:
        return self

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        self._asked += 1
        if self._asked in self._away:
            raise CameraError("no")
        self._camera.set_exposures(exposures)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)


def test_a_camera_that_refuses_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    """A camera that is being rebuilt must not leave the plan behind for the rest of the recording."""
    config = config_for(tmp_path, "exposure: {secondary: {mode: auto}}\n")
    filmed = film(config, 5.0, change=lambda rig: Stubborn(rig, away=range(3, 8)))
    assert [text is None for text in filmed.refused] == [False] * 5 + [True]
    assert np.mean([seen.clipped for seen in filmed.metered["low"][-5:]]) < 0.01


def test_a_scene_beyond_the_camera_is_named(tmp_path: Path) -> None:
    """A closed lens cap or a bare sun: a person has to act, and only the recorder can say so."""
    auto = "exposure: {reference: {mode: auto, shortest_us: 6000}}\n"
    config = config_for(tmp_path, auto + "simulator: {light: tunnel}\n")
    filmed = film(config, 9.0)
    assert filmed.beyond_ev[-1] < -1.0
    assert filmed.frames["reference"][-1].exposure.exposure_us == pytest.approx(6000, rel=0.06)


def test_fixed_exposures_stay_as_they_were_written(tmp_path: Path) -> None:
    """Fixed is the default, and what a measurement needs."""
    filmed = film(config_for(tmp_path, "simulator: {light: tunnel}\n"), 3.0)
    assert {f.exposure for f in filmed.frames["reference"]} == {Exposure(8000.0)}
    assert {f.exposure for f in filmed.frames["secondary"]} == {Exposure(2000.0), Exposure(32000.0)}
    assert filmed.decisions == []


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording through the daemon, from inside a tunnel to the light."""
    folder = tmp_path_factory.mktemp("tunnel")
    more = "fuse: {threads: 1, ladder: [merge, reference]}\nmasters: {enabled: true}\nweb: {enabled: false}\n"
    store = f"store: {{root: {folder}, min_free_gb: 0, min_free_share: 0}}\n"
    config = config_for(folder, AUTO + "simulator: {light: tunnel}\n" + more + store)
    assert run_daemon(config, 8.0, folder / "session") == 0
    return folder / "session"


def test_the_video_never_steps(tunnel: Path) -> None:
    """Else each frame of the adaptation is a flash."""
    session = Session.open(tunnel)
    light = {r.seq: r.exposure.light for r in session.frame_records("reference")}
    records = list(session.hdr_records())
    shown = np.log2([light[r.seq] * r.scale for r in records])
    assert len(records) == 240
    assert np.abs(np.diff(shown)).max() <= 0.02 + 1e-6
    assert shown[-1] < shown[0] - 1.5, "it did adapt"
    assert max(r.scale for r in records) > 1.01, "and the anchor had something to do"


def test_every_setting_has_its_reason_in_the_sidecar(tunnel: Path) -> None:
    """Else nobody can tell afterwards why the picture changed."""
    session = Session.open(tunnel)
    told = [record.fields for record in session.records("exposure")]
    settings: dict[str, list[float]] = {"reference": [8000.0], "secondary": [2000.0, 32000.0]}
    for decision in told:
        assert str(decision["cause"])
        settings[str(decision["camera"])] += [e["exposure_us"] for e in decision["exposures"]]  # type: ignore[attr-defined]
    for camera in ("reference", "secondary"):
        for record in session.frame_records(camera):  # type: ignore[arg-type]
            assert min(abs(record.exposure_us - told_us) for told_us in settings[camera]) < 0.001
    causes = {str(decision["cause"]) for decision in told if decision["camera"] == "reference"}
    assert any("above its target: less light" in cause for cause in causes)


def test_fusing_again_finds_the_same_brightness(tunnel: Path) -> None:
    """Else the refused video would be brighter or darker than what was seen live."""
    from edge.exposure.anchor import Anchor

    session = Session.open(tunnel)
    exposure = {r.seq: r.exposure for r in session.frame_records("reference")}
    anchor = Anchor(0.6, 0.02)
    for record in session.hdr_records():
        anchor = anchor.step(exposure[record.seq], record.t_ns)
        assert anchor.scale(exposure[record.seq]) == pytest.approx(record.scale, rel=1e-9)


@pytest.mark.alone
def test_live_cameras_are_set_from_a_thread_of_their_own(tmp_path: Path) -> None:
    """A real rig does not wait; however the machine stalls, two settings never reach one frame."""
    more = "fuse: {threads: 1, ladder: [merge, reference]}\nweb: {enabled: false}\nhdr: {enabled: false}\n"
    store = f"store: {{root: {tmp_path}, min_free_gb: 0, min_free_share: 0}}\n"
    config = config_for(tmp_path, AUTO + "simulator: {light: sunrise, pace: 2}\n" + more + store)
    assert run_daemon(config, 5.0, tmp_path / "session") == 0
    session = Session.open(tmp_path / "session")
    frames = {record.seq: np.log2(record.exposure.light) for record in session.frame_records("reference")}
    steps = [abs(frames[seq] - frames[seq - 1]) for seq in frames if seq - 1 in frames]
    assert max(steps) <= 0.02 + 1e-6
    assert max(steps) > 0.0
    assert sum(1 for _ in session.records("exposure")) > 10
