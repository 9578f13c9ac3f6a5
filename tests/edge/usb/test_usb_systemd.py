"""The whole way of a stick as the unit goes it, with a small program in the place of systemctl."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.layers import load
from edge.config.schema import Config
from edge.health.health import Health
from edge.usb.journal import newest_log
from edge.usb.recorder import SystemdRecorder, ask_page
from edge.viewfinder.preview import PreviewHub
from edge.web.server import WebServer

SYSTEMCTL = """\
#!/bin/sh
# show says what the file "state" holds; everything else is noted in "told"
here=$(dirname "$0")
if [ "$1" = show ]; then cat "$here/state"; else echo "$*" >>"$here/told"; fi
"""
JOURNALCTL = """\
#!/bin/sh
case " $* " in *" --reverse "*) ;; *) exit 1 ;; esac
seq 200000 -1 1
"""
ACTIVE = "ActiveState=active\nSubState=running\nResult=success\nNRestarts=3\n"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "state").write_text(ACTIVE)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.parametrize(
    ("state", "active", "failed", "stopped", "restarts"),
    [
        (ACTIVE, True, False, False, 3),
        ("ActiveState=reloading\nNRestarts=0\n", True, False, False, 0),
        ("ActiveState=activating\nSubState=auto-restart\nNRestarts=7\n", False, False, False, 7),
        ("ActiveState=failed\nResult=exit-code\nNRestarts=0\n", False, True, False, 0),
        ("ActiveState=inactive\nNRestarts=0\n", False, False, True, 0),
        ("", False, False, False, 0),
    ],
)
def test_what_systemd_says_is_understood(
    tools: Path, state: str, active: bool, failed: bool, stopped: bool, restarts: int
) -> None:
    """A recorder in a restart loop would count as healthy."""
    (tools / "state").write_text(state)
    sample = SystemdRecorder(lambda: None).sample()
    assert (sample.active, sample.failed, sample.stopped, sample.restarts) == (
        active,
        failed,
        stopped,
        restarts,
    )


def test_the_page_is_asked_how_the_recording_is(config_of: Callable[..., Config]) -> None:
    """A recorder that runs and records nothing would keep the configuration that did it."""
    health = Health()
    with WebServer(health, PreviewHub(), port=0) as server:
        port = int(server.url.rsplit(":", 1)[1])
        web = config_of(f"web: {{enabled: true, port: {port}}}\n").web
        health.condition("disk", True, 0)
        assert ask_page(web) == ()
    health.condition("disk", False, 0, "full.", "Delete.")
    with WebServer(health, PreviewHub(), port=0) as server:
        port = int(server.url.rsplit(":", 1)[1])
        assert ask_page(web.model_copy(update={"port": port})) == ("disk: full. Delete.",)
    with pytest.raises(OSError, match="refused"):
        ask_page(web)


def test_the_newest_of_the_log_in_whole_lines(tools: Path) -> None:
    """The lines before a crash are wanted, not those of last month."""
    lines = newest_log(1000).splitlines()
    assert lines[-1] == b"200000"
    assert lines == [b"%d" % number for number in range(200001 - len(lines), 200001)]
    assert len(lines) == 1000 // 7


def test_a_stick_from_its_file_to_its_report(tools: Path, tmp_path: Path) -> None:
    """Each part works alone, and the unit that joins them does not."""
    main, stick = tmp_path / "etc" / "config.yaml", tmp_path / "stick"
    for folder in (main.parent, stick):
        folder.mkdir()
    main.write_text(f"store: {{root: {tmp_path}/sessions}}\nweb: {{enabled: false}}\n")
    (stick / "twinhdr.yaml").write_text("rig: {width: 800}\n")
    (stick / "twinhdr-export.yaml").write_text("export: [logs, newest-session]\nlogs_mb: 1\n")
    command = [sys.executable, "-m", "edge.cli", "usb", "apply", str(stick), "--config", str(main)]
    ended = subprocess.run(
        [*command, "--state", str(tmp_path / "usb")],
        env=os.environ | {"TWINHDR_HEALTHY_S": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    report = (stick / "twinhdr-report.txt").read_text()
    assert "twinhdr.yaml: applied. The recorder was healthy for 1 s." in report
    assert "rig.width: 960 -> 800" in report
    assert "logs: 1.0 MB in logs/journal-0001.log" in report
    assert "newest-session: there is no such session that has ended" in report
    assert report.endswith("Done. The stick can be pulled.\n")
    assert load(main_file=main).config.rig.width == 800
    assert (tools / "told").read_text() == "reset-failed twinhdr.service\nrestart twinhdr.service\n"
