"""Every fault of docs/reliability.md, made for real; all of them with TWINHDR_LONG=1."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import tests.reliability.faults  # noqa: F401 - fills the table
from tests.reliability.bench import Bench
from tests.reliability.table import FAULTS, as_record

LONG = os.environ.get("TWINHDR_LONG") == "1"


@pytest.mark.alone
@pytest.mark.timeout(240)
@pytest.mark.parametrize("key", FAULTS)
def test_fault(key: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Else something breaks in the field that was promised not to, and nobody is told."""
    fault = FAULTS[key]
    if not (LONG or fault.short):
        pytest.skip("one of the faults that TWINHDR_LONG=1 makes")
    if reason := fault.missing():
        pytest.skip(reason)
    record_property(key, as_record(fault.run(Bench(tmp_path, LONG))))
