"""Which runtime a model gets on this machine, and in which words it gets another one than expected."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, get_args

from edge.engines import Engine, EngineError
from edge.engines.build import identity
from edge.engines.driver import probe_driver
from edge.engines.gpu import GpuError, Platform
from edge.engines.plan import ANY, Cut
from edge.engines.store import EngineStore, engine_folder
from edge.engines.tensorrt import TensorrtEngine

if TYPE_CHECKING:
    from edge.config.schema import FuseConfig, RigConfig


ProofState: TypeAlias = tuple[tuple[int, int, int] | None, ...]
"""(time of change, inode, size) of every proof that an engine may have; None: not there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An engine that this configuration would use: pictures of (height, width); ``model`` as configured."""

    model: str
    width: int
    height: int
    cut: Cut


def cut_for(aligned: bool) -> Cut:
    """With alignment the pair differs for every frame, so cutting there only costs memory traffic."""
    return "whole" if aligned else "pair"


def wanted_engines(fuse: FuseConfig, rig: RigConfig) -> list[Wanted]:
    """The engines that a recording with this configuration looks for."""
    models = [model for model in (fuse.model, fuse.small_model) if model is not None]
    cut = cut_for(fuse.alignment != "off")
    return [Wanted(model, rig.width, rig.height, cut) for model in dict.fromkeys(models)]


def tensorrt_engine(
    model: Path,
    size: tuple[int, int],
    cut: Cut,
    platform: Callable[[], Platform],
    store: EngineStore,
) -> Engine:
    """The proven engine of ``model`` for pictures of ``size`` (height, width). Raises EngineError."""
    height, width = size
    at = platform()
    here = identity(model, width, height, cut, at, ANY)
    stored = store.load(model.stem, here)
    where = str(store.proof_path(model.stem, width, height, cut))
    try:
        gpu = at.gpu()
    except GpuError as error:
        raise EngineError(f"{where}: {error}") from error
    return TensorrtEngine(model.stem, stored.plans, gpu, where, multiple=stored.proof.multiple)


def on_gpu(
    model: Path,
    size: tuple[int, int],
    cut: Cut,
    tell: Callable[[str], None],
    *,
    platform: Callable[[], Platform] | None = None,
    store: EngineStore | None = None,
    has_gpu: Callable[[], bool] = lambda: probe_driver().gpu is not None,
) -> Engine | None:
    """The engine on the GPU, or None after telling why not, in one line.

    Nothing is told on a machine where nobody expects one: no GPU, and no engine was ever built.
    """
    from edge.engines.platform import open_platform

    store = store or EngineStore(engine_folder())
    others: tuple[Cut, ...] = ("whole", "pair")
    cuts = [c for c in (cut, *others) if os.path.exists(store.proof_path(model.stem, size[1], size[0], c))]
    soon = "; engines are being built just now" if store.being_written() else ""
    if not cuts:
        if has_gpu():
            tell(
                f"{model.stem} runs on the CPU: no engine for {size[1]}x{size[0]} in {store.folder}"
                + (
                    soon
                    or f"; build it: twinhdr-export engine --model {model.stem.removeprefix('eafnet-')} "
                    f"--size {size[1]}x{size[0]}"
                )
            )
        return None
    refusal = ""
    for candidate in dict.fromkeys(cuts):  # either computes the same; the other one costs time
        try:
            return tensorrt_engine(model, size, candidate, platform or open_platform, store)
        except EngineError as error:
            refusal = refusal or str(error)
    tell(f"{model.stem} runs on the CPU: {refusal}{soon}")
    return None


def proof_state(model: Path, size: tuple[int, int], store: EngineStore | None = None) -> ProofState:
    """What tells a new proof of an engine for pictures of ``size`` (height, width) from the last one seen."""
    store = store or EngineStore(engine_folder())
    found: list[tuple[int, int, int] | None] = []
    for cut in get_args(Cut):
        try:
            stat = os.stat(store.proof_path(model.stem, size[1], size[0], cut))
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
    return tuple(found)
