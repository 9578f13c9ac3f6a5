"""docs/reliability.md says what was measured, of every fault there is."""

from __future__ import annotations

import tests.reliability.faults  # noqa: F401 - fills the table
from tests.reliability.table import DOCUMENT, FAULTS, document, read_rows

AGAIN = "run: sudo .venv/bin/python -m tests.reliability --write"


def test_every_fault_has_its_row() -> None:
    """Else the page about reliability leaves out what went wrong."""
    assert list(read_rows()) == list(FAULTS), AGAIN


def test_the_document_is_what_was_measured() -> None:
    """Else it was written by hand, or by tests that are no more."""
    assert DOCUMENT.read_text() == document(read_rows()), AGAIN
