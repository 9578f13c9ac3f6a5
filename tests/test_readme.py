"""What the README promises exists: files, commands, and an example that the program accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from edge.cli import app
from edge.config.layers import load_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A dead link is the first thing that a newcomer finds."""
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_tests_that_show_a_state_exist() -> None:
    """A line of the status table without its proof is a claim."""
    rows = re.findall(r"^\|.*\| works.*\|(.*)\|$", README, re.MULTILINE)
    assert len(rows) > 5
    folder = ROOT
    for shown in re.findall(r"`([\w/]+(?:\.py)?)`", " ".join(rows)):
        path = ROOT / shown if "/" in shown else folder / shown
        assert path.exists(), shown
        folder = path.parent


def test_the_commands_are_those_of_the_program() -> None:
    """A table of commands that lags behind hides the new ones and promises the old ones."""
    table = set(re.findall(r"^\| `twinhdr (\w+)", README, re.MULTILINE))
    assert table == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_example_is_a_valid_configuration(tmp_path: Path) -> None:
    """People paste it."""
    (tmp_path / "my.yaml").write_text(re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0])
    assert load_config(tmp_path / "my.yaml").store.root == tmp_path / "sessions"
