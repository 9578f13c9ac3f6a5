"""shim.c, built and steered."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
_CLOCK, _ENCODER = struct.Struct("<q"), struct.Struct("<24s")
NEEDS_GCC = "needs gcc (apt install gcc libc6-dev)"


def missing() -> str:
    """Why it cannot be built here; empty where it can."""
    return "" if shutil.which("gcc") else NEEDS_GCC


@functools.cache
def library() -> Path:
    """Built once for all tests of a run."""
    path = Path(tempfile.mkdtemp(prefix="twinhdr-shim-")) / "shim.so"
    flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", str(path), str(SOURCE)], check=True)
    return path


class Shim:
    """The faults of one process; ``environment`` brings them into it."""

    def __init__(self, folder: Path) -> None:
        self._page = folder / "faults"
        self._page.write_bytes(bytes(4096))
        self.environment = {"LD_PRELOAD": str(library()), "TWINHDR_FAULTS": str(self._page)}

    def move_clock(self, seconds: float) -> None:
        """The wall clock is ``seconds`` ahead of the machine's from now on."""
        self._write(_CLOCK.pack(round(seconds * 1e9)), 0)

    def hang_encoder(self, name: str) -> None:
        """The next call of FFmpeg's encoder ``name`` never returns; those after it do."""
        self._write(_ENCODER.pack(name.encode()), _CLOCK.size)

    def _write(self, data: bytes, offset: int) -> None:
        fd = os.open(self._page, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, data, offset)
        finally:
            os.close(fd)
