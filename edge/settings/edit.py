"""The configuration changed in its files: judged with all layers first, written whole, the old one kept.

Nothing here tells the recorder: a change counts from its next start or reload on (`edge.settings.reload`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.config import file as config_file
from edge.config.file import Plain
from edge.config.layers import MAIN_FILE, LoadedConfig, load, shipped
from edge.config.texts import accepts, check_key
from edge.errors import ConfigError, Fault
from edge.settings import lines
from edge.settings.files import delete_file, read_layer, write_file

PAGE_LAYER = "90-page.yaml"
USB_LAYER = "80-usb.yaml"


@dataclass(frozen=True, slots=True)
class Value:
    """One key as effective. ``file`` and ``line`` are where it was set; the shipped file for a default."""

    key: str
    value: Plain
    default: Plain
    file: str
    line: int
    is_default: bool

    @property
    def where(self) -> str:
        return "default" if self.is_default else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it will be (``text`` None: deleted), judged and not yet written."""

    file: Path
    text: str | None
    loaded: LoadedConfig


def layer_path(name: str, main: Path | None = None) -> Path:
    """The drop-in called ``name`` beside the main file."""
    return (main or MAIN_FILE).parent / "conf.d" / name


def effective(main: Path | None = None) -> tuple[Value, ...]:
    """Every key in the order of the defaults. Raises ConfigError."""
    return values_of(load_layers(main))


def values_of(loaded: LoadedConfig) -> tuple[Value, ...]:
    """A loaded configuration beside the defaults."""
    rows = []
    for key, value in loaded.values.items():
        origin = loaded.origins[key]
        default = shipped().at(tuple(key.split("."))).plain()
        rows.append(Value(key, value, default, origin.file, origin.line, origin.is_default))
    return tuple(rows)


def load_layers(main: Path | None = None, instead: Mapping[Path, str | None] | None = None) -> LoadedConfig:
    """All layers of a device, whose main file may be absent. Raises ConfigError."""
    return load(main_file=main or MAIN_FILE, instead=instead or {})


def check_text(text: str, main: Path | None = None, layer: str = PAGE_LAYER) -> list[str]:
    """What would be wrong with ``text`` as the drop-in ``layer``: one line a fault, none where it is good."""
    try:
        load_layers(main, {layer_path(layer, main): text})
    except ConfigError as error:
        return [str(fault) for fault in error.faults]
    return []


def read_text(main: Path | None = None, layer: str = PAGE_LAYER) -> str:
    """The drop-in ``layer`` as it is; empty where there is none. Raises ConfigError."""
    return read_layer(layer_path(layer, main)) or ""


def save(text: str, main: Path | None = None, layer: str = PAGE_LAYER) -> LoadedConfig:
    """Write ``text`` as the drop-in ``layer``; blank text deletes it. Returns what holds after a reload.

    Raises ConfigError with all faults, in which case nothing was written, or `FileError`.
    """
    path = layer_path(layer, main)
    wanted = text if text.strip() else None
    return write(Change(path, wanted, load_layers(main, {path: wanted})), main)


def with_value(key: str, written: str, main: Path | None = None) -> Change:
    """What setting ``key`` to ``written`` (as in a file) does, in the last layer that has it, else the main.

    Raises ConfigError or `lines.NotEditableError`.
    """
    check_key(key)
    path = _highest(key, main) or main or MAIN_FILE
    text = read_layer(path)
    value = _value(key, written)
    changed = lines.set_value(f"{lines.EMPTY}\n" if text is None else text, key, value, str(path))
    return Change(path, changed, load_layers(main, {path: changed}))


def without_value(key: str, main: Path | None = None) -> tuple[Change, ...]:
    """What taking ``key`` out of every layer does; empty where none sets it. Raises as `with_value`."""
    check_key(key)
    texts = {
        path: lines.remove(text, key, str(path))
        for path in layer_files(main)
        if (text := read_layer(path)) is not None and key in _keys(text, path)
    }
    loaded = load_layers(main, texts)
    return tuple(Change(path, text, loaded) for path, text in texts.items())


def without_all(main: Path | None = None) -> tuple[Change, ...]:
    """What going back to the defaults does: every drop-in deleted, the main file without a value."""
    main = main or MAIN_FILE
    texts: dict[Path, str | None] = dict.fromkeys(layer_files(main))
    if main in texts:
        texts[main] = f"{lines.EMPTY}\n"
    loaded = load_layers(main, texts)
    return tuple(Change(path, text, loaded) for path, text in texts.items())


def write(change: Change, main: Path | None = None) -> LoadedConfig:
    """Write a judged change; what the file said before is kept beside it (`files.kept_path`) if it was good.

    Raises FileError.
    """
    keep = _is_good(main)
    if change.text is None:
        delete_file(change.file, keep=keep)
    else:
        write_file(change.file, change.text, keep=keep)
    return change.loaded


def layer_files(main: Path | None = None) -> list[Path]:
    """The files that a person can have written, lowest first. Raises ConfigError."""
    main = main or MAIN_FILE
    folder = main.parent / "conf.d"
    try:
        names = sorted(entry for entry in os.listdir(folder) if entry.endswith(".yaml"))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        problem = f"{error.strerror}; use sudo"
        raise ConfigError([Fault(str(folder), None, "", problem)]) from None
    return [*([main] if main.is_symlink() or main.exists() else []), *(folder / name for name in names)]


def _highest(key: str, main: Path | None) -> Path | None:
    """The last file that sets ``key``: a value anywhere below would not be seen."""
    for path in reversed(layer_files(main)):
        text = read_layer(path)
        if text is not None and key in _keys(text, path):
            return path
    return None


def _keys(text: str, path: Path) -> set[str]:
    return {key for key, _ in config_file.parse(text, str(path))[0].leaves()}


def _value(key: str, written: str) -> Plain:
    """What a person means who writes ``written`` behind the key: 0815 as a serial number is a text."""
    try:
        value = lines.value_of(written)
    except ConfigError:
        if accepts(key, written):
            return written
        raise
    if not isinstance(value, str) and not accepts(key, value) and accepts(key, written.strip()):
        return written.strip()
    return value


def _is_good(main: Path | None) -> bool:
    try:
        load_layers(main)
    except ConfigError:
        return False
    return True
