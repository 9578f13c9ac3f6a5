"""What several tests share: small recordings made by the real daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.layers import load_config
from edge.config.schema import Config

SMALL = """\
version: 1
rig:
  width: 192
  height: 128
simulator:
  pace: max
fuse:
  threads: 1
  ladder: [merge, reference]
web:
  enabled: false
masters:
  enabled: true
store:
  root: {root}
  min_free_gb: 0
  min_free_share: 0
"""


@pytest.fixture
def config_of(tmp_path: Path) -> Callable[[str], Config]:
    """A configuration of a small simulated rig, with more YAML layered on top."""

    def make(more: str = "") -> Config:
        main = tmp_path / "small.yaml"
        main.write_text(SMALL.format(root=tmp_path / "sessions"))
        if more:
            (tmp_path / "conf.d").mkdir(exist_ok=True)
            (tmp_path / "conf.d" / "more.yaml").write_text("version: 1\n" + more)
        return load_config(main)

    return make


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean two-second recording with masters, fused by the merge. Read only."""
    from edge.daemon.run import run_daemon

    folder = tmp_path_factory.mktemp("recording")
    main = folder / "small.yaml"
    main.write_text(SMALL.format(root=folder / "sessions"))
    assert run_daemon(load_config(main), 2.0, folder / "session") == 0
    return folder / "session"
