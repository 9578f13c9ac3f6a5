"""One YAML file as a tree of values that remember their line.

What is allowed is the plain part of YAML 1.2: mappings, sequences and the core scalars. YAML 1.1 surprises
(``on`` as a boolean, ``1:30`` as ninety, ``010`` as eight) stay text, and anchors, aliases and tags, which
a configuration does not need and an alias bomb does, are faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml

from edge.errors import ConfigError, Fault

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_NODES = 10_000

Scalar: TypeAlias = str | int | float | bool | None
Tree: TypeAlias = "dict[str, Located] | list[Located] | Scalar"
Plain: TypeAlias = "dict[str, Plain] | tuple[Plain, ...] | Scalar"


@dataclass(frozen=True, slots=True)
class Located:
    """A value and where it stands. ``line`` counts from 1 and is the key's line where there is a key."""

    value: Tree
    file: str
    line: int

    def at(self, path: tuple[str | int, ...]) -> Located:
        """The value at ``path``, or the deepest one on the way there where it does not exist."""
        here = self
        for step in path:
            below = here.value
            if isinstance(below, dict) and step in below:
                here = below[str(step)]
            elif isinstance(below, list) and isinstance(step, int) and step < len(below):
                here = below[step]
            else:
                break
        return here

    def plain(self) -> Plain:
        """The bare values; sequences become tuples."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return tuple(item.plain() for item in self.value)
        return self.value

    def leaves(self, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Located]]:
        """Every value below with its dotted path, in file order; a sequence is one value."""
        if not isinstance(self.value, dict):
            yield ".".join(path), self
            return
        for key, item in self.value.items():
            yield from item.leaves((*path, key))


def merge(below: Located, above: Located) -> Located:
    """``above`` laid over ``below``: mappings key by key, everything else replaced.

    A section header without keys (all of them commented out) says nothing and replaces nothing.
    """
    if isinstance(below.value, dict) and above.value is None:
        return below
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    merged = dict(below.value)
    for key, item in above.value.items():
        merged[key] = merge(merged[key], item) if key in merged else item
    return Located(merged, above.file, above.line)


def read(path: Path, name: str | None = None) -> tuple[Located, list[Fault]]:
    """Read one file. ``name`` is what faults call it (default: the path as given).

    Returns the tree with the faults that do not hinder reading on (duplicate and unusable keys).
    Raises ConfigError where the file cannot be read as a mapping at all.
    """
    name = name or str(path)
    return parse(decode(_bytes(path, name), name), name)


def parse(text: str, name: str) -> tuple[Located, list[Fault]]:
    """What ``read`` does, for the text of a file called ``name``."""
    node = compose(text, name)
    if node is None:
        return Located({}, name, 1), []
    faults: list[Fault] = []
    return _located(node, name, node.start_mark.line + 1, (), faults), faults


def compose(text: str, name: str) -> yaml.MappingNode | None:
    """The YAML nodes of a text with their marks; None where it has none. Raises ConfigError."""
    try:
        _refuse_excess(text, name)
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_fault(error, text, name)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character U+{int(error.character):04X} is not allowed in YAML; delete it"
        raise ConfigError([Fault(name, line, "", problem)]) from None
    if node is not None and not isinstance(node, yaml.MappingNode):
        problem = "expected sections such as 'rig:' at the top level; see edge/defaults.yaml for the layout"
        raise ConfigError([Fault(name, node.start_mark.line + 1, "", problem)])
    return node


def _bytes(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        advice = {
            FileNotFoundError: "name an existing file, or leave --config out to run on the defaults",
            IsADirectoryError: "name a file inside it",
            PermissionError: "make it readable for the user that runs twinhdr",
        }.get(type(error), "check the path and the disk")
        raise ConfigError([Fault(name, None, "", f"{error.strerror or error}; {advice}")]) from None


def decode(data: bytes, name: str) -> str:
    """The text of a configuration file, without a byte order mark. Raises ConfigError."""
    if len(data) > MAX_BYTES:
        problem = f"larger than {MAX_BYTES // 1024} KiB; this is not a twinhdr configuration"
        raise ConfigError([Fault(name, None, "", problem)])
    if not data.strip():
        problem = "the file is empty, as after a power cut; restore it, or delete it to run on the defaults"
        raise ConfigError([Fault(name, None, "", problem)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise ConfigError([Fault(name, line, "", problem)]) from None


def _refuse_excess(text: str, name: str) -> None:
    """Walk the events, which needs no recursion, before composing, which does."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=_CoreLoader):
        problem = None
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
                problem = "anchors and aliases (& and *) are not used here; write the value out, or quote it"
            elif (tag := getattr(event, "tag", None)) is not None:
                problem = f"the tag {str(tag)[:60]} is not used here; delete it"
        if depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels; this is not a twinhdr configuration"
        elif nodes > MAX_NODES:
            problem = f"more than {MAX_NODES} values; this is not a twinhdr configuration"
        elif documents > 1:
            problem = "a second YAML document ('---') begins; keep one, use conf.d for further files"
        if problem:
            mark = event.start_mark
            raise ConfigError([Fault(name, mark.line + 1 if mark else None, "", problem)])


def _syntax_fault(error: yaml.MarkedYAMLError, text: str, name: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    lines = text.splitlines()
    if "\t" in (lines[line] if line < len(lines) else "") and "\\t" in str(error.problem):
        return Fault(name, line + 1, "", "a tab character in the indentation; indent with spaces")
    context = f" {error.context}" if error.context else ""
    problem = (
        f"not valid YAML{context}: {error.problem}; compare indentation, ':' and quotes with the lines above"
    )
    return Fault(name, line + 1, "", problem.replace("\n", " "))


def _located(node: yaml.Node, name: str, line: int, path: tuple[str, ...], faults: list[Fault]) -> Located:
    if isinstance(node, yaml.SequenceNode):
        items = [_located(item, name, item.start_mark.line + 1, path, faults) for item in node.value]
        return Located(items, name, line)
    if not isinstance(node, yaml.MappingNode):
        return Located(_scalar(node), name, line)
    mapping: dict[str, Located] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or not str(key_node.value).strip():
            problem = "a key must be a plain word; see edge/defaults.yaml for the keys there are"
            faults.append(Fault(name, key_line, ".".join(path), problem))
            continue
        key = str(key_node.value)
        here = (*path, key)
        if key in mapping:
            problem = f"already set at line {mapping[key].line}; keep one of the two"
            faults.append(Fault(name, key_line, ".".join(here), problem))
            continue
        mapping[key] = _located(value_node, name, key_line, here, faults)
    return Located(mapping, name, line)


_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float"))
_INT_DIGITS = 18  # beyond, a float is precise enough to report, and int() of megabytes of digits is refused


class _CoreLoader(yaml.SafeLoader):
    """Scalars after the core schema of YAML 1.2, section 10.3.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's name)


for _tag, _pattern, _first in (
    (_NULL, r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    (_BOOL, r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    (_INT, r"^[-+]?[0-9]+$", list("-+0123456789")),
    (_FLOAT, r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    (_FLOAT, r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
):
    _CoreLoader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _scalar(node: yaml.Node) -> Scalar:
    text = str(node.value)
    if node.tag == _NULL:
        return None
    if node.tag == _BOOL:
        return text.lower() == "true"
    if node.tag == _INT and len(text) <= _INT_DIGITS:
        return int(text)
    if node.tag in (_INT, _FLOAT):
        return float(re.sub(r"\.(?=[a-zA-Z])", "", text))
    return text
