"""Networks that are no network, answer nonsense, or never come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.edge.tiny_model import write_tiny_model
from tests.hw.gige.gige_net import ROOT
from tests.reliability.bench import Bench
from tests.reliability.losses import FUSED
from tests.reliability.table import Row, fault

HUNG_S = 10.0
BRIGHT = 0.45
"""Mean of the reference from which on the networks below go wrong: the scene reaches it at about 5 s."""
TUNNEL = """\
simulator: {{pace: 1, light: tunnel}}
fuse: {{model: {model}, ladder: [model, merge, reference], threads: 1, alignment: off}}
"""


@fault(
    "engine_corrupt",
    "engine corrupt",
    "the network's file is cut in half before the start",
)
def engine_corrupt(bench: Bench) -> Row:
    model = bench.folder / "eafnet-cut.onnx"
    whole = (ROOT / "edge" / "models" / "eafnet-s.onnx").read_bytes()
    model.write_bytes(whole[: len(whole) // 2])
    more = f"fuse: {{model: {model}, ladder: [model, merge, reference], threads: 1}}\n"
    with bench.trial(more=more) as trial:
        trial.filming(more=10)
        told = trial.says("model", within_s=10.0)
        row = trial.finish(suffers={}, tells=("model",), note="fused by the merge")
    return Row(row.lost, None, trial.plain(told), note=row.note)


@fault(
    "engine_fails",
    "engine fails in mid-recording",
    "a network that answers with what is no picture from a certain brightness on",
)
def engine_fails(bench: Bench) -> Row:
    model = failing(bench.folder / "failing.onnx")
    with bench.trial(more=TUNNEL.format(model=model)) as trial:
        trial.begin(more=5)
        trial.says("model", within_s=15.0)
        note = "fused by the merge from the next frame on"
        return trial.finish(suffers={}, tells=("model",), note=note, traceback=True)


@fault(
    "fuse_hung",
    "fuse stage hung",
    "a network whose graph loops without end from a certain brightness on: the call never returns",
    short=True,
)
def fuse_hung(bench: Bench) -> Row:
    model = hanging(bench.folder / "hanging.onnx")
    with bench.trial(more=TUNNEL.format(model=model)) as trial:
        trial.begin(more=5)
        trial.until_it_stops("hdr", within_s=15.0)
        trial.back("hdr", within_s=HUNG_S)
        trial.says("stage fuse", within_s=2.0)
        return trial.finish(suffers={FUSED: 300}, tells=("stage fuse", "model"))


def failing(path: Path) -> Path:
    """The tiny network, times NaN where the reference is bright."""
    return _extended(
        path,
        [
            helper.make_node("Where", ["bright", "nan", "one"], ["factor"]),
            helper.make_node("Mul", ["steady", "factor"], ["radiance"]),
        ],
        {"nan": np.array(np.nan, np.float32), "one": np.array(1.0, np.float32)},
    )


def hanging(path: Path) -> Path:
    """The tiny network, and a loop of 2**62 rounds over its answer where the reference is bright."""
    image = ["one", 3, "height", "width"]
    values = [
        helper.make_tensor_value_info("round", TensorProto.INT64, []),
        helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("before", TensorProto.FLOAT, image),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "round",
        values,
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, image),
        ],
    )
    return _extended(
        path,
        [
            helper.make_node("Where", ["bright", "endless", "never"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "yes", "steady"], ["radiance"], body=body),
        ],
        {"endless": np.array(2**62, np.int64), "never": np.array(0, np.int64), "yes": np.array(True)},
    )


def _extended(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> Path:
    """The tiny network with ``nodes`` between its answer, ``steady``, and its output; ``bright`` is given."""
    model = onnx.load(str(write_tiny_model(path)))
    graph = model.graph
    graph.node[-1].output[0] = "steady"
    graph.node.extend(
        [
            helper.make_node("ReduceMean", ["reference"], ["level_of_reference"], keepdims=0),
            helper.make_node("Greater", ["level_of_reference", "limit"], ["bright"]),
            *nodes,
        ]
    )
    constants = {"limit": np.array(BRIGHT, np.float32), **constants}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.save(model, str(path))
    return path
