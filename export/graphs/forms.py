"""The forms in which one network is written: dynamic or for one size, FP32 or FP16, one graph or two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.graphs.census import Census, census
from export.graphs.half import halve
from export.graphs.means import means_inside
from export.graphs.onnx_graph import facts
from export.graphs.parts import parts
from export.graphs.static_shapes import fixed
from export.graphs.to_onnx import split

if TYPE_CHECKING:
    from onnx import ModelProto

ENCODE_PAIR = "encode_pair"
FUSE = "fuse"


@dataclass(frozen=True, slots=True)
class Form:
    """How a network is written.

    ``size``: (width, height) of the picture; None leaves it free. ``means_inside``: the graph computes the
    gamma means (static graphs only). ``split``: encode_pair and fuse instead of one graph.
    ``takes_reference``: encode_pair then takes the reference, and not only its mean.
    """

    size: tuple[int, int] | None = None
    half: bool = False
    means_inside: bool = False
    split: bool = False
    takes_reference: bool = False

    def __post_init__(self) -> None:
        if self.means_inside and self.size is None:
            raise ValueError("means are computed inside static graphs only: name a size")

    def stem(self, variant: str) -> str:
        """File name without its end: ``eafnet-s-960x540-fp16``."""
        size = "" if self.size is None else f"-{self.size[0]}x{self.size[1]}"
        return f"eafnet-{variant}{size}{'-fp16' if self.half else ''}"


def shaped(model: ModelProto, form: Form) -> ModelProto:
    """``model`` (whole, dynamic, FP32) in ``form``, still whole: ``split`` comes last."""
    if form.size is not None:
        model = fixed(model, form.size[1], form.size[0])
    if form.means_inside:
        model = means_inside(model)
    return halve(model) if form.half else model


def graphs(model: ModelProto, form: Form) -> Iterator[tuple[str, ModelProto, Census]]:
    """What is to be written of ``model``: (end of the file's name, graph, its census)."""
    whole = shaped(model, form)
    part_of = parts(whole)
    if not form.split:
        yield "", whole, census(whole, part_of)
        return
    both = split(whole, "image" if form.takes_reference else "mean")
    for name, graph in zip((ENCODE_PAIR, FUSE), both, strict=True):
        yield f".{name}", graph, census(graph, part_of)


def write_forms(model: ModelProto, form: Form, stem: Path) -> list[tuple[Path, Census]]:
    """Write ``model`` in ``form`` to ``stem`` with its end(s), each whole or not at all."""
    written = []
    for end, graph, counted in graphs(model, form):
        path = stem.with_name(f"{stem.name}{end}.onnx")
        partial = path.with_suffix(".partial")
        partial.write_bytes(graph.SerializeToString())
        partial.replace(path)
        written.append((path, counted))
    return written


def write_report(counted: Census, path: Path) -> None:
    """The census as JSON beside its graph."""
    path.write_text(json.dumps(counted.to_json(), indent=1) + "\n")


def partner(path: Path, model: ModelProto) -> tuple[Path, Path] | None:
    """Paths of (encode_pair, fuse) where ``path`` holds one of two graphs; None for a whole one."""
    part = facts(model).get("twinhdr.part")
    if part is None:
        return None
    stem = path.name.removesuffix(".onnx").removesuffix(f".{part}")
    return path.with_name(f"{stem}.{ENCODE_PAIR}.onnx"), path.with_name(f"{stem}.{FUSE}.onnx")
