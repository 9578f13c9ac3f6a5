"""What the C library keeps of memory that nobody uses any more."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROOM = """
import numpy as np, psutil
from edge.native import give_back_memory

arrays = [np.ones(60_000, np.uint8) for _ in range(2000)]
kept = arrays[::100] + arrays[-1:]
del arrays
resident = lambda: psutil.Process().memory_info().rss
before = resident()
give_back_memory()
print((before - resident()) / 1e6)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library than glibc keeps its own ways"
)
def test_memory_of_a_burst_is_given_back() -> None:
    """A recorder that keeps what its busiest minute took grows from burst to burst."""
    ended = subprocess.run([sys.executable, "-c", ROOM], capture_output=True, text=True, check=True)
    assert float(ended.stdout) > 60.0, "of 120 MB, of which a hundredth is still used"
