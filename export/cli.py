"""twinhdr-export: train EAFNet, score it, and write the ONNX file the device runs.

Torch is imported by the commands that need it, so that ``--help`` works without it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from export import (
    ablation_command,
    dataset_command,
    evaluate_command,
    flicker_command,
    pack_command,
    robustness_command,
    train_command,
)
from export.command import Images, PoolFolder
from export.command import fail as _fail
from export.command import need_folder as _need_folder
from export.command import need_torch as _need_torch

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
    """Render training shards: brackets of moving worlds with their ground truth, 64 shards of 250 MB.

    Shards already in the folder are kept, so that a stopped render goes on where it was. Training may start
    as soon as the first shard is there and takes in the others as they come.
    """
    from rich.progress import Progress

    from export.data import DEFAULT_COUNTS, fill_pool

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


app.command()(evaluate_command.evaluate)
app.command()(flicker_command.flicker)
app.command()(robustness_command.robustness)


@app.command()
def onnx(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint (.pt) of a run, or weights (.safetensors).")],
    out: Annotated[Path, typer.Option(help="ONNX file to write; weights go beside it as .safetensors.")],
    card: Annotated[Path | None, typer.Option(help="JSON with a few plain values about the weights.")] = None,
) -> None:
    """Write the averaged weights of a run as the ONNX file the device runs (contract: docs of to_onnx.py)."""
    _need_torch()
    from export.to_onnx import write
    from export.weights import save_weights

    try:
        net = _network(checkpoint)
        facts: dict[str, Any] = json.loads(card.read_text()) if card is not None else {}
    except (ValueError, OSError) as error:
        raise _fail(str(error)) from error
    write(net, out, facts)
    save_weights(net, out.with_suffix(".safetensors"), facts)
    typer.echo(f"{out}: EAFNet-{net.config.name.upper()}, {out.stat().st_size / 1e6:.1f} MB")


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(help="ONNX file; its weights lie beside it as .safetensors.")],
    weights: Annotated[Path | None, typer.Option(help="Weights, where they lie elsewhere.")] = None,
) -> None:
    """Compare an ONNX file with its weights: whole, cut in two, at several sizes. Exit 1 on a fault."""
    _need_torch()
    from export.verify import verify as check

    if not model.is_file():
        raise _fail(f"{model}: no such file")
    try:
        findings = check(model, weights or model.with_suffix(".safetensors"))
    except (ValueError, OSError) as error:
        raise _fail(str(error)) from error
    for finding in findings:
        typer.echo(f"{'ok   ' if finding.ok else 'FAULT'} {finding.check}: {finding.value}")
    if not all(f.ok for f in findings):
        raise typer.Exit(1)


@app.command()
def cost(variant: Annotated[str, typer.Argument(help="Network: l, m, s or xs.")] = "s") -> None:
    """Count a network's parameters and multiply-accumulates per pixel."""
    _need_torch()
    from export.cost import cost as count
    from export.eafnet.config import variant as named

    try:
        result = count(named(variant))
    except ValueError as error:
        raise _fail(str(error)) from error
    typer.echo(
        f"EAFNet-{variant.upper()}: {result.parameters / 1e6:.2f} M parameters, {result.kmac:.1f} kMAC/px "
        f"({result.per_pair:.1f} per pair + {result.per_reference:.1f} per reference frame; "
        f"{result.average():.1f} with 4 reference frames a pair)"
    )


def _network(path: Path) -> Any:
    """The network of a checkpoint (averaged weights) or a safetensors file."""
    from export.origin import read_network

    return read_network(path)


if __name__ == "__main__":
    main()
