"""The faults there are, what was measured of each, and docs/reliability.md made from both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.reliability.bench import Bench

HERE = Path(__file__).parent
ROWS = HERE / "rows.json"
NOTES = HERE / "notes.json"
DOCUMENT = HERE.parents[1] / "docs" / "reliability.md"


@dataclass(frozen=True, slots=True)
class Row:
    """What one fault was measured to cost.

    ``lost`` frames by stream; ``recovery_s`` from the end of the fault (or from its beginning where nothing
    has to be repaired) to the next frame in a file; ``told`` word for word; ``elsewhere`` what else suffered.
    """

    lost: Mapping[str, int]
    recovery_s: float | None
    told: str
    elsewhere: str = "nothing"
    note: str = ""
    otherwise: str = "never interrupted"
    """Shown where there is no time of recovery."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``how`` it is made, and what is allowed. ``short``: also without TWINHDR_LONG."""

    key: str
    title: str
    how: str
    run: Callable[[Bench], Row]
    missing: Callable[[], str]
    short: bool


FAULTS: dict[str, Fault] = {}
"""In the order of the document; filled as ``tests.reliability.faults`` is imported."""


def fault(
    key: str, title: str, how: str, *, missing: Callable[[], str] = lambda: "", short: bool = False
) -> Callable[[Callable[[Bench], Row]], Callable[[Bench], Row]]:
    """Register what makes a fault and measures it. ``missing`` says why it cannot be made here."""

    def register(run: Callable[[Bench], Row]) -> Callable[[Bench], Row]:
        assert key not in FAULTS, f"two faults are called {key}"
        FAULTS[key] = Fault(key, title, how, run, missing, short)
        return run

    return register


def read_rows() -> dict[str, dict[str, Any]]:
    """The rows of the last full run, as they stand in rows.json."""
    rows: dict[str, dict[str, Any]] = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    return rows


def write_rows(new: Mapping[str, dict[str, Any]]) -> None:
    """Put ``new`` over what is there, leave out faults that are no more, and render the document."""
    rows = {key: value for key, value in (read_rows() | dict(new)).items() if key in FAULTS}
    ordered = {key: rows[key] for key in FAULTS if key in rows}
    ROWS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(document(ordered))


def read_notes() -> dict[str, Any]:
    """Figures of the long runs beside the table: ``fuzz`` cases by subject, ``soak`` as it printed them."""
    notes: dict[str, Any] = json.loads(NOTES.read_text()) if NOTES.exists() else {}
    return notes


def write_notes(notes: Mapping[str, Any]) -> None:
    """Keep them, and render the document."""
    NOTES.write_text(json.dumps(notes, indent=1, ensure_ascii=False) + "\n")
    write_rows({})


def as_record(row: Row) -> dict[str, Any]:
    """For rows.json; figures rounded to what a second run would show again."""
    record = asdict(row)
    record["recovery_s"] = None if row.recovery_s is None else round(row.recovery_s, 1)
    return record


def document(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/reliability.md."""
    template = (HERE / "reliability.md.in").read_text()
    notes = read_notes()
    filled = {"@TABLE@": _table(rows), "@FAULTS@": _how(), "@SOAK@": _soak(notes), "@FUZZ@": _fuzz(notes)}
    for mark, text in filled.items():
        template = template.replace(mark, text)
    return template


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| fault | lost | recording again after | what the user is told | what else suffers |",
        "|---|---|---|---|---|",
    ]
    for key, one in FAULTS.items():
        row = rows.get(key)
        if row is not None:
            lines.append(
                f"| {one.title} | {_lost(row)} | {_seconds(row)} | {_cell(row['told'])} "
                f"| {_cell(row['elsewhere'])} |"
            )
    return "\n".join(lines)


def _how() -> str:
    return "\n".join(f"- **{one.title}**: {one.how}" for one in FAULTS.values())


def _soak(notes: Mapping[str, Any]) -> str:
    return str(notes.get("soak", "Not run yet."))


def _fuzz(notes: Mapping[str, Any]) -> str:
    counts: Mapping[str, int] = notes.get("fuzz", {})
    if not counts:
        return "Not run yet."
    each = "; ".join(f"{subject} {count:,}" for subject, count in counts.items())
    return f"The last run: {sum(counts.values()):,} cases ({each})."


def _lost(row: Mapping[str, Any]) -> str:
    parts = [f"{stream} {count}" for stream, count in row["lost"].items() if count]
    said = "; ".join(parts) if parts else "0 frames"
    return _cell(f"{said} ({row['note']})" if row["note"] else said)


def _seconds(row: Mapping[str, Any]) -> str:
    seconds = row["recovery_s"]
    return str(row["otherwise"]) if seconds is None else f"{seconds:.1f} s"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
