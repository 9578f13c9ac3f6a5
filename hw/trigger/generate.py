"""Both ends of the protocol from one file: ``python -m hw.trigger.generate`` after a change.

Writes ``codes.py`` for the host and ``firmware/protocol.h`` for the board from ``protocol.yaml`` and
``firmware/version.h``. A test fails while either is older than what it is made from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCE = HERE / "protocol.yaml"
VERSION = HERE / "firmware" / "version.h"
HEADER = HERE / "firmware" / "protocol.h"
MODULE = HERE / "codes.py"

ENUMS = {"errors": "ErrorCode", "modes": "Mode", "faults": "Fault"}


def identity(source: bytes) -> int:
    """The first 32 bits of the SHA-256 of the protocol file."""
    return int.from_bytes(hashlib.sha256(source).digest()[:4], "big")


def header(source: bytes) -> str:
    """``firmware/protocol.h``."""
    protocol = yaml.safe_load(source)
    lines = [
        "/* Made from protocol.yaml by hw/trigger/generate.py; do not edit. */",
        "#ifndef PROTOCOL_H",
        "#define PROTOCOL_H",
        "",
        "#ifndef PROTOCOL_IDENTITY /* tests build firmware of another age */",
        f"#define PROTOCOL_IDENTITY 0x{identity(source):08X}UL",
        "#endif",
        *(f"#define {key.upper()} {value}UL" for key, value in _numbers(protocol)),
        f"#define MOST_ARGUMENTS {max(map(len, protocol['commands'].values()))}",
        "",
        "#define COMMANDS(X) \\",
    ]
    rows = [f"  X({name}, {len(arguments)})" for name, arguments in protocol["commands"].items()]
    lines += [" \\\n".join(rows), ""]
    for section, prefix in (("errors", "ERROR"), ("modes", "MODE"), ("faults", "FAULT")):
        lines += ["enum {", *(f"  {prefix}_{k} = {v}," for k, v in protocol[section].items()), "};", ""]
    return "\n".join([*lines, "#endif", ""])


def module(source: bytes, version: str) -> str:
    """``codes.py``."""
    protocol = yaml.safe_load(source)
    found = re.search(r"#define FIRMWARE_VERSION (\d+)", version)
    if found is None:
        raise ValueError(f"{VERSION}: no line #define FIRMWARE_VERSION NUMBER; add it")
    lines = [
        '"""Numbers of the trigger protocol. Made from protocol.yaml by generate.py; do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        "import enum",
        "",
        f"IDENTITY = 0x{identity(source):08X}",
        f"FIRMWARE_VERSION = {found[1]}",
        *(f"{key.upper()} = {value}" for key, value in _numbers(protocol)),
    ]
    for section, name in ENUMS.items():
        lines += ["", "", f"class {name}(enum.IntEnum):"]
        lines += [f"    {k} = {v}" for k, v in protocol[section].items()]
    lines += ["", "", "class Command(enum.Enum):"]
    lines += [f'    {name} = "{name}"' for name in protocol["commands"]]
    return "\n".join([*lines, ""])


def _numbers(protocol: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [item for section in ("link", "timer", "limits") for item in protocol[section].items()]


def main() -> None:
    """Write both files."""
    source = SOURCE.read_bytes()
    HEADER.write_text(header(source))
    MODULE.write_text(module(source, VERSION.read_text()))


if __name__ == "__main__":
    main()
