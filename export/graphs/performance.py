"""The computed tables of docs/performance.md: what each part costs, and what a Jetson should make of it.

    python -m export.graphs.performance            # prints the tables
    python -m export.graphs.performance --write    # puts them into docs/performance.md

Costs are counted on the exported graphs, as a device runs them (one size, FP16, encode_pair and fuse apart).
Bytes are what operators that cannot be fused read and write: convolutions, matrix products, softmax, moves.
Elementwise work is taken as part of its neighbours, as TensorRT fuses it. A Jetson's time for an operator is
the longer of arithmetic and memory traffic; operators follow one another. Nothing here was measured.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from export.graphs.onnx_graph import Shape, infer, shapes

if TYPE_CHECKING:
    from onnx import NodeProto

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
VARIANTS = ("xs", "s", "m", "l")
SIZES = ((960, 540), (1920, 1080))
GROUP = 4
COMPUTE_SHARE, BANDWIDTH_SHARE = 0.35, 0.60
"""Of the published rates, what networks of this kind are taken to reach."""
RATES_FPS = (13, 30, 60)
FP16 = 2
APART = {"Conv", "MatMul", "Gemm", "Softmax", "Transpose", "DepthToSpace", "SpaceToDepth", "Concat", "Pad"}
"""Operators with memory traffic of their own."""


@dataclass(frozen=True, slots=True)
class Board:
    """``sms`` x ``flop_per_clock`` (dense FP16 on tensor cores, per SM) x ``ghz``, and memory in GB/s."""

    name: str
    sms: int
    flop_per_clock: int
    ghz: float
    gb_per_s: float

    @property
    def tflops(self) -> float:
        return self.sms * self.flop_per_clock * self.ghz / 1000


BOARDS = (
    Board("Orin Nano Super", 8, 2048, 1.02, 102.0),
    Board("Orin NX 16 (Super)", 8, 2048, 1.173, 102.4),
    Board("AGX Orin 64", 16, 2048, 1.301, 204.8),
    Board("Thor T5000", 20, 8192, 1.57, 273.0),
)

PARTS = {
    "stems": ("stem",),
    "channel selection": ("/select",),
    "keys, values, raw guidance": ("/key", "/value", "/guide_raw"),
    "windowed attention": ("/attend",),
    "joining (eq. 9)": ("/join", "/guide_psi"),
    "spatial attention (eq. 10)": ("/compare", "/weigh"),
    "opening": ("/opening",),
    "restoration": ("/restore",),
    "head": ("/head",),
}
REST = "windows, images, start, answer"


@dataclass(frozen=True, slots=True)
class Work:
    """One operator: multiply-accumulates and bytes, per run of its graph."""

    part: str
    pair: bool
    macs: int
    bytes: int


def work(variant: str, size: tuple[int, int]) -> list[Work]:
    """Every operator of ``variant`` for pictures of ``size`` (width, height); weights do not matter."""
    from export.eafnet.config import variant as config_of
    from export.eafnet.model import Eafnet
    from export.graphs.forms import ENCODE_PAIR, Form, graphs
    from export.graphs.to_onnx import build

    model = build(Eafnet(config_of(variant)))
    found = []
    for end, graph, counted in graphs(model, Form(size, means_inside=True, split=True)):
        macs = {node.name: node.macs for node in counted.nodes}
        known = shapes(infer(graph))
        for node in graph.graph.node:
            traffic = FP16 * _elements(node, known) if node.op_type in APART else 0
            found.append(Work(_part(node), end == f".{ENCODE_PAIR}", macs.get(node.name, 0), traffic))
    return found


def _elements(node: NodeProto, known: dict[str, Shape]) -> int:
    return sum(math.prod(known.get(name, ())) for name in (*node.input, *node.output) if name in known)


def _part(node: NodeProto) -> str:
    for part, marks in PARTS.items():
        if any(mark in node.name for mark in marks):
            return part
    return REST


def seconds(items: list[Work], board: Board, group: int) -> float:
    """Of one fused frame, a pair being encoded once per ``group`` of them."""
    flops = board.tflops * 1e12 * COMPUTE_SHARE
    rate = board.gb_per_s * 1e9 * BANDWIDTH_SHARE
    return sum(max(2 * w.macs / flops, w.bytes / rate) / (group if w.pair else 1) for w in items)


def tables() -> dict[str, str]:
    """Markdown by the name of its place in the document."""
    by = {(v, size): work(v, size) for v in VARIANTS for size in SIZES}
    return {
        "parts": "\n".join(_parts_table({v: by[v, SIZES[0]] for v in VARIANTS})),
        "boards": "\n".join(_boards_table(by)),
        "choice": "\n".join(_choice_table(by)),
    }


def _parts_table(by: dict[str, list[Work]]) -> Iterator[str]:
    pixels = SIZES[0][0] * SIZES[0][1]
    yield "| kMAC and bytes per pixel | " + " | ".join(v.upper() for v in by) + " |"
    yield "|---" * (len(by) + 1) + "|"

    def row(name: str, wanted: dict[str, list[Work]]) -> str:
        cells = [
            f"{sum(w.macs for w in items) / pixels / 1e3:.1f}, {sum(w.bytes for w in items) / pixels:.0f}"
            for items in wanted.values()
        ]
        return f"| {name} | " + " | ".join(cells) + " |"

    for part in (*PARTS, REST):
        yield row(part, {v: [w for w in items if w.part == part] for v, items in by.items()})
    yield row("**encode_pair**", {v: [w for w in items if w.pair] for v, items in by.items()})
    yield row("**fuse**", {v: [w for w in items if not w.pair] for v, items in by.items()})


def _boards_table(by: dict[tuple[str, tuple[int, int]], list[Work]]) -> Iterator[str]:
    yield "| frames/s, computed | FP16 TFLOP/s, GB/s | " + " | ".join(v.upper() for v in VARIANTS) + " |"
    yield "|---" * (len(VARIANTS) + 2) + "|"
    for board in BOARDS:
        cells = [
            " / ".join(f"{1 / seconds(by[v, size], board, GROUP):.0f}" for size in SIZES) for v in VARIANTS
        ]
        yield f"| {board.name} | {board.tflops:.1f}, {board.gb_per_s:g} | " + " | ".join(cells) + " |"


def _choice_table(by: dict[tuple[str, tuple[int, int]], list[Work]]) -> Iterator[str]:
    """The largest network with a fifth of the time to spare, every frame with a pair of its own."""
    yield "| | " + " | ".join(f"{w}x{h} at {fps}" for w, h in SIZES for fps in RATES_FPS) + " |"
    yield "|---" * (1 + len(SIZES) * len(RATES_FPS)) + "|"
    for board in BOARDS:
        cells = []
        for size in SIZES:
            for fps in RATES_FPS:
                fits = [v for v in ("l", "m", "s", "xs") if seconds(by[v, size], board, 1) * 1.25 <= 1 / fps]
                cells.append(fits[0].upper() if fits else "-")
        yield f"| {board.name} | " + " | ".join(cells) + " |"


def inserted(text: str, parts: dict[str, str]) -> str:
    """``text`` with every table between its marks. Raises ValueError where a mark is missing."""
    for name, table in parts.items():
        begin, end = f"<!-- computed:{name} -->\n", f"<!-- /computed:{name} -->"
        if begin not in text or end not in text:
            raise ValueError(f"the document has no place for the table {name}: {begin.strip()}")
        head, rest = text.split(begin, 1)
        text = f"{head}{begin}{table}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description="Computed tables of docs/performance.md.")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    made = tables()
    if parser.parse_args().write:
        DOCUMENT.write_text(inserted(DOCUMENT.read_text(), made))
    else:
        print("\n\n".join(made.values()))


if __name__ == "__main__":
    main()
