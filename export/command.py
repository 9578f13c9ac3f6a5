"""What the commands of twinhdr-export share: common options and the ways to say no."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[Path, typer.Option(help="Folder of scene-linear radiance images (*.exr).")]
PoolFolder = Annotated[Path, typer.Option(help="Folder of rendered training shards.")]


def fail(text: str) -> typer.Exit:
    """Print one line and give the exception that ends the command with exit code 1."""
    typer.echo(f"twinhdr-export: {text}", err=True)
    return typer.Exit(1)


def out_folder(out: Path | None) -> None:
    """Make the folder for results before the work; end the command where that cannot be."""
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"{out}: cannot be made a folder: {error.strerror}; name another with --out") from error


def need_torch() -> None:
    """End the command where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise fail("this command needs PyTorch, which the device does not; run: pip install twinhdr[export]")


def need_folder(folder: Path, what: str) -> None:
    """End the command where ``folder`` is not there."""
    if not folder.is_dir():
        raise fail(f"{folder}: no such folder of {what}")
