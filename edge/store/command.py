"""``twinhdr sessions ...``: which recordings there are, and which stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge.store.catalogue import SessionEntry

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List recordings, keep or delete them (docs/storage.md).",
)

RootOption = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Look here, not below store.root."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Where store.root is taken from.")
]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="As twinhdr sessions list shows them.")]


@app.command(name="list")
def show(root: RootOption = None, config: ConfigOption = None) -> None:
    """Name, start, length, size and state of every recording, newest last.

    \b
    recording   a live process writes it
    clean       it ended as it should
    torn        it broke off; what was written until then can be read
    unreadable  its session.json is damaged
    """
    from rich.console import Console
    from rich.table import Table

    from edge.store.catalogue import list_sessions

    folder = _root(root, config)
    entries = list_sessions(folder)
    table = Table(box=None, pad_edge=False)
    for title, justify in (("name", "left"), ("started (UTC)", "left"), ("length", "right"), ("GB", "right")):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("state")
    for entry in entries:
        table.add_row(*_row(entry))
    if entries:
        Console(soft_wrap=True).print(table)
    total_gb = sum(entry.size_bytes for entry in entries) / 1e9
    typer.echo(f"{len(entries)} sessions, {total_gb:.2f} GB, below {folder}")


@app.command()
def keep(names: Names, root: RootOption = None, config: ConfigOption = None) -> None:
    """Mark recordings so that neither the recorder nor the page deletes them."""
    from edge.store.catalogue import keep_session

    for name in names:
        keep_session(_root(root, config), name, True)
        typer.echo(f"{name} is kept")


@app.command()
def release(names: Names, root: RootOption = None, config: ConfigOption = None) -> None:
    """Take the mark away."""
    from edge.store.catalogue import keep_session

    for name in names:
        keep_session(_root(root, config), name, False)
        typer.echo(f"{name} may be deleted")


@app.command()
def delete(
    names: Names,
    root: RootOption = None,
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete recordings for good. Kept ones and those in use are refused."""
    from edge.store.catalogue import delete_session, find_session

    folder = _root(root, config)
    found = [find_session(folder, name) for name in names]
    size_gb = sum(entry.size_bytes for entry in found) / 1e9
    if not yes:
        typer.confirm(f"delete {len(found)} sessions, {size_gb:.2f} GB, for good?", abort=True)
    for name in names:
        delete_session(folder, name)
        typer.echo(f"{name} is deleted")


def _root(root: Path | None, config: Path | None) -> Path:
    from edge.config.layers import load

    return root if root is not None else load(config).config.store.root


def _row(entry: SessionEntry) -> tuple[str, str, str, str, str]:
    started = (entry.started_utc or "")[:19].replace("T", " ")
    seconds = None if entry.seconds is None else round(entry.seconds)
    length = "" if seconds is None else f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    state = f"{entry.state}, kept" if entry.kept else entry.state
    return ascii_name(entry.name), started, length, f"{entry.size_bytes / 1e9:.2f}", state


def ascii_name(name: str) -> str:
    """A folder name that a terminal takes: control characters and broken encodings are shown as escapes."""
    return name if name.isprintable() else ascii(name)
