"""What a fault says: the value as written, what the schema expects in words, and what to do next."""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from edge.config.file import Located, Plain
from edge.config.schema import Config
from edge.errors import ConfigError, Fault

UNITS = {
    "ns": "nanoseconds",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "fps": "frames per second",
    "db": "decibels",
    "ev": "EV (stops)",
    "nits": "cd/m2",
    "celsius": "degrees Celsius",
    "gb": "gigabytes",
    "mb": "megabytes (10^6 bytes)",
    "mib": "mebibytes (2^20 bytes)",
    "ppm": "parts per million",
    "hz": "hertz",
    "width": "pixels",
    "height": "pixels",
    "bit_depth": "bits",
}
SCALAR = ConfigDict(strict=True, allow_inf_nan=False)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}


def explain(error: ValidationError, tree: Located, defaults: Located) -> list[Fault]:
    """One fault per faulty key of ``tree``, located where the key (or the section it misses from) stands."""
    faults: dict[tuple[str | int, ...], Fault] = {}
    for detail in error.errors(include_url=False, include_context=False):
        loc = detail["loc"]
        missing = detail["type"] == "missing"
        if missing and isinstance(loc[-1], int):
            loc, missing = loc[:-1], False  # a list that is too short: the fault is the list's
        path, field = _known(loc)
        if path in faults:
            continue  # each branch of a union complains once
        place = tree.at(path)
        key = ".".join(_in_one_line(str(step)) for step in path)
        if detail["type"] == "extra_forbidden":
            problem = f"unknown key; {_did_you_mean(path)}"
        elif missing:
            problem = f"missing; expected {expectation(field, path)}; add it to this section"
        else:
            got, advice = shown(place.plain()), _advice(place, path, defaults)
            problem = f"got {got}; expected {expectation(field, path)}; {advice}"
        faults[path] = Fault(place.file, place.line, key, problem)
    return list(faults.values())


def check_key(key: str) -> None:
    """Raise ConfigError unless the dotted ``key`` is a value of the schema; it says which one is meant."""
    path: tuple[str, ...] = tuple(key.split("."))
    keys = list(_all_keys(Config))
    below = [name for name in keys if name.startswith(f"{key}.")]
    if key in keys and not below:
        return
    if below:
        problem = f"a section; name one of {', '.join(below[:12])}"
    else:
        while len(path) > 1 and ".".join(path[:-1]) not in keys:
            path = path[:-1]
        problem = f"unknown key; {_did_you_mean(path)}"
    raise ConfigError([Fault(_in_one_line(key)[:80], None, "", problem)])


def accepts(key: str, value: Plain) -> bool:
    """Whether the field of a dotted ``key`` takes a value, other keys aside."""
    field = _known(tuple(key.split(".")))[1]
    adapter: TypeAdapter[Any] = TypeAdapter(cast(Any, Annotated[field.annotation, field]), config=SCALAR)
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def expectation(field: Any, path: Sequence[str | int]) -> str:
    """What ``field`` (a FieldInfo, a model or an annotation) takes, in words with range and unit."""
    text = _words(field)
    unit = unit_of(path)
    return f"{text}, in {unit}" if unit and re.search("number", text) else text


def unit_of(path: Sequence[str | int]) -> str | None:
    """The unit that the last key of ``path`` names."""
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return None
    return UNITS.get(names[-1]) or UNITS.get(names[-1].rsplit("_", 1)[-1])


def shown(value: Plain) -> str:
    """A value as it would be written, cut to one short line, without the password in a camera's address."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a section"
    text = without_password(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else f"{text[:57]}..."


def without_password(text: str) -> str:
    """Logs, the page and reports are read by more people than the configuration."""
    return re.sub(r"(\w://)[^/@\s]*@", r"\1***@", text)


def _known(loc: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], Any]:
    """The part of a pydantic location that stands in the file, and the schema there.

    Pydantic appends the branch of a union ('float', 'literal[...]'), which is no key of the file.
    """
    here: Any = Config
    path: list[str | int] = []
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            path.append(step)
            if str(step) not in here.model_fields:
                return tuple(path), None
            here = here.model_fields[str(step)]
            if isinstance(here.annotation, type) and issubclass(here.annotation, BaseModel):
                here = here.annotation
        elif isinstance(step, int):
            path.append(step)
            here = next(_item_types(here), here)
    return tuple(path), here


def _item_types(schema: Any) -> Iterator[Any]:
    annotation = schema.annotation if isinstance(schema, FieldInfo) else schema
    if get_origin(annotation) is tuple:
        yield get_args(annotation)[0]
    elif get_origin(annotation) in (Union, types.UnionType, Annotated):
        for branch in get_args(annotation):
            yield from _item_types(branch)


def _words(schema: Any, metadata: Sequence[Any] = ()) -> str:
    if isinstance(schema, FieldInfo):
        return _words(schema.annotation, [*schema.metadata, *metadata])
    origin, args = get_origin(schema), get_args(schema)
    if origin is Annotated:
        inner = [
            item
            for extra in args[1:]
            for item in (extra.metadata if isinstance(extra, FieldInfo) else [extra])
        ]
        return _words(args[0], [*inner, *metadata])
    if origin in (Union, types.UnionType):
        branches = ["null" if branch is type(None) else _words(branch) for branch in args]
        return " or ".join(branches)
    if origin is Literal:
        return f"{'one of ' if len(args) > 1 else ''}{', '.join(map(str, args))}"
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"a list, each {_words(args[0])}"
        return f"a list of {len(args)}, each {_words(args[0])}"
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return f"a section with the keys {', '.join(schema.model_fields)}"
    if schema is bool:
        return "true or false"
    if schema in (int, float):
        return _number(schema, metadata)
    return "a path" if schema is Path else "a text"


def _number(kind: type, metadata: Sequence[Any]) -> str:
    low = high = ""
    noun = "a whole number" if kind is int else "a number"
    for rule in metadata:
        if isinstance(rule, annotated_types.Ge):
            low = f"from {_plain_number(rule.ge)}"
        elif isinstance(rule, annotated_types.Gt):
            low = f"above {_plain_number(rule.gt)}"
        elif isinstance(rule, annotated_types.Le):
            high = f"to {_plain_number(rule.le)}"
        elif isinstance(rule, annotated_types.Lt):
            high = f"to below {_plain_number(rule.lt)}"
        elif isinstance(rule, annotated_types.MultipleOf) and rule.multiple_of == 2:
            noun = "an even number"
    return " ".join(word for word in (noun, low, high) if word)


def _in_one_line(text: str) -> str:
    """A key may hold anything, line breaks too; a fault is one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _plain_number(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _did_you_mean(path: tuple[str | int, ...]) -> str:
    """Advice for an unknown key: the same key elsewhere, a similar key here, or the keys there are."""
    wrong = str(path[-1])
    section: Any = _known(path[:-1])[1] if len(path) > 1 else Config
    siblings = list(section.model_fields)
    everywhere = {key.rsplit(".", 1)[-1]: key for key in _all_keys(Config)}
    if wrong in set(_all_keys(Config)):
        return f"indent {wrong.rsplit('.', 1)[-1]} below {wrong.rsplit('.', 1)[0]}, one section a line"
    if wrong in everywhere:
        return f"did you mean {everywhere[wrong]}?"
    if close := difflib.get_close_matches(wrong.lower(), siblings, n=1, cutoff=0.6):
        return f"did you mean {close[0]}?"
    if close := difflib.get_close_matches(wrong.lower(), everywhere, n=1, cutoff=0.75):
        return f"did you mean {everywhere[close[0]]}?"
    return f"expected one of {', '.join(siblings)}; correct or delete it"


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _all_keys(field.annotation, f"{prefix}{name}.")


def _advice(place: Located, path: tuple[str | int, ...], defaults: Located) -> str:
    value = place.plain()
    # what a list's item should be says its list's default
    default = defaults.at(tuple(takewhile(lambda step: isinstance(step, str), path))).plain()
    if isinstance(value, str) and isinstance(default, int | float) and not isinstance(default, bool):
        if re.fullmatch(r"[-+]?\d+(\.\d+)?", value.strip()):
            return f"write {value.strip()} without quotes"
        if (converted := _converted(value, unit_of(path))) is not None:
            return f"write {converted}, the unit is in the key's name"
    if value in ("yes", "no", "on", "off") and isinstance(default, bool):
        return f"write {'true' if value in ('yes', 'on') else 'false'}"
    if isinstance(default, dict):
        return "indent its keys below it, or delete it to use the defaults"
    default_text = "null" if default is None else shown(default)
    return f"correct it, or delete the line for the default, {default_text}"


def _converted(text: str, unit: str | None) -> str | None:
    """The number in ``unit`` that ``text`` means ('8ms' in microseconds: '8000'), None if not understood."""
    match = re.fullmatch(r"\s*([-+]?\d+(?:\.\d+)?)\s*([a-zA-Zµ/]+)\s*", text)
    if not match or unit is None:
        return None
    number, suffix = float(match[1]), match[2].lower()
    scale = next(
        (_SECONDS[short] for short, name in UNITS.items() if name == unit and short in _SECONDS), None
    )
    if scale is not None and suffix in _SECONDS:
        number *= _SECONDS[suffix] / scale
    elif UNITS.get(suffix) != unit:
        return None
    return f"{number:.10g}"
