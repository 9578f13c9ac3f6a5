"""Nothing is sent to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "edge" / "models" / "eafnet-s.onnx"

OPENS_A_NETWORK = """
import {package}
import onnxruntime
onnxruntime.InferenceSession({model!r}, providers=["CPUExecutionProvider"])
"""


@pytest.mark.parametrize("package", ["edge", "export"])
def test_onnx_runtime_keeps_to_itself(package: str, tmp_path: Path) -> None:
    """By default it writes an identifier into the home folder and reports every model to its maker."""
    quiet = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    for key in ("CI", "GITHUB_ACTIONS"):  # which would switch it off too
        quiet.pop(key, None)
    subprocess.run(
        [sys.executable, "-c", OPENS_A_NETWORK.format(package=package, model=str(MODEL))],
        cwd=ROOT,
        env=quiet | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
