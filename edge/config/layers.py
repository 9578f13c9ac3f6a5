"""Layered configuration: read, lay over each other, validate, and report every fault with file and line.

Layers, lowest first: ``edge/defaults.yaml`` (complete), the main file, then ``conf.d/*.yaml`` beside the main
file in the order of their names. The main file is the one given, else ``/etc/twinhdr/config.yaml``, which
may be absent. Every call reads the files again.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from edge.config import file as config_file
from edge.config.file import Located
from edge.config.schema import Config, Contradiction, contradictions
from edge.config.texts import explain, shown
from edge.errors import ConfigError, Fault

__all__ = ["DEFAULTS", "MAIN_FILE", "Config", "LoadedConfig", "Origin", "load", "load_config"]

DEFAULTS = Path(__file__).parents[1] / "defaults.yaml"
MAIN_FILE = Path("/etc/twinhdr/config.yaml")

PATH_KEYS = frozenset(
    {"replay.session", "calibration.file", "store.root"}
    | {"web.password_file", "web.tls_certificate", "web.tls_key"}
)
NAME_OR_PATH_KEYS = frozenset(
    {"simulator.scene", "fuse.model", "fuse.small_model", "video.reference.uri", "video.secondary.uri"}
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set; ``line`` counts from 1."""

    file: str
    line: int

    @property
    def is_default(self) -> bool:
        """Whether nobody but the shipped defaults set it."""
        return self.file == DEFAULTS.name


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration, the files it came from (lowest first) and where each value was set."""

    config: Config
    files: tuple[str, ...]
    values: dict[str, config_file.Plain]
    """By dotted key, as effective, in the order of ``defaults.yaml``."""
    origins: dict[str, Origin]
    """By dotted key."""


def load_config(path: Path | None = None, *, main_file: Path = MAIN_FILE) -> Config:
    """The effective configuration. Raises ConfigError with all faults; see ``load``."""
    return load(path, main_file=main_file).config


def load(
    path: Path | None = None,
    *,
    main_file: Path = MAIN_FILE,
    instead: Mapping[Path, str | None] = MappingProxyType({}),
) -> LoadedConfig:
    """Read all layers and validate them.

    ``path`` stands in for ``main_file`` and, unlike it, must exist. A bad value is reported even where a
    higher layer corrects it; contradictions between keys are looked for once no other fault is left.
    ``instead`` are texts to take for files of these layers as if they had been written (None: deleted).
    Raises ConfigError.
    """
    faults: list[Fault] = []
    merged = defaults = shipped()
    files = [DEFAULTS.name]
    for layer_path in _layer_paths(path, main_file, instead, faults):
        files.append(str(layer_path))
        text = instead.get(layer_path)
        try:
            if text is None:
                layer, layer_faults = config_file.read(layer_path)
            else:
                layer, layer_faults = _parsed(text, str(layer_path))
        except ConfigError as error:
            faults += error.faults
            continue
        faults += layer_faults
        merged = config_file.merge(merged, _absolute(layer, layer_path.absolute().parent, (), faults))
        faults += _faults(merged, defaults)[1]
    config, last = _faults(merged, defaults)
    faults += last
    if config is None or faults:
        raise ConfigError(_in_order(faults, files))
    faults = [_located_fault(contradiction, merged) for contradiction in contradictions(config)]
    if faults:
        raise ConfigError(_in_order(faults, files))
    leaves = dict(merged.leaves())
    return LoadedConfig(
        config,
        tuple(files),
        {key: leaf.plain() for key, leaf in leaves.items()},
        {key: Origin(leaf.file, leaf.line) for key, leaf in leaves.items()},
    )


@functools.cache
def shipped() -> Located:
    """The defaults. They are part of the program, so they are read once in its life."""
    return config_file.read(DEFAULTS, DEFAULTS.name)[0]


def _parsed(text: str, name: str) -> tuple[Located, list[Fault]]:
    """A text judged as the file would be: by its bytes."""
    return config_file.parse(config_file.decode(text.encode(errors="surrogatepass"), name), name)


def _layer_paths(
    path: Path | None, main_file: Path, instead: Mapping[Path, str | None], faults: list[Fault]
) -> Iterator[Path]:
    if path is not None:
        main_file = path
    if main_file in instead:
        if instead[main_file] is not None:
            yield main_file
    elif path is not None:
        yield path
    else:
        try:
            main_file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            pass  # the device runs on the defaults until somebody writes the file
        except OSError:
            yield main_file  # reading it names the cause
        else:
            yield main_file
    folder = main_file.parent / "conf.d"
    try:
        paths = {folder / entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml")}
    except (FileNotFoundError, NotADirectoryError):
        paths = set()
    except OSError as error:
        problem = f"{error.strerror}; make it readable for the user that runs twinhdr"
        faults.append(Fault(str(folder), None, "", problem))
        return
    paths = {layer for layer in paths if layer not in instead}
    paths |= {layer for layer, text in instead.items() if layer.parent == folder and text is not None}
    yield from sorted(paths)


def _faults(tree: Located, defaults: Located) -> tuple[Config | None, list[Fault]]:
    try:
        return Config.model_validate(tree.plain()), []
    except ValidationError as error:
        return None, explain(error, tree, defaults)


def _located_fault(contradiction: Contradiction, tree: Located) -> Fault:
    """Point at the first of the keys that a person has set; the shipped defaults agree with each other."""
    places = {key: tree.at(tuple(key.split("."))) for key in contradiction.keys}
    set_by_hand = [key for key in places if places[key].file != DEFAULTS.name]
    key = (set_by_hand or list(places))[0]
    problem = f"got {shown(places[key].plain())}; expected {contradiction.expected}"
    return Fault(places[key].file, places[key].line, key, problem)


def _absolute(tree: Located, folder: Path, path: tuple[str, ...], faults: list[Fault]) -> Located:
    """``tree`` with every relative path made absolute from the folder of its file."""
    if isinstance(tree.value, dict):
        items = {key: _absolute(item, folder, (*path, key), faults) for key, item in tree.value.items()}
        return replace(tree, value=items)
    key, text = ".".join(path), tree.value
    if not isinstance(text, str) or key not in PATH_KEYS | NAME_OR_PATH_KEYS:
        return tree
    if not text.strip() or text.startswith("~") or "\0" in text:
        problem = f"got {text!r}; expected a path; write it in full, ~ is not expanded"
        faults.append(Fault(tree.file, tree.line, key, problem))
        return tree
    if key in NAME_OR_PATH_KEYS and re.fullmatch(r"[\w-]+|\w+://.*", text):
        return tree
    # normpath, not resolve: a link that is moved later must keep its meaning
    return replace(tree, value=os.path.normpath(folder / text))


def _in_order(faults: list[Fault], files: list[str]) -> list[Fault]:
    rank = {file: index for index, file in enumerate(files)}
    unique = dict.fromkeys(faults)
    return sorted(unique, key=lambda fault: (rank.get(fault.file, len(rank)), fault.file, fault.line or 0))
