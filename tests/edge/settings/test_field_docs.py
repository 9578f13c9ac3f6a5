"""What docs/field.md tells people to put on a stick is what the device takes."""

from __future__ import annotations

import re
from pathlib import Path

from edge.settings.edit import USB_LAYER, check_text
from edge.usb import command, export, ledger, probation, stick

DOCUMENT = (Path(__file__).parents[3] / "docs/field.md").read_text()
SYSTEMD = Path(__file__).parents[3] / "systemd"
UNIT = (SYSTEMD / "twinhdr-usb@.service").read_text()


def test_the_files_to_copy_are_valid(tmp_path: Path) -> None:
    """Who follows the document stands in a field with a stick that is refused."""
    config, wanted = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    main = tmp_path / "config.yaml"
    assert check_text(config, main, USB_LAYER) == []
    (tmp_path / stick.EXPORT).write_text(wanted)
    request = stick.read_stick(tmp_path)
    assert request.faults == ()
    assert request.export == stick.ExportFile(export=(stick.LOGS, stick.NEWEST), logs_mb=20)


def test_the_figures_and_names_are_those_of_the_program() -> None:
    """The report would be looked for under another name, and pulled too early."""
    for said in (
        stick.REPORT,
        stick.CONFIG,
        stick.EXPORT,
        USB_LAYER,
        export.SUMS,
        f"{ledger.FOLDER}/{ledger.REPORT}",
    ):
        assert said in DOCUMENT
    assert f"healthy for {probation.HEALTHY_S:g} s" in DOCUMENT
    assert f"within {probation.LIMIT_S:g} s" in DOCUMENT
    assert f"{export.RESERVE >> 20} MiB stay free" in DOCUMENT


def test_the_unit_calls_a_command_that_there_is() -> None:
    """A stick would do nothing, with a line in a log that nobody reads."""
    names = {info.name or info.callback.__name__ for info in command.app.registered_commands if info.callback}
    assert re.findall(r"^ExecStart=.*/twinhdr usb (\w+) %i$", UNIT, re.MULTILINE) == ["device"]
    assert {"device", "apply", "settle"} <= names
    settle = (SYSTEMD / "twinhdr-usb-settle.service").read_text()
    assert re.findall(r"^ExecStart=.*/twinhdr usb (\w+)$", settle, re.MULTILINE) == ["settle"]
    assert f"ConditionPathExists={ledger.FOLDER}/{ledger.TRIED}" in settle
    wanted = re.findall(
        r'SYSTEMD_WANTS}\+="([\w@-]+)%k\.service"', (SYSTEMD / "71-twinhdr-usb.rules").read_text()
    )
    assert wanted == ["twinhdr-usb@"]
    assert f"StateDirectory={ledger.FOLDER.name}" in UNIT
    assert f"RuntimeDirectory={command.MOUNT.name}" in UNIT
