"""A GPU made of ONNX Runtime and numpy that keeps the rules of a real one and breaks whoever does not.

What it computes is real. What it is strict about: nothing on the stream happens before ``wait``; host and
device memory are apart unless it is ``unified``; fresh memory is NaN; calls outside ``active`` fail; a
captured graph keeps the addresses that it was captured with. Knobs make it refuse.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edge.engines.driver import GpuFacts
from edge.engines.gpu import BuildSettings, Built, GpuError, Graph, Progress, TensorSpec

MAGIC = b"REFERENCE PLAN\n"
FACTS = GpuFacts("Reference", "8.7", "12.6", "L4T 36.4.3", False, 8 << 30)
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int32)": np.int32}


@dataclass(eq=False)
class Memory:
    """``array`` is the host's; ``device`` is the same object where memory is unified."""

    address: int
    array: NDArray[Any]
    device: NDArray[Any]


@dataclass(eq=False)
class CapturedWork:
    work: list[Callable[[], None]]


@dataclass
class Knobs:
    """``fails``: name of a call -> how many more of them succeed before it refuses for good."""

    fails: dict[str, int] = field(default_factory=dict)

    def step(self, call: str) -> None:
        if call in self.fails:
            self.fails[call] -= 1
            if self.fails[call] < 0:
                raise GpuError(f"{call} answers 700")


def _fresh(spec: TensorSpec) -> NDArray[Any]:
    return np.full(spec.shape, -1 if spec.dtype.kind == "i" else np.nan, spec.dtype)


class ReferenceGpu:
    def __init__(self, unified: bool = False, knobs: Knobs | None = None) -> None:
        self.unified, self.knobs = unified, knobs or Knobs()
        self.memory: dict[int, NDArray[Any]] = {}
        self.calls: list[str] = []
        self._stream: list[Callable[[], None]] = []
        self._capturing: list[Callable[[], None]] | None = None
        self._depth = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _call(self, name: str) -> None:
        assert self._depth > 0, f"{name} outside the context"
        self.calls.append(name)
        self.knobs.step(name)

    def _new(self, spec: TensorSpec) -> tuple[int, NDArray[Any]]:
        array = _fresh(spec)
        address = 0x1000 + 0x1000 * len(self.memory)
        self.memory[address] = array
        return address, array

    def shared(self, spec: TensorSpec) -> Memory:
        self._call("shared")
        address, device = self._new(spec)
        return Memory(address, device if self.unified else _fresh(spec), device)

    def private(self, spec: TensorSpec) -> Memory:
        self._call("private")
        address, device = self._new(spec)
        return Memory(address, np.empty(0), device)

    def to_gpu(self, memory: Memory) -> None:
        self._call("to_gpu")
        if not self.unified:
            self.put(lambda: np.copyto(memory.device, memory.array))

    def to_host(self, memory: Memory) -> None:
        self._call("to_host")
        if not self.unified:
            self.put(lambda: np.copyto(memory.array, memory.device))

    def load(self, plan: bytes) -> ReferenceProgram:
        self._call("load")
        return ReferenceProgram(self, plan)

    def put(self, work: Callable[[], None]) -> None:
        (self._stream if self._capturing is None else self._capturing).append(work)

    def capture(self, work: Callable[[], None]) -> Graph:
        self._call("capture")
        self._capturing = []
        try:
            work()
            return CapturedWork(self._capturing)
        finally:
            self._capturing = None

    def launch(self, graph: Graph) -> None:
        self._call("launch")
        assert isinstance(graph, CapturedWork)
        self._stream += graph.work

    def wait(self) -> None:
        self._call("wait")
        assert self._capturing is None, "a wait spoils the capture"
        pending, self._stream = self._stream, []
        for work in pending:
            work()

    def free_bytes(self) -> int:
        self._call("free_bytes")
        return (6 << 30) - sum(array.nbytes for array in self.memory.values())


class ReferenceProgram:
    """A plan is an ONNX file behind a magic word."""

    scratch_bytes = 1 << 20

    def __init__(self, gpu: ReferenceGpu, plan: bytes) -> None:
        if not plan.startswith(MAGIC):
            raise GpuError("the plan is foreign")
        self._gpu = gpu
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = ort.InferenceSession(plan[len(MAGIC) :], options, providers=["CPUExecutionProvider"])
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._outputs = [value.name for value in outputs]
        self.tensors: Mapping[str, TensorSpec] = {
            value.name: TensorSpec(tuple(value.shape), np.dtype(TYPES[value.type]), value in inputs)
            for value in [*inputs, *outputs]
        }
        self._addresses: dict[str, int] = {}

    def bind(self, tensor: str, address: int) -> None:
        assert address in self._gpu.memory, f"{tensor} at an address that nobody allocated"
        assert self._gpu.memory[address].shape == self.tensors[tensor].shape
        self._addresses[tensor] = address

    def enqueue(self) -> None:
        self._gpu._call("enqueue")
        bound = {name: self._gpu.memory[self._addresses[name]] for name in self.tensors}

        def run() -> None:
            feed = {name: bound[name] for name, spec in self.tensors.items() if spec.is_input}
            for name, value in zip(self._outputs, self._session.run(self._outputs, feed), strict=True):
                np.copyto(bound[name], value)

        self._gpu.put(run)


class ReferenceBuilder:
    """``spoil`` changes the graph on its way: the plan then computes another picture."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.spoil: Callable[[onnx.ModelProto], None] = lambda _model: None
        self.seen: list[bytes] = []

    def build(
        self,
        onnx_bytes: bytes,
        settings: BuildSettings,
        workspace_bytes: int,
        timings: bytes,
        progress: Progress,
    ) -> Built:
        assert workspace_bytes > 0
        self.seen.append(timings)
        self.knobs.step("build")
        progress("Building Engine", 0.5)
        model = onnx.ModelProto.FromString(onnx_bytes)
        onnx.checker.check_model(model)
        self.spoil(model)
        return Built(MAGIC + model.SerializeToString(), timings + b"t")


class ReferencePlatform:
    """A machine with a reference GPU and any TensorRT."""

    def __init__(
        self, *, facts: GpuFacts = FACTS, tensorrt: str = "10.3.0", knobs: Knobs | None = None
    ) -> None:
        self.facts, self.tensorrt = facts, tensorrt
        self.knobs = knobs or Knobs()
        self.made = ReferenceBuilder(self.knobs)
        self.gpus: list[ReferenceGpu] = []

    def gpu(self) -> ReferenceGpu:
        self.gpus.append(ReferenceGpu(self.facts.unified, self.knobs))
        return self.gpus[-1]

    def builder(self) -> ReferenceBuilder:
        return self.made
