"""What docs/configuration.md shows is what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.config.layers import load
from edge.errors import ConfigError

DOCUMENT = (Path(__file__).parents[3] / "docs/configuration.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, f"the document has no {language} block"
    return found[1]


def test_the_example_is_valid(tmp_path: Path) -> None:
    """The first thing a reader copies would be refused."""
    path = tmp_path / "config.yaml"
    path.write_text(block("yaml"))
    loaded = load(path)
    assert sum(not origin.is_default for origin in loaded.origins.values()) == 4


def test_the_printed_faults_are_the_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader would look for messages that do not come."""
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text("rig:\n  reference:\n    exposure_us: 8ms\n  widht: 960\n")
    with pytest.raises(ConfigError) as caught:
        load(Path("site.yaml"))
    assert str(caught.value) == block("text").strip()


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented interface would not exist."""
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text("rig: {secondary: {gain_db: 6.0206}}\n")
    names: dict[str, object] = {}
    exec(compile(block("python"), "docs/configuration.md", "exec"), names)
    config = load(Path("site.yaml")).config
    assert config.rig.low.exposure_us == pytest.approx(8000 / 8, rel=1e-3), "an eighth with 6 dB more gain"
