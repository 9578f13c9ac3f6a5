"""A configuration from a stick: judged, tried on probation, kept or taken back; lines for the report."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config.layers import MAIN_FILE, LoadedConfig
from edge.errors import ConfigError, Fault
from edge.settings import edit
from edge.settings.files import delete_file, read_layer, write_file
from edge.settings.lines import shown
from edge.settings.live import When, differing, when
from edge.usb.ledger import Handled, Ledger, Outcome, Tried, digest
from edge.usb.probation import HEALTHY_S, LIMIT_S, Kept, Reverted, Watch, fault_name, step
from edge.usb.recorder import Recorder
from edge.usb.stick import CONFIG

log = logging.getLogger(__name__)

Tell = Callable[[list[str]], None]


@dataclass(frozen=True, slots=True)
class Device:
    """The machine that a stick is plugged into. ``clock_s`` only grows; ``wait(seconds)`` passes time."""

    recorder: Recorder
    ledger: Ledger
    clock_s: Callable[[], float]
    wait: Callable[[float], None]
    main: Path = MAIN_FILE
    healthy_s: float = HEALTHY_S
    limit_s: float = LIMIT_S

    @property
    def layer(self) -> Path:
        return edit.layer_path(edit.USB_LAYER, self.main)


def apply_config(text: str, device: Device, tell: Tell) -> list[str]:
    """Let the configuration in ``text`` hold, if it is good and the recorder stays healthy with it.

    ``tell`` is given what to report while it is tried. Raises FileError and ConfigError for the device's own
    files only.
    """
    sha256, last = digest(text), device.ledger.last()
    before = read_layer(device.layer)
    if last is not None and last.sha256 == sha256 and (last.outcome != "applied" or before == text):
        why = f": {last.why}" if last.why else ""
        return [f"{CONFIG}: seen before, nothing is changed. It was {last.outcome}{why}"]
    if before == text:
        return [f"{CONFIG}: is in force already, nothing is changed."]
    try:
        wanted = edit.load_layers(device.main, {device.layer: text})
    except ConfigError as error:
        return _refused(error, sha256, device)
    now = device.recorder.sample()
    if now.stopped:
        return [
            f"{CONFIG}: good, but not applied: the recorder is not running, so it cannot be tried.",
            "Start it (sudo systemctl start twinhdr) and plug the stick in again.",
        ]
    changes = _changes(device, wanted)
    tell([f"{CONFIG}: on probation for {device.healthy_s:g} s. Leave the stick in.", *_listed(changes)])
    device.ledger.begin(Tried(sha256, before, tuple(fault_name(fault) for fault in now.faults)))
    write_file(device.layer, text, keep=False)
    _let_count(device, changes)
    return [*_judged(device), *_listed(changes)]


def settle(device: Device) -> list[str]:
    """End a probation that a power cut has cut off; nothing where there is none. Raises as `apply_config`."""
    return _judged(device) if device.ledger.tried() is not None else []


def _judged(device: Device) -> list[str]:
    """Watch the recorder until the probation is over, and do what follows."""
    tried = device.ledger.tried()
    assert tried is not None, "a probation begins with its ledger"
    verdict = _watch(device, frozenset(tried.known))
    if isinstance(verdict, Kept):
        device.ledger.end(Handled(tried.sha256, "applied", ""))
        return [f"{CONFIG}: applied. The recorder was healthy for {device.healthy_s:g} s."]
    log.warning("the configuration of the stick is taken back: %s", verdict.reason)
    if tried.before is None:
        delete_file(device.layer, keep=False)
    else:
        write_file(device.layer, tried.before, keep=False)
    device.recorder.restart()
    device.ledger.end(Handled(tried.sha256, "reverted", verdict.reason))
    return [f"{CONFIG}: reverted, the configuration is as before: {verdict.reason}"]


def _watch(device: Device, known: frozenset[str]) -> Kept | Reverted:
    watch = Watch(device.clock_s(), device.healthy_s, device.limit_s, known=known)
    while True:
        found = step(watch, device.recorder.sample(), device.clock_s())
        if not isinstance(found, Watch):
            return found
        watch = found
        device.wait(1.0)


def _refused(error: ConfigError, sha256: str, device: Device) -> list[str]:
    """Faults under the name that the file has on the stick."""
    layer = str(device.layer)
    faults = [replace(fault, file=CONFIG) if fault.file == layer else fault for fault in error.faults]
    own = [fault for fault in faults if fault.file == CONFIG]
    if own:
        device.ledger.end(_handled(sha256, "refused", own))
    return [f"{CONFIG}: refused, nothing is changed:", *(f"  {fault}" for fault in faults)]


def _handled(sha256: str, outcome: Outcome, faults: list[Fault]) -> Handled:
    return Handled(sha256, outcome, "; ".join(str(fault) for fault in faults[:3]))


def _changes(device: Device, wanted: LoadedConfig) -> dict[str, tuple[str, str]]:
    """Old and new of each key that changes; all that the file sets where the device's files are bad now."""
    try:
        before = edit.load_layers(device.main).values
    except ConfigError:
        before = {}
    keys = differing(before, wanted.values)
    return {key: (shown(before[key]) if key in before else "?", shown(wanted.values[key])) for key in keys}


def _listed(changes: dict[str, tuple[str, str]]) -> list[str]:
    return [f"  {key}: {old} -> {new}" for key, (old, new) in changes.items()] or ["  no value differs"]


def _let_count(device: Device, changes: dict[str, tuple[str, str]]) -> None:
    if any(when(key) is When.RESTART for key in changes):
        device.recorder.restart()
    else:
        device.recorder.reload()
