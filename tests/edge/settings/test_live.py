"""When a change counts: each key has one answer, and the documentation gives the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edge.config.layers import load
from edge.config.texts import accepts
from edge.settings.live import RULES, When, config_of, plan, rule_of, table, when

DOCUMENT = Path(__file__).parents[3] / "docs/configuration.md"


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\n")
    return path


def test_every_key_has_one_answer_and_every_rule_a_key(main: Path) -> None:
    """A new key would be changed under a running recording by whoever forgot to think of it."""
    keys = list(load(main).values)
    used = [rule_of(key) for key in keys]
    assert set(used) == set(RULES)
    assert len({rule.prefix for rule in RULES}) == len(RULES)
    with pytest.raises(KeyError, match=r"edge/settings/live\.py"):
        rule_of("weather.rain")


def test_the_documentation_shows_the_table(main: Path) -> None:
    """The reader restarts for what needs none, or waits for what does."""
    assert table(load(main).values) in DOCUMENT.read_text()


def test_what_opens_cameras_or_shapes_a_session_waits() -> None:
    """A width changed in mid-stream is a file that no player opens."""
    for key in (
        "rig.width",
        "rig.reference.exposure_us",
        "trigger.kind",
        "hdr.transfer",
        "store.root",
        "web.port",
    ):
        assert when(key) is When.RESTART, key
    for key in ("log.level", "store.min_free_gb", "preview.fps", "exposure.reference.target_ev"):
        assert when(key) is When.NOW, key
    assert when("hdr.crf") is When.NEXT_FILE


def test_a_plan_takes_what_it_can_and_names_the_rest(main: Path) -> None:
    """Half of a change in force, and nobody knows which half."""
    running = load(main)
    main.write_text("version: 1\nrig: {width: 640}\nhdr: {crf: 30}\nlog: {level: debug}\n")
    found = plan(running.values, load(main))
    assert found.applied == ("hdr.crf", "log.level")
    assert found.waiting == ("rig.width",)
    assert (found.config.hdr.crf, found.config.rig.width) == (30, 960)


def test_what_contradicts_the_running_values_waits_with_its_cause(main: Path) -> None:
    """A quality of the other codec would end the recording at its next file."""
    running = load(main)
    main.write_text("hdr: {codec: av1, preset: 12, crf: 60}\nlog: {level: debug}\n")
    found = plan(running.values, load(main))
    assert found.applied == ()
    assert found.waiting == ("hdr.codec", "hdr.preset", "hdr.crf", "log.level")
    assert found.config == running.config


def test_values_make_the_configuration_that_they_came_from(main: Path) -> None:
    """A reload would change what nobody has touched."""
    main.write_text(
        yaml.safe_dump({"develop": {"white_balance": [1.5, 1.0, 2.0]}, "store": {"root": "/data"}})
    )
    loaded = load(main)
    assert config_of(loaded.values) == loaded.config
    assert all(accepts(key, value) for key, value in loaded.values.items())
