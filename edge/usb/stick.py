"""What is read from a stick and written to it. It comes from anybody: only small regular files are read."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from edge.config import file as config_file
from edge.config.section import Section
from edge.durable import sync_folder
from edge.errors import EX_NOINPUT, ConfigError, Fault, TwinhdrError

CONFIG = "twinhdr.yaml"
EXPORT = "twinhdr-export.yaml"
REPORT = "twinhdr-report.txt"
EXPORTS = "twinhdr-export"

LOGS, NEWEST, ALL = "logs", "newest-session", "sessions"
Wanted = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_][\w.-]*$")]


class StickError(TwinhdrError):
    """The stick, or the folder in its place, cannot be used."""

    exit_code = EX_NOINPUT


class ExportFile(Section):
    """``twinhdr-export.yaml``: what to take home, in this order."""

    export: Annotated[tuple[Wanted, ...], Field(min_length=1, max_length=100)]
    logs_mb: Annotated[int, Field(ge=1, le=500)] = 20


@dataclass(frozen=True, slots=True)
class Request:
    """What a stick asks for. ``faults`` of its files, by the names that they have on the stick."""

    config: str | None
    export: ExportFile | None
    faults: tuple[Fault, ...] = ()


def read_stick(folder: Path) -> Request:
    """Read both files, where they are there. Raises StickError where the folder cannot be looked into."""
    if not folder.is_dir():
        raise StickError(f"{folder}: no such folder; name the folder that the stick is mounted at")
    faults: list[Fault] = []
    config = _text(folder, CONFIG, faults)
    wanted = _text(folder, EXPORT, faults)
    export = None if wanted is None else _export(wanted, faults)
    return Request(config, export, tuple(faults))


def write_report(folder: Path, text: str) -> None:
    """Put the report onto the stick, whole or not at all. Raises OSError: it may be gone."""
    descriptor, temporary = tempfile.mkstemp(prefix="twinhdr-", suffix=".tmp", dir=folder)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, folder / REPORT)
        sync_folder(folder)  # whoever reads the report pulls the stick
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _text(folder: Path, name: str, faults: list[Fault]) -> str | None:
    try:
        data = _bounded(folder / name)
        return None if data is None else config_file.decode(data, name)
    except OSError as error:
        faults.append(Fault(name, None, "", f"cannot be read: {error.strerror}; write it again"))
    except ConfigError as error:
        faults += error.faults
    return None


def _bounded(path: Path) -> bytes | None:
    """At most one byte more than a configuration may have; None where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(config_file.MAX_BYTES + 1)


def _export(text: str, faults: list[Fault]) -> ExportFile | None:
    try:
        tree, found = config_file.parse(text, EXPORT)
    except ConfigError as error:
        faults += error.faults
        return None
    faults += found
    try:
        return ExportFile.model_validate(tree.plain())
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            key = ".".join(str(step) for step in detail["loc"])[:80]
            place = tree.at(tuple(detail["loc"]))
            problem = f"{detail['msg']}; write export: [{LOGS}, {NEWEST}], and logs_mb: 20 for more of them"
            faults.append(Fault(EXPORT, place.line, key.encode("unicode_escape").decode(), problem))
        return None
