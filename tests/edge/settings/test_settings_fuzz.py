"""Anything at all as a configuration, a value or a stick: an answer or one of our errors."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config.layers import load, shipped
from edge.errors import TwinhdrError
from edge.settings import edit, lines
from edge.usb.stick import CONFIG, EXPORT, read_stick

LONG = os.environ.get("TWINHDR_LONG") == "1"
CASES = 25_000 if LONG else 50  # of four tests
pytestmark = pytest.mark.timeout(7200 if LONG else 300)
fuzzed = settings(
    max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

KEYS = sorted(key for key, _ in shipped().leaves())
ODD = ("a # b", "!!int 3", "&a 1", "*a", "|", "> text", "@", "`", "%", "\t", "\x00", "\ud800", "\u2028", "é")
PLAIN = (
    "1",
    "0",
    "-3",
    "1e3",
    ".nan",
    "null",
    "",
    "true",
    "auto",
    "[1, 2]",
    "[a, [b]]",
    "{a: 1}",
    '"x"',
    "8ms",
)
SCALARS = st.sampled_from(PLAIN + ODD)
NAMES = st.sampled_from(
    ["rig", "width", "height", "reference", "fps", "hdr", "crf", "fuse", "ladder", "x", "a.b", '"q"']
)


@st.composite
def blocks(draw: st.DrawFn, indent: int = 0) -> str:
    """A text much like a configuration, with what people and machines get wrong."""
    text = ""
    for _ in range(draw(st.integers(0, 4))):
        pad = " " * (indent + draw(st.sampled_from([0, 0, 0, 0, 1])))
        name, tail = draw(NAMES), draw(st.sampled_from(["", "  # why", " #", "\r"]))
        kind = draw(st.sampled_from(["scalar", "scalar", "block", "flow", "list", "comment", "odd"]))
        if kind == "scalar":
            text += f"{pad}{name}: {draw(SCALARS)}{tail}\n"
        elif kind == "block" and indent < 6:
            text += f"{pad}{name}:{tail}\n{draw(blocks(indent + 2))}"
        elif kind == "flow":
            text += f"{pad}{name}: {{{draw(NAMES)}: {draw(SCALARS)}, {draw(NAMES)}: 2}}{tail}\n"
        elif kind == "list":
            text += f"{pad}{name}:\n{pad}- {draw(SCALARS)}  # one\n{pad}# between\n{pad}- 2{tail}\n"
        elif kind == "comment":
            text += f"{pad}# {name}\n\n"
        else:
            text += draw(
                st.sampled_from(
                    ["---\n", "...\n", "? a\n: b\n", "- 1\n", f"{pad}{name}: |\n{pad}  t\n", "\ufeff"]
                )
            )
    return text


@fuzzed
@given(text=st.one_of(blocks(), st.text(max_size=200)), key=st.sampled_from(KEYS), written=SCALARS)
def test_setting_a_value_changes_that_value_or_nothing(text: str, key: str, written: str) -> None:
    """An editor that damages one file in a thousand is found out on a mast."""
    try:
        value = lines.value_of(written)
        changed = lines.set_value(text, key, value, "fuzzed.yaml")
    except TwinhdrError:
        return
    assert lines.set_value(changed, key, value, "fuzzed.yaml") == changed
    if not set(text) & set("|>'\""):  # in a text that a value holds, a line with # is no comment
        assert comments(text) <= comments(changed)


def comments(text: str) -> set[str]:
    return {line.strip() for line in text.split("\n") if line.strip().startswith("#")}


@fuzzed
@given(text=st.one_of(blocks(), st.text(max_size=200)), key=st.sampled_from(KEYS))
def test_taking_a_value_out_takes_that_value_out_or_nothing(text: str, key: str) -> None:
    """The same."""
    try:
        changed = lines.remove(text, key, "fuzzed.yaml")
    except TwinhdrError:
        return
    assert lines.remove(changed, key, "fuzzed.yaml") == changed


@fuzzed
@given(data=st.one_of(blocks().map(lambda t: t.encode(errors="surrogatepass")), st.binary(max_size=300)))
def test_any_configuration_is_judged(data: bytes) -> None:
    """A page, a stick or a slip of the keyboard could end the process that judges it."""
    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "config.yaml"
        main.write_bytes(data)
        with contextlib.suppress(TwinhdrError):
            load(main)
        main.write_text("version: 1\n")
        faults = edit.check_text(data.decode(errors="surrogateescape"), main)
        assert all("\n" not in fault for fault in faults)
        for name in (CONFIG, EXPORT):
            (Path(folder) / name).write_bytes(data)
        request = read_stick(Path(folder))
        assert request.config is not None or any(fault.file == CONFIG for fault in request.faults)
        assert request.export is not None or any(fault.file == EXPORT for fault in request.faults)


@fuzzed
@given(
    key=st.one_of(st.sampled_from(KEYS), st.text(max_size=30)),
    written=st.one_of(SCALARS, st.text(max_size=30)),
)
def test_any_key_and_value_from_a_command_line(key: str, written: str) -> None:
    """What is typed in the field at night."""
    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "config.yaml"
        main.write_text("version: 1\nrig: {width: 640}  # ours\n")
        for change in (lambda: edit.with_value(key, written, main), lambda: edit.without_value(key, main)):
            with contextlib.suppress(TwinhdrError):
                change()
        assert main.read_text() == "version: 1\nrig: {width: 640}  # ours\n", "only writing writes"
