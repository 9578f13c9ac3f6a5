"""Where tests keep what took long to fetch or to make: a base system, a kernel, films."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("TWINHDR_TEST_CACHE", Path.home() / ".cache/twinhdr-tests"))
