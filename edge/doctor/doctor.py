"""``twinhdr doctor``: one table of facts about this machine, each with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.config.layers import MAIN_FILE, load_config
from edge.doctor.board import board_findings, clock_findings, heat_findings, memory_findings
from edge.doctor.cameras import check_gige, usb_findings, video_findings
from edge.doctor.engines import check_engines
from edge.doctor.findings import Check, DeviceCheck, Finding, State
from edge.doctor.machine import MACHINE_CHECKS, check_disk, medium_findings
from edge.doctor.network import network_findings
from edge.doctor.software import SOFTWARE_CHECKS
from edge.doctor.trigger import check_trigger
from edge.errors import ConfigError
from hw.device import read_device

DEVICE_CHECKS: tuple[DeviceCheck, ...] = (
    board_findings,
    heat_findings,
    memory_findings,
    clock_findings,
    network_findings,
    usb_findings,
)
"""Pure ones, of facts that were read before."""
STYLES: dict[State, str] = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "bold red"}


def examine(
    path: Path | None, main_file: Path = MAIN_FILE, *, root: Path = Path("/"), measure_disk: bool = False
) -> list[Finding]:
    """Run all checks against the configuration, or against the defaults where it has faults.

    ``root`` is where the machine's own files begin. ``measure_disk`` writes 32 MiB where sessions go.
    """
    findings: list[Finding] = []
    try:
        config = load_config(path, main_file=main_file)
        source = path or (main_file if main_file.exists() else "shipped defaults alone")
        findings.append(Finding("configuration", "ok", f"valid ({source})"))
    except ConfigError as error:
        more = f" and {len(error.faults) - 1} more" if len(error.faults) > 1 else ""
        advice = "run twinhdr check for all faults; what follows is for the defaults"
        findings.append(Finding("configuration", "fail", f"{error.faults[0]}{more}", advice))
        config = load_config(main_file=Path("/nonexistent/config.yaml"))
    for software in SOFTWARE_CHECKS:
        findings.extend(software(config))
    device = read_device(root)
    for facts in DEVICE_CHECKS:
        findings.extend(facts(device, config))
    findings.extend(video_findings(device, config, root))
    findings.extend(check_disk(config, measure=measure_disk))
    findings.extend(medium_findings(config, root))
    rest: tuple[Check, ...] = (*MACHINE_CHECKS, check_gige, check_trigger, check_engines)
    for check in rest:
        findings.extend(check(config))
    return findings


def run_doctor(
    path: Path | None,
    as_json: bool,
    console: Console,
    *,
    main_file: Path = MAIN_FILE,
    root: Path = Path("/"),
    measure_disk: bool = False,
) -> int:
    """Examine and print. Returns 1 where something fails, so that recording would not work; else 0."""
    findings = examine(path, main_file, root=root, measure_disk=measure_disk)
    failed = sum(finding.state == "fail" for finding in findings)
    if as_json:
        report = {"ok": not failed, "findings": [asdict(finding) for finding in findings]}
        console.print_json(json.dumps(report))
        return 1 if failed else 0
    console.print(_table(findings))
    warned = sum(finding.state == "warn" for finding in findings)
    verdict = f"{failed} failed, {warned} could be better." if failed or warned else "Everything is here."
    console.print(verdict, style="bold red" if failed else "bold")
    return 1 if failed else 0


def _table(findings: Iterable[Finding]) -> Table:
    table = Table("", "what", "found", box=box.SIMPLE_HEAD)
    for finding in findings:
        found = Text(finding.found, overflow="fold")
        if finding.advice:
            found.append(f"\n-> {finding.advice}", "bold" if finding.state in ("warn", "fail") else "dim")
        table.add_row(Text(finding.state, STYLES[finding.state]), finding.name, found)
    return table
