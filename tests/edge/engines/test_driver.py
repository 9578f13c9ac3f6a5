"""The driver's answers, through real ctypes calls into a stand-in library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.engines.cuda import GraphCalls
from edge.engines.driver import GpuFacts, probe_driver
from edge.engines.gpu import GpuError
from edge.engines.nvinfer import too_old
from edge.engines.platform import missing

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing: no stand-in for libcuda")

ORIN = """
#include <string.h>
#include <stddef.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *n) { *n = 1; return 0; }
int cuDeviceGet(int *d, int n) { *d = 7; return n; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 7 ? "Orin" : "wrong", n); return 0; }
int cuDeviceTotalMem_v2(size_t *b, int d) { *b = 7990000000u; return 0; }
int cuDriverGetVersion(int *v) { *v = 12060; return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) {
  *v = a == 75 ? 8 : a == 76 ? 7 : a == 18 || a == 19 ? 1 : 0; return 0; }
"""
GRAPHS = """
static int state, graphs; static void *key = &state;
int counted(void) { return graphs; }
int cuStreamBeginCapture_v2(void *s, int mode) {
  if (state || mode != 1 || s != (void *)0x1234567812345678) return 1;
  state = 1; return 0; }
int cuStreamEndCapture(void *s, void **g) {
  if (state != 1) return 401;
  state = 0; graphs++; *g = key; return 0; }
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f) {
  if (g != key || f) return 1;
  graphs++; *e = key; return 0; }
int cuGraphDestroy(void *g) { if (g == key) graphs--; return 0; }
int cuGraphExecDestroy(void *g) { if (g == key) graphs--; return 0; }
int cuGraphLaunch(void *e, void *s) { return e == key ? 0 : 700; }
"""


def library(folder: Path, name: str, source: str) -> str:
    path = folder / f"{name}.so"
    (folder / f"{name}.c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, folder / f"{name}.c"], check=True)
    return str(path)


@needs_gcc
def test_a_jetson_describes_itself(tmp_path: Path) -> None:
    """Wrong argument types would read a neighbour's memory; every engine's key is made of these facts."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic")
    probe = probe_driver(library(tmp_path, "orin", ORIN), tmp_path)
    assert probe.gpu == GpuFacts("Orin", "8.7", "12.6", "L4T 36.4.3", True, 7_990_000_000)


@needs_gcc
def test_a_desktop_is_known_by_its_kernel_module(tmp_path: Path) -> None:
    """An engine is rebuilt after a driver update only if the update shows."""
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    (tmp_path / "sys/module/nvidia/version").write_text("580.95.05\n")
    desktop = ORIN.replace("a == 18 || ", "")  # maps host memory, but has memory of its own
    gpu = probe_driver(library(tmp_path, "desktop", desktop), tmp_path).gpu
    assert gpu is not None
    assert (gpu.release, gpu.unified) == ("driver 580.95.05", False)


@needs_gcc
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("cuInit(unsigned flags) { return 0", "cuInit(unsigned flags) { return 100"), "cuInit answers 100"),
        (("*n = 1", "*n = 0"), "sees no device"),
        (("*v = 12060; return 0", "return 3"), "cuDriverGetVersion answers 3"),
        (("int cuDeviceTotalMem_v2", "int cuDeviceTotalMem"), "cuDeviceTotalMem_v2"),
    ],
)
def test_a_sick_driver_is_one_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """After a half-done update; the recorder has to start nevertheless."""
    probe = probe_driver(library(tmp_path, "sick", ORIN.replace(*change)), tmp_path)
    assert probe.gpu is None
    assert probe.library
    assert says in probe.reason
    assert "\n" not in probe.reason


def test_no_driver_is_no_fault(tmp_path: Path) -> None:
    """Importing TensorRT here would end the process."""
    probe = probe_driver(str(tmp_path / "libcuda.so.1"))
    assert (probe.gpu, probe.library) == (None, False)
    assert "no NVIDIA driver" in missing(str(tmp_path / "libcuda.so.1"))


@needs_gcc
def test_captured_graphs_are_ended_and_freed(tmp_path: Path) -> None:
    """A capture that stays open after an error blocks the stream for ever; a graph that stays is a leak."""
    name = library(tmp_path, "graphs", GRAPHS)
    calls = GraphCalls(0x1234567812345678, name)
    graph = calls.capture(lambda: None)
    calls.launch(graph)
    assert calls._driver.counted() == 1
    del graph
    assert calls._driver.counted() == 0

    def fails() -> None:
        raise GpuError("enqueue")

    with pytest.raises(GpuError, match="enqueue"):
        calls.capture(fails)
    assert calls._driver.counted() == 0
    with pytest.raises(GpuError, match=r"no cuGraphLaunch; CUDA graphs need CUDA 11\.4"):
        GraphCalls(1, library(tmp_path, "old", "int nothing;")).launch(calls.capture(lambda: None))
    with pytest.raises(GpuError, match="cuStreamBeginCapture_v2 answers 1"):
        GraphCalls(1, name).capture(lambda: None)


@pytest.mark.parametrize(
    ("version", "old"),
    [("8.6.1", True), ("10.2.0", True), ("10.3.0", False), ("10.13.2.6", False), ("11.0", False)],
)
def test_old_tensorrt_is_refused(version: str, old: bool) -> None:
    """It would build something else than what was tested, or die in C++."""
    assert too_old(version) is old
