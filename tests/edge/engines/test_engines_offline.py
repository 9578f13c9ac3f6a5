"""Recordings and stills are fused on the GPU, as the live picture is, where it has a proven engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from edge.commands.fuse import StillJob, run_still
from edge.engines import platform as platform_module
from edge.engines.build import BuildJob, build
from edge.engines.store import VARIABLE
from edge.frames import Rung
from edge.images.imageio import read_linear
from edge.refusing.refuse import refuse
from edge.session.recording import Session
from tests.edge.engines.test_tensorrt_build import quiet, tools
from tests.edge.reference_gpu import Knobs, ReferencePlatform
from tests.edge.tiny_model import write_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "eafnet-tiny.onnx")


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReferencePlatform:
    """This machine has a reference GPU, and engines in a folder of the test's."""
    here = ReferencePlatform()
    monkeypatch.setattr(platform_module, "open_platform", lambda: here)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "engines"))
    return here


def build_for(model: Path, width: int, height: int, platform: ReferencePlatform) -> None:
    build(BuildJob(model, width, height, "whole"), tools(model.parent, platform), quiet)
    platform.gpus.clear()


def launches(platform: ReferencePlatform) -> int:
    return sum(call in ("enqueue", "launch") for gpu in platform.gpus for call in gpu.calls)


def test_a_recording_is_fused_on_the_gpu(
    recording: Path, tmp_path: Path, model: Path, platform: ReferencePlatform
) -> None:
    """An hour of it takes the CPU a day."""
    session = Session.open(shutil.copytree(recording, tmp_path / "session"))
    info = session.header.cameras["reference"]
    build_for(model, info.width, info.height, platform)
    told: list[str] = []
    done = refuse(session, str(model), tell=told.append)
    assert told == []
    assert done.rungs == {Rung.MODEL: done.frames}
    assert launches(platform) >= done.frames
    records = list(Session.open(session.path).refused("eafnet-tiny").hdr_records())
    assert len(records) == done.frames
    assert all(record.peak_nits for record in records)


def test_a_recording_is_fused_without_the_gpu_when_that_is_taken(
    recording: Path, tmp_path: Path, model: Path, platform: ReferencePlatform
) -> None:
    """The recorder has its memory; the work is done all the same, and it is said why it is slow."""
    session = Session.open(shutil.copytree(recording, tmp_path / "session"))
    info = session.header.cameras["reference"]
    build_for(model, info.width, info.height, platform)
    platform.knobs.fails["shared"] = 0
    told: list[str] = []
    done = refuse(session, str(model), threads=1, tell=told.append)
    assert done.rungs == {Rung.MODEL: done.frames}
    (line,) = told
    assert line.startswith("eafnet-tiny runs on the CPU: ")
    assert "shared answers 700" in line


class TestStills:
    @pytest.fixture
    def still(self, tmp_path: Path, model: Path) -> StillJob:
        scene = np.random.default_rng(1).random((64, 96, 3)) * 60000
        paths = {}
        for name, share in (("low", 0.25), ("reference", 1.0), ("high", 4.0)):
            paths[name] = tmp_path / f"{name}.png"
            cv2.imwrite(str(paths[name]), np.clip(scene * share, 0, 65535).astype(np.uint16))
        return StillJob(**paths, ev=(-2, 0, 2), out=tmp_path / "out.exr", model=str(model), align="off")

    def test_a_still_of_the_engines_size_is_fused_on_the_gpu(
        self, still: StillJob, model: Path, platform: ReferencePlatform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whole, however little memory the CPU has left."""
        monkeypatch.setattr("edge.fuse.still.affordable_pixels", lambda _name: 1)
        build_for(model, 96, 64, platform)
        console = Console(record=True, width=500)
        run_still(still, console)
        assert launches(platform) == 1
        assert "CPU" not in console.export_text()
        assert np.isfinite(read_linear(still.out)).all()

    @pytest.mark.parametrize("fault", ["size", "load"])
    def test_other_stills_are_fused_without_it(
        self, still: StillJob, model: Path, platform: ReferencePlatform, fault: str
    ) -> None:
        """A size that no engine is for is no fault; an engine that does not start is told."""
        build_for(model, *((128, 64) if fault == "size" else (96, 64)), platform)
        platform.knobs.fails.update(Knobs({"load": 0}).fails if fault == "load" else {})
        console = Console(record=True, width=500)
        run_still(still, console)
        assert launches(platform) == 0
        assert ("warning: eafnet-tiny runs on the CPU" in console.export_text()) == (fault == "load")
        assert np.isfinite(read_linear(still.out)).all()
