"""twinhdr-export: train EAFNet, score it, and write the ONNX file the device runs.

Torch is imported by the commands that need it, so that ``--help`` works without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.ablation import command as ablation_command
from export.command import Images, PoolFolder
from export.command import fail as _fail
from export.command import need_folder as _need_folder
from export.command import need_torch as _need_torch
from export.graphs import engine_command, onnx_command
from export.judging import evaluate_command, flicker_command, robustness_command
from export.training import dataset_command, pack_command, train_command

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="""Train EAFNet, score it, and write the ONNX file the device runs.

    The usual way, from a folder of scene-linear EXR images to a model:

    twinhdr-export render --images hdr/ --pool runs/pool     (minutes; brackets with ground truth)

    twinhdr-export train --pool runs/pool --images hdr/ --run runs/s --minutes 100

    twinhdr-export evaluate --weights runs/s/last.pt --images hdr/

    twinhdr-export onnx --checkpoint runs/s/last.pt --out edge/models/eafnet-s.onnx

    twinhdr-export verify edge/models/eafnet-s.onnx
    """,
)


def main() -> None:
    """Console entry point."""
    app()


@app.command()
def render(
    images: Images,
    pool: PoolFolder = Path("runs/pool"),
    seed: Annotated[int, typer.Option(help="Another seed renders other brackets.")] = 2026,
    tile: Annotated[
        int, typer.Option(min=64, max=512, help="Side of a tile; 256 for the paper's patches.")
    ] = 192,
) -> None:
    """Render training shards: brackets of moving worlds with their ground truth, 80 shards of 250 MB.

    Shards already in the folder are kept, so that a stopped render goes on where it was. Training may start
    as soon as the first shard is there and takes in the others as they come.
    """
    from rich.progress import Progress

    from export.training.data import DEFAULT_COUNTS, fill_pool

    _need_folder(images, "radiance images (--images)")
    try:
        with Progress() as progress:
            task = progress.add_task("shards", total=sum(DEFAULT_COUNTS.values()))
            fill_pool(pool, images, seed, side=tile, done=lambda _: progress.advance(task))
    except FileNotFoundError as error:
        raise _fail(str(error)) from error


app.command()(pack_command.pack)
app.command()(train_command.train)
app.command()(ablation_command.ablation)
app.command()(dataset_command.dataset)


app.command()(engine_command.engine)
app.command()(evaluate_command.evaluate)
app.command()(flicker_command.flicker)
app.command()(robustness_command.robustness)


app.command()(onnx_command.onnx)
app.command()(onnx_command.verify)


@app.command()
def cost(variant: Annotated[str, typer.Argument(help="Network: l, m, s or xs.")] = "s") -> None:
    """Count a network's parameters and multiply-accumulates per pixel."""
    _need_torch()
    from export.eafnet.config import variant as named
    from export.graphs.cost import cost as count

    try:
        result = count(named(variant))
    except ValueError as error:
        raise _fail(str(error)) from error
    typer.echo(
        f"EAFNet-{variant.upper()}: {result.parameters / 1e6:.2f} M parameters, {result.kmac:.1f} kMAC/px "
        f"({result.per_pair:.1f} per pair + {result.per_reference:.1f} per reference frame; "
        f"{result.average():.1f} with 4 reference frames a pair)"
    )


if __name__ == "__main__":
    main()
