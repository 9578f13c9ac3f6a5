"""Fixtures for tests of what touches a wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hw.trigger.trigger_board import Build, LiveBoard


@pytest.fixture(scope="session")
def trigger_build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Emulator and firmware of the trigger board, compiled once."""
    return Build(tmp_path_factory.mktemp("trigger"))


@pytest.fixture
def board(trigger_build: Build, tmp_path: Path) -> Iterator[LiveBoard]:
    """A trigger board with power and an open serial port."""
    live = LiveBoard(trigger_build, tmp_path)
    yield live
    live.unplug()
