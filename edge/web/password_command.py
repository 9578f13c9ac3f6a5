"""``twinhdr password``: set, change or remove the password for changes from the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def password(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Read web.password_file from this configuration."),
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Take the password from standard input, one line, for scripts.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Have none: the page is read-only again.")] = False,
) -> None:
    """Set the password that allows changes from the page.

    It is kept as a hash, in the file web.password_file. Whoever is logged in is logged out. A recording need
    not be restarted.

    \b
    Example:
      sudo twinhdr password
    """
    from edge.config.layers import load_config
    from edge.web.password import PasswordError, PasswordFileError, hashed, write

    file = load_config(config).web.password_file
    if file is None:
        raise PasswordError("web.password_file is null; name a file in the configuration")
    if remove:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise PasswordFileError(
                f"{file}: {error.strerror}; on a device: sudo twinhdr password"
            ) from error
        typer.echo(f"{file}: removed; the page is read-only")
        return
    given = sys.stdin.readline().rstrip("\r\n") if stdin else _asked()
    write(file, hashed(given))
    typer.echo(f"{file}: written; log in on the page to change things")


def _asked() -> str:
    given: str = typer.prompt("New password for the page", hide_input=True, confirmation_prompt="Once more")
    return given
