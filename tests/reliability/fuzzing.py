"""All tests that try bad input, in their long form, and how many cases they were."""

from __future__ import annotations

import os
import re

import pytest

from tests.hw.gige.gige_net import ROOT
from tests.reliability.table import read_notes, write_notes

SUBJECTS = {
    "configuration, also from a USB stick": (
        "tests/edge/settings/test_settings_fuzz.py",
        "tests/edge/config/test_config.py",
    ),
    "sessions on disk": (
        "tests/reliability/test_fuzz.py::test_a_sidecar_damaged_anywhere",
        "tests/reliability/test_fuzz.py::test_a_video_damaged_anywhere",
        "tests/edge/session/test_session.py",
        "tests/edge/store/test_store.py",
        "tests/edge/store/test_store_recover.py",
    ),
    "the board's serial line": (
        "tests/reliability/test_fuzz.py::test_a_board_that_answers_anything",
        "tests/hw/trigger/test_trigger_frame.py",
    ),
    "requests to the page": ("tests/edge/web/test_web_security.py",),
}
WANTED = 100_000


class Counter:
    """Counts what hypothesis says of each test."""

    def __init__(self) -> None:
        self.cases = 0

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        said = str(getattr(item, "hypothesis_statistics", ""))
        self.cases += sum(map(int, re.findall(r"(\d+) (?:passing|failing)", said)))


def fuzz() -> int:
    """Run them one subject after the other; print and note the number of cases. 0 where all is well."""
    os.environ["TWINHDR_LONG"] = "1"
    counts: dict[str, int] = {}
    failed = []
    for subject, ids in SUBJECTS.items():
        counter = Counter()
        options = ["-q", "-p", "no:cacheprovider", "-m", "not alone", "--hypothesis-show-statistics"]
        if pytest.main([*options, *(str(ROOT / one) for one in ids)], plugins=[counter]) != 0:
            failed.append(subject)
        counts[subject] = counter.cases
        print(f"{subject}: {counter.cases} cases", flush=True)
    total = sum(counts.values())
    print(f"{total} cases in all; failed: {', '.join(failed) or 'none'}")
    if not failed:
        write_notes(read_notes() | {"fuzz": counts})
    return int(bool(failed) or total < WANTED)
