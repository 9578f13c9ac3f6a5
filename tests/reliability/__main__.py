"""``python -m tests.reliability --write`` makes every fault and writes docs/reliability.md.

``--fuzz`` runs what tries bad input. Without an argument the document is rendered again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import tests.reliability.faults  # noqa: F401 - fills the table
from tests.reliability.table import FAULTS, HERE, write_rows


class Collector:
    """Takes what the tests recorded."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            found = {key: value for key, value in report.user_properties if key in FAULTS}
            self.rows |= {key: value for key, value in found.items() if isinstance(value, dict)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make the faults first")
    parser.add_argument(
        "--only", nargs="*", choices=list(FAULTS), help="of them these; others keep their row"
    )
    parser.add_argument(
        "--fuzz", action="store_true", help="run the tests with generated input, and count it"
    )
    wanted = parser.parse_args(arguments)
    if wanted.fuzz:
        from tests.reliability.fuzzing import fuzz

        return fuzz()
    if not wanted.write:
        write_rows({})
        return 0
    os.environ["TWINHDR_LONG"] = "1"
    keys = wanted.only or list(FAULTS)
    collector = Collector()
    ids = [f"{Path(HERE) / 'test_faults.py'}::test_fault[{key}]" for key in keys]
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", *ids], plugins=[collector]))
    write_rows(collector.rows)
    missing = [key for key in keys if key not in collector.rows]
    print(
        f"{len(collector.rows)} rows written" + (f"; without a row: {', '.join(missing)}" if missing else "")
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
