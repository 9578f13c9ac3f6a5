"""CUDA through pycuda: the primary context, one stream, page-locked or mapped memory, captured graphs.

``pycuda.autoinit`` is never used: it makes a second context, whose memory TensorRT does not see. pycuda has
no graph capture; those six calls go to the driver directly.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edge.engines.driver import LIBRARY
from edge.engines.gpu import GpuError, Graph, Private, Program, Shared, TensorSpec

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no hidden wait for the default stream, where other libraries work."""
THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: another thread's allocation does not spoil the capture."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """``owner`` keeps the allocation alive; ``array`` None: the GPU's alone."""

    address: int
    owner: Any
    array: NDArray[Any]


@dataclass(frozen=True, slots=True)
class _GpuMemory:
    address: int
    owner: Any


class CudaGpu:
    """See ``edge.engines.gpu.Gpu``. ``load`` is TensorRT's part: plan and stream handle to a program."""

    def __init__(self, unified: bool, load: Callable[[bytes, int], Program]) -> None:
        try:
            import pycuda.driver as cuda
        except (ImportError, RuntimeError) as error:
            raise GpuError(f"pycuda does not import ({error}); pip install pycuda") from error
        self._cuda, self._unified, self._load = cuda, unified, load
        with self._errors():
            cuda.init()
            self._context = cuda.Device(0).retain_primary_context()
        with self.active():
            self._stream = cuda.Stream(NON_BLOCKING)
            self._graphs = GraphCalls(self._stream.handle)

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """See Gpu."""
        with self._errors():
            self._context.push()
            try:
                yield
            finally:
                self._cuda.Context.pop()

    def shared(self, spec: TensorSpec) -> Shared:
        """See Gpu. On unified memory the page-locked host pages are mapped: the GPU reads them in place."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if self._unified else 0
        array = self._cuda.pagelocked_empty(spec.shape, spec.dtype, mem_flags=flags)
        if self._unified:
            return _Memory(int(array.base.get_device_pointer()), array, array)
        memory = self._cuda.mem_alloc(max(array.nbytes, 1))
        return _Memory(int(memory), memory, array)

    def private(self, spec: TensorSpec) -> Private:
        """See Gpu."""
        memory = self._cuda.mem_alloc(max(spec.nbytes, 1))
        return _GpuMemory(int(memory), memory)

    def to_gpu(self, memory: Shared) -> None:
        """See Gpu."""
        if not self._unified:
            self._cuda.memcpy_htod_async(memory.address, memory.array, self._stream)

    def to_host(self, memory: Shared) -> None:
        """See Gpu."""
        if not self._unified:
            self._cuda.memcpy_dtoh_async(memory.array, memory.address, self._stream)

    def load(self, plan: bytes) -> Program:
        """See Gpu."""
        return self._load(plan, int(self._stream.handle))

    def capture(self, work: Callable[[], None]) -> Graph:
        """See Gpu."""
        return self._graphs.capture(work)

    def launch(self, graph: Graph) -> None:
        """See Gpu."""
        if not isinstance(graph, CapturedGraph):
            raise TypeError("launch wants what capture answered with")
        self._graphs.launch(graph)

    def wait(self) -> None:
        """See Gpu."""
        self._stream.synchronize()

    def free_bytes(self) -> int:
        """See Gpu."""
        return int(self._cuda.mem_get_info()[0])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """pycuda's exceptions, out of memory and lost devices among them, as GpuError."""
        try:
            yield
        except self._cuda.Error as error:
            raise GpuError(str(error).splitlines()[0]) from error


class CapturedGraph:
    """An instantiated CUDA graph; destroyed with this object."""

    def __init__(self, handle: ctypes.c_void_p, destroy: Callable[[ctypes.c_void_p], object]) -> None:
        self.handle = handle
        self._destroy = destroy

    def __del__(self) -> None:
        self._destroy(self.handle)


class GraphCalls:
    """Stream capture by the driver API (cuda.h, section "Graph Management", CUDA 11.4 and later)."""

    def __init__(self, stream: int, library: str = LIBRARY) -> None:
        self._driver = ctypes.CDLL(library)
        self._stream = ctypes.c_void_p(stream)

    def capture(self, work: Callable[[], None]) -> CapturedGraph:
        """See Gpu. Whatever ``work`` raises, the capture is ended: an open one blocks the stream for ever."""
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, ctypes.c_int(THREAD_LOCAL))
        try:
            work()
        except BaseException:
            self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
            self._driver.cuGraphDestroy(graph)
            raise
        self._call("cuStreamEndCapture", self._stream, ctypes.byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        finally:
            self._driver.cuGraphDestroy(graph)
        return CapturedGraph(ready, self._driver.cuGraphExecDestroy)

    def launch(self, graph: CapturedGraph) -> None:
        """See Gpu."""
        self._call("cuGraphLaunch", graph.handle, self._stream)

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            result = getattr(self._driver, function)(*arguments)
        except AttributeError:
            raise GpuError(f"the driver has no {function}; CUDA graphs need CUDA 11.4") from None
        if result:
            raise GpuError(f"{function} answers {result}")
