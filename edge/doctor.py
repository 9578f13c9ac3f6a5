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

from edge.config import MAIN_FILE, load_config
from edge.doctor_engines import check_engines
from edge.doctor_machine import MACHINE_CHECKS
from edge.doctor_software import SOFTWARE_CHECKS
from edge.errors import ConfigError
from edge.findings import Check, Finding, State

STYLES: dict[State, str] = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "bold red"}


def examine(path: Path | None, main_file: Path = MAIN_FILE) -> list[Finding]:
    """Run all checks against the configuration, or against the defaults where it has faults."""
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
    checks: tuple[Check, ...] = (*SOFTWARE_CHECKS, *MACHINE_CHECKS, check_engines)
    for check in checks:
        findings.extend(check(config))
    return findings


def run_doctor(path: Path | None, as_json: bool, console: Console, *, main_file: Path = MAIN_FILE) -> int:
    """Examine and print. Returns 1 where something fails, else 0."""
    findings = examine(path, main_file)
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
