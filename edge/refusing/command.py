"""``twinhdr refuse`` as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def refuse(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION...", help="Folders of recordings with masters.")
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="s|m|l|FILE.onnx", help="The network to fuse with.")
    ] = "s",
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=256, help="Of the network, for each task; 0: one per core.")
    ] = 2,
    ray: Annotated[
        bool, typer.Option("--ray", help="Side by side, on all cores of this machine, by Ray.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="On this Ray cluster (auto: find it)."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what is done already.")] = False,
) -> None:
    """Fuse recordings again, offline, every frame with the network.

    Each file of video is a task of its own. What an interrupted run finished is kept: run it again to go on.
    On a cluster the result is the same to the byte, on processors of one kind; every machine needs this
    version of twinhdr and sees the sessions under the same path (docs/export.md).

    \b
    Example:
      twinhdr refuse ./first --model s
      twinhdr refuse /nas/sessions/2026* --address 10.0.0.5:6379
    """
    from rich.console import Console

    from edge.refusing.refuse import RefuseJob, refuse_sessions

    job = RefuseJob(tuple(sessions), model, threads, ray or address is not None, address, again)
    raise typer.Exit(refuse_sessions(job, Console()))
