"""``twinhdr check``: the effective configuration and where each value was set."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.config.file import Plain
from edge.config.layers import MAIN_FILE, LoadedConfig, load


def print_config(path: Path | None, console: Console, *, main_file: Path = MAIN_FILE) -> int:
    """Validate all layers and show the result as a table, values set by hand in bold. Returns 0.

    Raises ConfigError with all faults.
    """
    loaded = load(path, main_file=main_file)
    console.print(_table(loaded))
    hand_made = sum(not origin.is_default for origin in loaded.origins.values())
    console.print(f"The configuration is valid: {len(loaded.values)} keys, {hand_made} set by hand.")
    for file in loaded.files:
        console.print(f"  read {file}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _table(loaded: LoadedConfig) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("key", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("set in", overflow="fold")
    section = ""
    for path, value in loaded.values.items():
        top, _, key = path.partition(".")
        if key and top != section:
            table.add_row(Text(top), "", "")
        section = top
        origin = loaded.origins[path]
        where = "default" if origin.is_default else f"{origin.file}:{origin.line}"
        style = "dim" if origin.is_default else "bold"
        table.add_row(
            Text(f"  {key}" if key else top, style), Text(_as_yaml(value), style), Text(where, style)
        )
    return table


def _as_yaml(value: Plain) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
