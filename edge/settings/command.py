"""``twinhdr config``: show the configuration, change one value of it, compare it, go back to the defaults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.errors import ConfigError, Fault

if TYPE_CHECKING:
    from edge.config.file import Plain
    from edge.settings.edit import Value

app = typer.Typer(no_args_is_help=True, help="Show and change the configuration of this device.")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The main file (conf.d beside it counts, too), instead of /etc/twinhdr/config.yaml.",
    ),
]


@app.command()
def show(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A key or a section: rig.width, web.")
    ] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Effective values, each with the file and line that set it.

    \b
    Example:
      twinhdr config show exposure.reference
    """
    from edge.config.texts import check_key
    from edge.settings import edit
    from edge.settings.live import when

    rows = [row for row in edit.effective(config) if key is None or f"{row.key}.".startswith(f"{key}.")]
    if key is not None and not rows:
        check_key(key)
    if as_json:
        told = {
            row.key: {
                "value": row.value,
                "default": row.default,
                "file": row.file,
                "line": row.line,
                "changes": when(row.key).value,
            }
            for row in rows
        }
        typer.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    for row in rows:
        typer.echo(_line(row))


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    key: Annotated[str, typer.Argument(metavar="KEY", help="As config show prints it: rig.width.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As it would stand in a file.")],
    config: ConfigOption = None,
) -> None:
    """Change one value in the file where it counts; comments, order and all else stay.

    Nothing is written that could not be recorded with. The file as it was is kept as FILE.last-good.

    \b
    Examples:
      sudo twinhdr config set rig.reference.exposure_us 5000
      sudo twinhdr config set rig.secondary.low_ev -3
      sudo twinhdr config set fuse.ladder "[merge, reference]"
    """
    from edge.settings import edit

    change = edit.with_value(key, value, config)
    before = _was(key, config)
    edit.write(change, config)
    row = next(row for row in edit.values_of(change.loaded) if row.key == key)
    typer.echo(f"{row.where}: {key}: {_shown(row.value)}{before}")
    _next_step([key])


@app.command()
def diff(
    config: ConfigOption = None,
    running: Annotated[
        bool, typer.Option("--running", help="Against the recording that runs, not the defaults.")
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="Of the service; default: /var/lib/twinhdr.")
    ] = None,
) -> None:
    """What differs from the defaults; or, with --running, what would change with a reload or a restart.

    \b
    Example:
      twinhdr config diff
      sudo twinhdr config diff --running
    """
    from edge.settings import edit
    from edge.settings.live import when

    rows = edit.effective(config)
    if not running:
        changed = [row for row in rows if row.value != row.default]
        for row in changed:
            typer.echo(f"{_line(row)}, default {_shown(row.default)}")
        if not changed:
            typer.echo("everything is as by default")
        return
    values = _running(state)
    waiting = [row for row in rows if row.key not in values or row.value != values[row.key]]
    for row in waiting:
        now = _shown(values[row.key]) if row.key in values else "unknown to it"
        typer.echo(f"{_line(row)}, running {now}; counts {when(row.key).value}")
    if waiting:
        _next_step([row.key for row in waiting])
    else:
        typer.echo("the recording runs with what the files say")


@app.command()
def reset(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Taken out of every file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every key of every file.")] = False,
    config: ConfigOption = None,
) -> None:
    """Go back to the default of a key, or of all.

    Each file as it was is kept beside it as FILE.last-good.

    \b
    Examples:
      sudo twinhdr config reset rig.width
      sudo twinhdr config reset --all
    """
    from edge.settings import edit

    if (key is None) != everything:
        raise typer.BadParameter("name a key, or --all")
    changes = edit.without_all(config) if key is None else edit.without_value(key, config)
    for change in changes:
        edit.write(change, config)
        typer.echo(f"{change.file}: {'deleted' if change.text is None else 'written'}")
    if not changes:
        typer.echo("nothing to do: it is as by default")
        return
    rows = edit.values_of(changes[0].loaded)
    _next_step([key] if key is not None else [row.key for row in rows if row.key != "version"])


def _line(row: Value) -> str:
    return f"{row.key}: {_shown(row.value)}  # {row.where}"


def _shown(value: Plain) -> str:
    from edge.settings.lines import as_yaml

    return as_yaml(value)


def _was(key: str, config: Path | None) -> str:
    """`` (was ...)``; nothing where the files could not be read before."""
    from edge.settings import edit

    try:
        row = next(row for row in edit.effective(config) if row.key == key)
    except ConfigError:
        return ""
    return f" (was {_shown(row.value)})"


def _running(state: Path | None) -> dict[str, Plain]:
    from edge.settings.state import RUNNING, STATE, running_values, state_folder

    folder = state or state_folder(os.environ) or STATE
    values = running_values(folder)
    if values is None:
        problem = "no recording runs; start it: sudo systemctl start twinhdr"
        raise ConfigError([Fault(str(folder / RUNNING), None, "", problem)])
    return values


def _next_step(keys: list[str]) -> None:
    from edge.settings.live import When, when

    if all(when(key) is not When.RESTART for key in keys):
        typer.echo("It counts after: sudo systemctl reload twinhdr")
    else:
        typer.echo("It counts after: sudo systemctl restart twinhdr")
