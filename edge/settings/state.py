"""What a device remembers of its configuration: what is running, and what last ran well.

Both lie in the folder that systemd gives the service (``$STATE_DIRECTORY``, /var/lib/twinhdr); a recording
started by hand has none and remembers nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.config.file import Plain
from edge.config.layers import LoadedConfig, load, shipped
from edge.errors import ConfigError, Fault
from edge.settings import lines
from edge.settings.files import read_layer, write_file
from edge.settings.live import nested

STATE = Path("/var/lib/twinhdr")
LAST_GOOD = Path("last-good") / "config.yaml"
RUNNING = "running.json"
HEALTHY_S = 60.0
"""How long a recording must be healthy before its configuration is one to come back to."""

HEAD = """\
# The last configuration that recorded for a minute without a fault. twinhdr writes this file, and starts with
# it when the configuration in /etc/twinhdr cannot be used any more. Changing it has no effect.
"""


@dataclass(frozen=True, slots=True)
class Start:
    """What a recording begins with; ``faults`` of the configuration that it could not begin with."""

    loaded: LoadedConfig
    faults: tuple[Fault, ...] = ()


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the service keeps what it remembers; None outside of systemd."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else None


def start(path: Path | None, state: Path | None) -> Start:
    """The configuration to begin with: the files', else the last good one of this device.

    Raises ConfigError with the faults of the files where there is no last good one.
    """
    try:
        return Start(load(path))
    except ConfigError as error:
        kept = None if state is None else state / LAST_GOOD
        if kept is None or not kept.is_file():
            raise
        try:
            return Start(load(kept), error.faults)
        except ConfigError:
            raise error from None


def remember_good(values: Mapping[str, Plain], state: Path) -> None:
    """Keep values by dotted key as the last good. The same ones again cost no write. Raises FileError."""
    defaults = {key: leaf.plain() for key, leaf in shipped().leaves()}
    changed = {key: value for key, value in values.items() if value != defaults.get(key)}
    text = HEAD + "\n".join(document(nested({"version": values["version"]} | changed))) + "\n"
    if _read(state / LAST_GOOD) != text:
        write_file(state / LAST_GOOD, text, keep=False)


def remember_running(values: Mapping[str, Plain], waiting: tuple[str, ...], state: Path) -> None:
    """Tell other programs what this process runs with. Raises FileError."""
    told = {"pid": os.getpid(), "started": started(os.getpid()), "waiting": waiting, "values": dict(values)}
    write_file(state / RUNNING, json.dumps(told, indent=1) + "\n", keep=False)


def running_values(state: Path) -> dict[str, Plain] | None:
    """The values by dotted key of the recording that runs now; None where none does.

    Raises ConfigError where this user may not know.
    """
    text = read_layer(state / RUNNING)
    try:
        told = json.loads(text or "null")
        alive = told is not None and started(int(told["pid"])) == told["started"]
        return {key: _plain(value) for key, value in told["values"].items()} if alive else None
    except (ValueError, KeyError, TypeError, AttributeError):
        problem = "damaged; systemctl reload twinhdr writes it again"
        raise ConfigError([Fault(str(state / RUNNING), None, "", problem)]) from None


def started(pid: int) -> str | None:
    """When a process began, in ticks since boot: with it a process id is never taken for another's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def document(tree: Mapping[str, Plain], indent: str = "") -> list[str]:
    """Sections as the lines of a YAML file."""
    found: list[str] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            found += [f"{indent}{name}:", *document(value, indent + lines.STEP)]
        else:
            found.append(f"{indent}{name}: {lines.as_yaml(value)}")
    return found


def _plain(value: Plain | list[Plain]) -> Plain:
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value


def _read(path: Path) -> str | None:
    try:
        return read_layer(path)
    except ConfigError:
        return None  # damaged: written again
