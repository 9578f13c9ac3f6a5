"""EAFNet through TensorRT, on an NVIDIA GPU.

Everything is allocated before the first frame and found again by address. What a pair needs lies in a slot:
its pictures, and what its part of the network made of them, which never leaves the GPU. A slot is taken by
``encode_pair`` and free again when the cache it answered with is gone. The work on a slot is captured as a
CUDA graph after one plain run and launched as one piece from then on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.engines import EngineError, Light, PairCache, pair_numbers
from edge.engines.gpu import Gpu, GpuError, Graph, Private, Program, Shared, TensorSpec
from edge.engines.tone import CHROMA, DISPLAY, LIGHT, LUMA, VIDEO, display_values, padded, video_image
from edge.frames import FloatImage
from edge.tone.tonemap import HdrFormat, YuvImage

log = logging.getLogger(__name__)

FRAME_INPUTS = {"reference", DISPLAY}
PAIR_INPUTS = {"low", "high", "exposure", "mean"}
OUTPUT = "radiance"
OF_FRAME = FRAME_INPUTS | {OUTPUT} | VIDEO
MOST_SLOTS = 8
"""Of caches alive at once. The fuser holds one and makes the next; more than this is a leak."""


class _Replay:
    """Work on the stream: plain the first time, then captured, then launched as one graph.

    A plain run has to come first, because TensorRT sets things up in it that cannot be captured. Where the
    capture is refused the work stays plain, which is slower by the launches and computes the same.
    """

    def __init__(
        self, gpu: Gpu, work: Callable[[], None], graphs: bool, on_refusal: Callable[[GpuError], None]
    ) -> None:
        self._gpu, self._work, self._on_refusal = gpu, work, on_refusal
        self._ran, self._plain = False, not graphs
        self.graph: Graph | None = None

    def run(self) -> None:
        if self._ran and self.graph is None and not self._plain:
            try:
                self.graph = self._gpu.capture(self._work)
            except GpuError as error:
                self._plain = True
                self._on_refusal(error)
        if self.graph is not None:
            self._gpu.launch(self.graph)
        else:
            self._work()
            self._ran = True


@dataclass(slots=True)
class _Slot:
    """One pair on the GPU."""

    shared: dict[str, Shared]
    kept: dict[str, Private]
    pair: _Replay | None = None
    frame: _Replay | None = None


@dataclass(frozen=True, eq=False)
class _Cached:
    """One pair of one engine. The slot goes back when this object is gone."""

    engine: TensorrtEngine
    slot: _Slot = field(repr=False)


class TensorrtEngine:
    """One EAFNet for pictures of one size. ``plans``: one for the whole network, or one for pairs and one for
    frames. See ``edge.engines.Engine``.

    Raises EngineError, from the constructor on, with ``where`` at its beginning.
    """

    def __init__(
        self,
        name: str,
        plans: Sequence[bytes],
        gpu: Gpu,
        where: str,
        *,
        multiple: int = 1,
        graphs: bool = True,
    ) -> None:
        self.name, self.multiple = name, multiple
        self.gpu, self._where, self._graphs = gpu, where, graphs
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._free: list[_Slot] = []
        self._told = False
        with self._working("does not start"):
            programs = [gpu.load(plan) for plan in plans]
            self._pair_program = programs[0] if len(programs) == 2 else None
            self._frame_program = programs[-1]
            self._specs = self._checked(programs)
            self.height, self.width = self._specs["reference"].shape[:2]
            self._frame = {
                name: gpu.shared(self._specs[name]) for name in sorted(OF_FRAME & set(self._specs))
            }
            self._show(HdrFormat())
            self._free.append(self._new_slot())

    @property
    def size(self) -> tuple[int, int]:
        """See SizedEngine."""
        return self.height, self.width

    @property
    def scratch_bytes(self) -> int:
        """Activations of all programs."""
        programs = [p for p in (self._pair_program, self._frame_program) if p is not None]
        return sum(program.scratch_bytes for program in programs)

    @property
    def buffer_bytes(self) -> int:
        """Pictures and pairs, for the slots that there are now."""
        per_slot = sum(spec.nbytes for name, spec in self._specs.items() if name not in OF_FRAME)
        return sum(self._specs[name].nbytes for name in self._frame) + per_slot * len(self._slots)

    @property
    def captured(self) -> bool:
        """Whether frames run as a CUDA graph by now."""
        return any(slot.frame is not None and slot.frame.graph is not None for slot in self._slots)

    def encode_pair(
        self,
        low: FloatImage,
        high: FloatImage,
        light: Light,
        mean_reference: float,
        mean_pair: tuple[float, float] | None = None,
    ) -> PairCache:
        """See Engine. ``light`` may be in any unit; only its ratios count."""
        numbers = pair_numbers(low, high, light, mean_reference, mean_pair)
        self._check_size(low)
        values = {"low": low, "high": high, **numbers}
        with self._working():
            # No wait: a slot that is free was fused and waited for, or nobody wants what is computed in it.
            slot = self._take()
            cached = _Cached(self, slot)
            weakref.finalize(cached, self._free.append, slot).atexit = False
            for tensor, memory in slot.shared.items():
                np.copyto(memory.array, values[tensor])
            assert slot.pair is not None
            slot.pair.run()
        return cached

    def fuse(self, cache: PairCache, reference: FloatImage) -> FloatImage:
        """See Engine."""
        with self._fused(cache, reference, None):
            return np.array(self._frame[OUTPUT].array)

    def fuse_video(
        self, cache: PairCache, reference: FloatImage, fmt: HdrFormat
    ) -> tuple[FloatImage, YuvImage | None]:
        """See VideoEngine. Without video planes where the plans have none."""
        with self._fused(cache, reference, fmt):
            radiance = np.array(self._frame[OUTPUT].array)
            if LUMA not in self._frame:
                return radiance, None
            luma, chroma, light = (self._frame[name].array for name in (LUMA, CHROMA, LIGHT))
            return radiance, video_image(luma, chroma, light, self.width, fmt)

    @contextlib.contextmanager
    def _fused(self, cache: PairCache, reference: FloatImage, fmt: HdrFormat | None) -> Iterator[None]:
        """Inside, the buffers hold the frame's answers."""
        if not isinstance(cache, _Cached) or cache.engine is not self:
            raise TypeError(f"{self.name}: fuse wants what its own encode_pair answered with")
        if reference.shape[:2] != (self.height, self.width):
            raise ValueError(f"reference is {reference.shape[:2]}, pair is {(self.height, self.width)}")
        with self._working():
            np.copyto(self._frame["reference"].array, reference)
            if fmt is not None:
                self._show(fmt)
            assert cache.slot.frame is not None
            cache.slot.frame.run()
            self.gpu.wait()
            yield

    def _show(self, fmt: HdrFormat) -> None:
        if DISPLAY in self._frame:
            np.copyto(self._frame[DISPLAY].array, display_values(fmt))

    # set-up

    def _checked(self, programs: Sequence[Program]) -> dict[str, TensorSpec]:
        """All tensors by name. Raises GpuError where the programs do not fit together or are not ours."""
        specs: dict[str, TensorSpec] = {}
        made: set[str] = set()
        for program in programs:
            for name, spec in program.tensors.items():
                other = specs.setdefault(name, spec)
                if (other.shape, other.dtype) != (spec.shape, spec.dtype):
                    raise GpuError(f"its parts do not fit together at {name}")
                if spec.is_input and name not in FRAME_INPUTS | PAIR_INPUTS | made:
                    raise GpuError(f"it wants {name}, which is none of a twinhdr network's inputs")
            made |= {name for name, spec in program.tensors.items() if not spec.is_input}
        reference, radiance = specs.get("reference"), specs.get(OUTPUT)
        if (
            reference is None
            or radiance is None
            or reference.shape != radiance.shape
            or reference.shape[2:] != (3,)
            or any(specs[name].shape != reference.shape for name in ("low", "high") if name in specs)
            or any(specs[name].shape != (3,) for name in ("exposure", "mean") if name in specs)
        ):
            raise GpuError("it does not take and answer pictures (height, width, 3)")
        self._check_video(specs)
        return specs

    def _check_video(self, specs: dict[str, TensorSpec]) -> None:
        """Raises GpuError for planes that are not those of ``edge.engines.tone``."""
        if not specs.keys() & (VIDEO | {DISPLAY}):
            return
        height, width = specs[OUTPUT].shape[:2]
        tall, wide = padded(height, width)
        wanted = {LUMA: (tall, wide // 2), CHROMA: (2, tall // 2, wide // 4), LIGHT: (2,), DISPLAY: (3,)}
        if any(name not in specs or specs[name].shape != shape for name, shape in wanted.items()):
            raise GpuError("its video planes are none of a twinhdr engine's")

    def _new_slot(self) -> _Slot:
        if len(self._slots) >= MOST_SLOTS:
            raise GpuError(f"{MOST_SLOTS} pairs are held at once; let go of the caches of old ones")
        names = PAIR_INPUTS & set(self._specs)
        kept = set(self._specs) - names - OF_FRAME
        slot = _Slot(
            {name: self.gpu.shared(self._specs[name]) for name in sorted(names)},
            {name: self.gpu.private(self._specs[name]) for name in sorted(kept)},
        )
        slot.pair = _Replay(self.gpu, lambda: self._pair_work(slot), self._graphs, self._no_graph)
        slot.frame = _Replay(self.gpu, lambda: self._frame_work(slot), self._graphs, self._no_graph)
        self._slots.append(slot)
        return slot

    def _no_graph(self, error: GpuError) -> None:
        if not self._told:
            log.warning("%s: runs without CUDA graphs (%s)", self.name, error)
        self._told = True

    def _take(self) -> _Slot:
        with contextlib.suppress(IndexError):
            return self._free.pop()
        return self._new_slot()

    # work on the stream, captured or plain

    def _pair_work(self, slot: _Slot) -> None:
        for memory in slot.shared.values():
            self.gpu.to_gpu(memory)
        if self._pair_program is not None:
            self._bind(self._pair_program, slot)
            self._pair_program.enqueue()

    def _frame_work(self, slot: _Slot) -> None:
        for name, memory in self._frame.items():
            if name in FRAME_INPUTS:
                self.gpu.to_gpu(memory)
        self._bind(self._frame_program, slot)
        self._frame_program.enqueue()
        for name, memory in self._frame.items():
            if name not in FRAME_INPUTS:
                self.gpu.to_host(memory)

    def _bind(self, program: Program, slot: _Slot) -> None:
        for name in program.tensors:
            memory = self._frame.get(name) or slot.shared.get(name) or slot.kept[name]
            program.bind(name, memory.address)

    # checks

    def _check_size(self, image: FloatImage) -> None:
        if image.shape[:2] != (self.height, self.width):
            raise EngineError(
                f"{self._where}: built for {self.width}x{self.height}, and this picture is "
                f"{image.shape[1]}x{image.shape[0]}; build one: twinhdr-export engine --size "
                f"{image.shape[1]}x{image.shape[0]}"
            )

    @contextlib.contextmanager
    def _working(self, what: str = "fails while it runs") -> Iterator[None]:
        """One thread a time, with the device's context current; what CUDA or TensorRT refuse gets a name."""
        with self._lock:
            try:
                with self.gpu.active():
                    yield
            except (GpuError, MemoryError) as error:
                raise EngineError(
                    f"{self._where}: {what} ({error or type(error).__name__}); see twinhdr doctor"
                ) from error
