"""One visit of a stick, from reading it to its report. Nothing that a stick does can end in a traceback."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from edge.config.layers import load
from edge.errors import TwinhdrError
from edge.usb.apply import Device, apply_config, settle
from edge.usb.export import Logs, export
from edge.usb.stick import CONFIG, EXPORT, Request, read_stick, write_report

log = logging.getLogger(__name__)


@dataclass
class Report:
    """Said three times: in the log, on the device, and on the stick while it is there."""

    stick: Path
    device: Device
    head: str
    lines: list[str] = field(default_factory=list)
    gone: bool = False

    def add(self, *lines: str) -> None:
        for line in lines:
            log.info("%s", line)
        self.lines += lines
        self.show([])

    def show(self, more: list[str]) -> None:
        """Write what is known so far, with ``more`` that will be replaced by how it ended."""
        text = "\n".join([self.head, "", *self.lines, *more]) + "\n"
        try:
            self.device.ledger.keep_report(text)
        except TwinhdrError as error:
            log.warning("%s", error)
        if self.gone:
            return
        try:
            write_report(self.stick, text)
        except OSError as error:
            self.gone = True
            log.warning("the report cannot be written to the stick: %s", error.strerror or error)


def visit(stick: Path, device: Device, host: str, logs: Logs) -> list[str]:
    """Do what the stick at this folder asks for; returns the report. Raises StickError, FileError."""
    request = read_stick(stick)
    if request == Request(None, None):
        return []
    report = Report(stick, device, f"twinhdr on {host}: this stick was read.")
    report.add(*(f"{fault}" for fault in request.faults))
    report.add(*settle(device))
    if request.config is not None:
        report.add(*apply_config(request.config, device, report.show))
    elif any(fault.file == CONFIG for fault in request.faults):
        report.add(f"{CONFIG}: refused, nothing is changed.")
    if request.export is not None:
        _take_home(request, stick, device, host, logs, report)
    elif any(fault.file == EXPORT for fault in request.faults):
        report.add(f"{EXPORT}: refused, nothing is exported.")
    report.add("Done. The stick can be pulled.")
    return report.lines


def _take_home(request: Request, stick: Path, device: Device, host: str, logs: Logs, report: Report) -> None:
    assert request.export is not None
    try:
        root = load(main_file=device.main).config.store.root
    except TwinhdrError as error:
        report.add(f"sessions cannot be found, the device's configuration is wrong: {error}")
        return
    report.show([f"{EXPORT}: being copied. Leave the stick in until this says Done."])
    try:
        for line in export(request.export, stick, root, host, logs):
            report.add(line)
    except OSError as error:
        report.gone = True
        report.add(f"the stick is gone or damaged ({error.strerror or error}); plug it in again to go on")
