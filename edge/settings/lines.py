"""One value of a YAML text set or removed, every other character of the text left as it is.

The places come from the marks of PyYAML's nodes, the parser that ``edge.config.file`` reads with, so that
what is edited here is what is read there. A library that writes a whole document anew (ruamel.yaml keeps
comments, but not every width, quote and blank) would be a second parser with its own idea of YAML. Each
result is parsed again: unless exactly the one value differs, `NotEditableError` is raised and no text given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import yaml

from edge.config import file as config_file
from edge.config.file import Plain
from edge.config.texts import without_password
from edge.errors import EX_DATAERR, ConfigError, Fault, TwinhdrError

Pair: TypeAlias = tuple[yaml.Node, yaml.Node]

STEP = "  "
PLAIN_TEXT = re.compile(r"[A-Za-z0-9_/.][\w/.+@-]*(?:://?[\w/.+@-]+)*")
"""Texts that need no quotes anywhere, also between the brackets of a list."""
EMPTY = "version: 1"
"""A file without a value is refused as the remains of a power cut."""
VERSION = ("version",)


class NotEditableError(TwinhdrError):
    """The text is written in a way that this editor leaves alone."""

    exit_code = EX_DATAERR


def set_value(text: str, key: str, value: Plain, name: str) -> str:
    """``text`` with the dotted ``key`` set to ``value``; ``name`` is what errors call the file.

    A key that is there keeps its line and its comment; a new one comes last in its section, a new section
    last in the file. Raises ConfigError (``text`` is not YAML) or NotEditableError.
    """
    path, written = key.split("."), as_yaml(value)
    root = config_file.compose(text, name)
    if root is None:
        changed = _with_lines(text, len(text), _nested(path, written, ""))
    else:
        changed = _set_in(text, root, path, written)
    return _proven(text, changed, path, value, name)


def remove(text: str, key: str, name: str) -> str:
    """``text`` without the dotted ``key``, with its line's comment; the same text where it is not set.

    A section's header stays, so that the comments in it keep their place. Raises as ``set_value``.
    """
    path = key.split(".")
    found = _find(config_file.compose(text, name), path)
    if found is None:
        return text
    section, index = found
    changed = _without(text, section, index)
    if not changed.strip() or config_file.compose(changed, name) is None:
        changed = _with_lines(changed, len(changed), [EMPTY])
    return _proven(text, changed, path, None, name, gone=True)


def as_yaml(value: Plain) -> str:
    """A value on one line, as it can stand anywhere in a YAML file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        if PLAIN_TEXT.fullmatch(value) and value_of(value) == value:
            return value
        quoted: str = yaml.dump(value, default_style='"', width=float("inf"), allow_unicode=True)
        return quoted.rstrip("\n")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_yaml(name)}: {as_yaml(item)}" for name, item in value.items()) + "}"
    return "[" + ", ".join(as_yaml(item) for item in value) + "]"


def shown(value: Plain) -> str:
    """A value for logs and reports, which others read: without the password in a camera's address."""
    return without_password(as_yaml(value))


def value_of(text: str) -> Plain:
    """What a text means where a value stands in a file. Raises ConfigError."""
    if not text.strip():
        return None
    tree, _ = config_file.parse(f"value: {text.strip()}\n", "the value")
    if not isinstance(tree.value, dict) or set(tree.value) != {"value"}:
        raise ConfigError([Fault("the value", None, "", "write one value, on one line")])
    return tree.value["value"].plain()


def _set_in(text: str, section: yaml.MappingNode, path: Sequence[str], written: str) -> str:
    """Set below ``section``, as deep as the sections of ``path`` are there."""
    name, rest = path[0], path[1:]
    for key, value in section.value:
        if key.value != name:
            continue
        if rest and isinstance(value, yaml.MappingNode):
            return _set_in(text, value, rest, written)
        begin, end = value.start_mark.index, _end(value)
        if rest and begin == end and not section.flow_style:
            lines = _nested(rest, written, " " * key.start_mark.column + STEP)
            return _with_lines(text, _line_end(text, key.end_mark.index), lines)
        return _replaced(text, value, _inline(rest, written), key)
    return _added(text, section, path, written)


def _added(text: str, section: yaml.MappingNode, path: Sequence[str], written: str) -> str:
    if section.flow_style:
        pair = f"{path[0]}: {_inline(path[1:], written)}"
        if not section.value:
            at = section.start_mark.index + 1
            return f"{text[:at]}{pair}{text[at:]}"
        at = _end(section.value[-1][1])
        return f"{text[:at]}, {pair}{text[at:]}"
    first_key, last_value = section.value[0][0], section.value[-1][1]
    at = _line_end(text, max(_end(last_value), section.value[-1][0].end_mark.index))
    return _with_lines(text, at, _nested(path, written, " " * first_key.start_mark.column))


def _replaced(text: str, value: yaml.Node, written: str, key: yaml.Node) -> str:
    begin, end = value.start_mark.index, _end(value)
    if begin == end:  # nothing stood there: the mark is right behind the colon
        return f"{text[:begin]} {written}{text[end:]}"
    if value.start_mark.line == key.end_mark.line:
        tail = "\n" if text[end - 1] == "\n" else ""  # a block of text ends with its last line
        return f"{text[:begin]}{written}{tail}{text[end:]}"
    colon = text.index(":", key.end_mark.index) + 1
    first, last = _line_end(text, colon), _line_end(text, end)
    comments = re.findall(r"#.*", _outside_items(text, value, first, last))
    indent, newline = " " * (key.start_mark.column + len(STEP)), _newline(text)
    below = "".join(f"{indent}{comment.rstrip()}{newline}" for comment in comments)
    return f"{text[:colon]} {written}{text[colon:first]}{below}{text[last:]}"


def _outside_items(text: str, value: yaml.Node, begin: int, end: int) -> str:
    """What stands between the values from ``begin`` to ``end``: dashes, blanks and comments."""
    items = value.value if isinstance(value, yaml.SequenceNode) and not value.flow_style else [value]
    pieces = []
    for item in items:
        pieces.append(text[begin : max(begin, item.start_mark.index)])
        begin = max(begin, _end(item))
    return "".join([*pieces, text[begin:end]])


def _without(text: str, section: yaml.MappingNode, index: int) -> str:
    key, value = section.value[index]
    begin, end = key.start_mark.index, max(_end(value), key.end_mark.index)
    if not section.flow_style:
        start = text.rfind("\n", 0, begin) + 1
        return text[:start] + text[_line_end(text, end) :]
    if index + 1 < len(section.value):
        return text[:begin] + text[section.value[index + 1][0].start_mark.index :]
    if index:
        begin = max(_end(section.value[index - 1][1]), section.value[index - 1][0].end_mark.index)
    return text[:begin] + text[end:]


def _find(section: yaml.Node | None, path: Sequence[str]) -> tuple[yaml.MappingNode, int] | None:
    if not isinstance(section, yaml.MappingNode):
        return None
    for index, (key, value) in enumerate(section.value):
        if key.value == path[0]:
            return (section, index) if len(path) == 1 else _find(value, path[1:])
    return None


def _end(node: yaml.Node) -> int:
    """Where a value ends: a block collection's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return max(_end(last[1]), int(last[0].end_mark.index))
        return _end(last)
    return int(node.end_mark.index)


def _nested(path: Sequence[str], written: str, indent: str) -> list[str]:
    lines = [f"{indent}{STEP * depth}{name}:" for depth, name in enumerate(path)]
    return [*lines[:-1], f"{lines[-1]} {written}"]


def _inline(path: Sequence[str], written: str) -> str:
    for name in reversed(path):
        written = f"{{{name}: {written}}}"
    return written


def _line_end(text: str, index: int) -> int:
    """The beginning of the next line, or ``index`` where one begins there already."""
    if index and text[index - 1] == "\n":
        return index
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline + 1


def _with_lines(text: str, index: int, lines: Sequence[str]) -> str:
    newline = _newline(text)
    before = newline if index and text[index - 1] != "\n" else ""
    return text[:index] + before + "".join(line + newline for line in lines) + text[index:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _proven(before: str, after: str, path: Sequence[str], value: Plain, name: str, gone: bool = False) -> str:
    """``after``, if it says what ``before`` does but for the one value."""
    key = tuple(path)
    try:
        found = _leaves(after, name)
    except ConfigError:
        found = {}
    wanted = _others(_leaves(before, name), key)
    if gone and VERSION not in wanted:
        found.pop(VERSION, None)  # EMPTY
    right = key not in found if gone else key in found and found[key] == value
    if not right or _others(found, key) != wanted:
        raise NotEditableError(
            f"{name}: {'.'.join(path)} stands there in a way that only a person can change; edit the file"
        )
    return after


def _leaves(text: str, name: str) -> dict[tuple[str, ...], Plain]:
    tree, _ = config_file.parse(text, name)
    return {tuple(key.split(".")): leaf.plain() for key, leaf in tree.leaves()}


def _others(leaves: dict[tuple[str, ...], Plain], key: tuple[str, ...]) -> dict[tuple[str, ...], Plain]:
    """Those that are not at, below or, as an empty section, above ``key``."""
    return {at: v for at, v in leaves.items() if at[: len(key)] != key[: len(at)]}
