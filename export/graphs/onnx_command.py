"""``twinhdr-export onnx`` and ``verify``: from weights to the files a device runs, and their proof."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from export.command import fail, need_torch

if TYPE_CHECKING:
    from export.graphs.census import Census
    from export.graphs.forms import Form

_FORM = "Form"


def onnx(
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint (.pt) of a run, or weights (.safetensors).")],
    out: Annotated[
        Path,
        typer.Option(
            help="FILE.onnx: one file, for any size unless --size says otherwise. A folder: device graphs "
            "for the four usual sizes, or those of --size. Weights go beside it as .safetensors."
        ),
    ],
    card: Annotated[Path | None, typer.Option(help="JSON with a few plain values about the weights.")] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="Picture size of a static graph, such as 960x540; several times.", rich_help_panel=_FORM
        ),
    ] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Leave the size free.", rich_help_panel=_FORM)
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="FP16, with FP32 where numbers demand it.", rich_help_panel=_FORM)
    ] = False,
    split: Annotated[
        bool,
        typer.Option(
            "--split", help="Two graphs: NAME.encode_pair.onnx, NAME.fuse.onnx.", rich_help_panel=_FORM
        ),
    ] = False,
    means: Annotated[
        str,
        typer.Option(
            help="Means of the images: inside (static graphs compute them), reference (likewise, and "
            "encode_pair takes the reference instead of its mean), or input (the host hands them over).",
            rich_help_panel=_FORM,
        ),
    ] = "inside",
    report: Annotated[
        bool, typer.Option("--report", help="Print what is in each graph; every node in NAME.census.json.")
    ] = False,
) -> None:
    """Write the averaged weights of a run as the ONNX file(s) the device runs (docs/onnx.md).

    twinhdr-export onnx --checkpoint runs/s/last.pt --out edge/models/eafnet-s.onnx

    twinhdr-export onnx --checkpoint runs/s/last.pt --out engines/ --half --split --report
    """
    need_torch()
    from export.graphs.forms import write_forms, write_report
    from export.graphs.to_onnx import build
    from export.training.origin import read_network
    from export.training.weights import save_weights

    forms = _forms(out, size or [], dynamic, half, split, means)
    try:
        net = read_network(checkpoint)
        facts: dict[str, Any] = json.loads(card.read_text()) if card is not None else {}
        single = out.suffix == ".onnx"
        (out.parent if single else out).mkdir(parents=True, exist_ok=True)
        model = build(net, facts)
        for form in forms:
            stem = out.with_suffix("") if single else out / form.stem(net.config.name)
            for path, counted in write_forms(model, form, stem):
                typer.echo(f"{path}: {_summary(net.config.name, path, counted)}")
                if report:
                    write_report(counted, path.with_suffix(".census.json"))
                    _print(counted)
        weights = out.with_suffix(".safetensors") if single else out / f"eafnet-{net.config.name}.safetensors"
        if weights.resolve() != checkpoint.resolve():
            save_weights(net, weights, facts)
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error


def _forms(out: Path, size: list[str], dynamic: bool, half: bool, split: bool, means: str) -> list[Form]:
    from export.graphs.forms import Form
    from export.graphs.static_shapes import SIZES

    if means not in ("inside", "reference", "input"):
        raise fail(f"--means {means}: it is inside, reference or input")
    if dynamic and size:
        raise fail("--dynamic leaves the size free and --size fixes it: give one of them")
    single = out.suffix == ".onnx"
    if single and len(size) > 1:
        raise fail(f"{out}: is one file, and there are {len(size)} sizes; name a folder")
    sizes = [_size(text) for text in size]
    if dynamic or (single and not sizes):
        return [Form(None, half, split=split)]
    inside = means != "input"
    return [Form(s, half, inside, split, inside and means == "reference") for s in sizes or SIZES]


def _size(text: str) -> tuple[int, int]:
    width, x, height = text.partition("x")
    if not (x and width.isdecimal() and height.isdecimal() and 64 <= int(width) <= 8192 >= int(height) >= 64):
        raise fail(f"--size {text}: a picture's WIDTHxHEIGHT from 64 to 8192, such as 960x540")
    return int(width), int(height)


def _summary(variant: str, path: Path, counted: Census) -> str:
    return (
        f"EAFNet-{variant.upper()}, {path.stat().st_size / 1e6:.1f} MB, {len(counted.nodes)} nodes "
        f"({counted.casts} casts), {counted.macs / 1e9:.2f} GMAC at {counted.width}x{counted.height}"
    )


def _print(counted: Census) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("operator", "precision", "count", "MMAC", "share", title=counted.graph)
    for row in counted.table():
        table.add_row(*row)
    Console().print(table)


def verify(
    model: Annotated[Path, typer.Argument(help="ONNX file; its weights lie beside it as .safetensors.")],
    weights: Annotated[Path | None, typer.Option(help="Weights, where they lie elsewhere.")] = None,
) -> None:
    """Compare an ONNX file with its weights: whole, in two, FP32, FP16, golden scenes. Exit 1 on a fault."""
    need_torch()
    from export.graphs.verify import verify as check

    if not model.is_file():
        raise fail(f"{model}: no such file")
    try:
        findings = check(model, weights or _weights_of(model))
    except (ValueError, OSError) as error:
        raise fail(str(error)) from error
    for finding in findings:
        typer.echo(f"{'ok   ' if finding.ok else 'FAULT'} {finding.check}: {finding.value}")
    if not all(f.ok for f in findings):
        raise typer.Exit(1)


def _weights_of(model: Path) -> Path:
    """``eafnet-s.safetensors`` for ``eafnet-s.onnx``, ``eafnet-s-960x540-fp16.fuse.onnx`` and their like."""
    beside = model.with_suffix(".safetensors")
    shared = model.with_name("-".join(model.name.split(".")[0].split("-")[:2]) + ".safetensors")
    return shared if shared.is_file() and not beside.is_file() else beside
