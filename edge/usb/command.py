"""``twinhdr usb``: what the device does with a stick, for any folder in its place, and for systemd."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import TwinhdrError

if TYPE_CHECKING:
    from edge.usb.apply import Device

app = typer.Typer(no_args_is_help=True, help="Configuration from a USB stick; logs and sessions onto it.")

MOUNT = Path("/run/twinhdr-usb")
OPTIONS = "noexec,nosuid,nodev,nosymfollow"
"""Of a stick. Kernels before 5.10 know no nosymfollow; FAT has no links anyway."""

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Instead of /etc/twinhdr/config.yaml.")
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="DIR", help="What is remembered of sticks; default: /var/lib/twinhdr-usb."
    ),
]


class MountError(TwinhdrError):
    """The stick cannot be mounted."""


@app.command()
def apply(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A stick, or a folder in its place.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Do what twinhdr.yaml and twinhdr-export.yaml in FOLDER ask for; write twinhdr-report.txt there.

    twinhdr.yaml is a configuration: it is judged, applied as conf.d/80-usb.yaml, and taken back unless the
    recorder is healthy with it for 60 s. The same file again changes nothing.
    twinhdr-export.yaml says what is copied to FOLDER: export: [logs, newest-session].

    \b
    Example:
      sudo twinhdr usb apply ./stick
    """
    _log()
    for line in _visited(folder, config, state):
        typer.echo(line)


@app.command()
def device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the block device: sda1.")],
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Mount a stick (root), do as usb apply does, and unmount it. For twinhdr-usb@.service."""
    _log()
    with _mounted(name) as folder:
        _visited(folder, config, state)


@app.command()
def settle(config: ConfigOption = None, state: StateOption = None) -> None:
    """End a probation that a power cut has cut off. For twinhdr-usb-settle.service."""
    _log()
    from edge.usb.apply import settle as settled

    found = _device(config, state)
    with found.ledger.alone():
        for line in settled(found):
            typer.echo(line)


def _visited(folder: Path, config: Path | None, state: Path | None) -> list[str]:
    import socket

    from edge.usb.journal import newest_log
    from edge.usb.visit import visit

    found = _device(config, state)
    with found.ledger.alone():
        return visit(folder, found, socket.gethostname(), newest_log)


def _device(config: Path | None, state: Path | None) -> Device:
    from edge.config.layers import MAIN_FILE, load
    from edge.config.web import WebConfig
    from edge.errors import ConfigError
    from edge.usb.apply import Device
    from edge.usb.ledger import FOLDER, Ledger
    from edge.usb.probation import HEALTHY_S, LIMIT_S
    from edge.usb.recorder import SystemdRecorder

    main = config or MAIN_FILE

    def page() -> WebConfig | None:
        try:
            return load(main_file=main).config.web
        except ConfigError:
            return None

    healthy_s = float(os.environ.get("TWINHDR_HEALTHY_S", HEALTHY_S))
    return Device(
        recorder=SystemdRecorder(page),
        ledger=Ledger(state or FOLDER),
        clock_s=time.monotonic,
        wait=time.sleep,
        main=main,
        healthy_s=healthy_s,
        limit_s=LIMIT_S - HEALTHY_S + healthy_s,
    )


@contextlib.contextmanager
def _mounted(name: str) -> Iterator[Path]:
    """Only FAT, and nothing on it can be run. It goes even if it is pulled while it is in use."""
    if not re.fullmatch(r"[a-z]{2,8}[a-z0-9]{1,8}", name):
        raise MountError(f"{name!r}: not the name of a stick; the kernel calls it sda1 or the like")
    folder = MOUNT / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = ["mount", "-t", "vfat,exfat", "-o", OPTIONS, f"/dev/{name}", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        command[4] = OPTIONS.replace(",nosymfollow", "")
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise MountError(
            f"/dev/{name}: cannot be mounted: {ended.stderr.strip()}; format it as FAT32 or exFAT"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def _log() -> None:
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{stamp}%(levelname)s: %(message)s")
