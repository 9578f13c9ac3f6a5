"""The one table of stages: how long each may be silent, who takes over, and what that costs.

docs/supervisor.md shows it; ``python -m edge.supervise.stages`` prints it as Markdown.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from edge.supervise.budget import Budget


class Spent(enum.Enum):
    """What happens when a stage cannot be started again, or not any more."""

    ENDS = "the process ends; systemd starts it again"
    LEFT_OFF = "it stays off; the recording goes on"


@dataclass(frozen=True, slots=True)
class Stage:
    """One row. ``limit_s``: a stage that has not beaten for so long hangs.

    ``budget`` None: it cannot be replaced within the process.
    """

    name: str
    limit_s: float
    budget: Budget | None
    spent: Spent
    successor: str
    lost: str

    def patient(self, limit_s: float) -> Stage:
        """The same stage on a machine, or with a source, that may take ``limit_s`` for one round."""
        return self if limit_s <= self.limit_s else replace(self, limit_s=limit_s)


_OFTEN = Budget(restarts=10, window_s=600.0, pause_s=1.0)
_CAPTURE = (
    "none, a read that hangs holds its camera (a GigE camera that goes is opened again by its keeper)",
    "both streams until systemd has started the process again",
)
_MASTERS = (
    "a new thread with a new file",
    "up to 0.5 s of the file left behind, and what the ring of 32 cannot hold; fused video goes on",
)

STAGES: Final = MappingProxyType(
    {
        stage.name: stage
        for stage in (
            Stage("capture", 8.0, None, Spent.ENDS, *_CAPTURE),
            Stage("capture reference", 8.0, None, Spent.ENDS, *_CAPTURE),
            Stage("capture secondary", 8.0, None, Spent.ENDS, *_CAPTURE),
            Stage("reference masters", 8.0, Budget(), Spent.ENDS, *_MASTERS),
            Stage("secondary masters", 8.0, Budget(), Spent.ENDS, *_MASTERS),
            Stage(
                "fuse",
                5.0,
                Budget(),
                Spent.ENDS,
                "a new thread a rung below; a network that hung costs all networks, they share a device",
                "fused frames that the ring of 32 cannot hold meanwhile; masters have every one of them",
            ),
            Stage(
                "encode",
                8.0,
                Budget(),
                Spent.ENDS,
                "a new encoder with the next file",
                "up to 0.2 s of the file left behind, and what the ring of 8 cannot hold; masters have them",
            ),
            Stage("exposure", 8.0, _OFTEN, Spent.LEFT_OFF, "a new control loop", "no frame; exposures stay"),
            Stage("viewer", 5.0, _OFTEN, Spent.LEFT_OFF, "a new thread", "pictures on the page"),
            Stage("heat", 8.0, _OFTEN, Spent.LEFT_OFF, "a new thread", "the bands stay where they are"),
        )
    }
)


UNHURRIED: Final = MappingProxyType({name: row.patient(60.0) for name, row in STAGES.items()})
"""For a source that can wait: it loses nothing by patience, and such machines often do much else."""


def as_markdown() -> str:
    """The table as it stands in the documentation."""
    rows = [
        "| stage | hangs after | who takes over | what is lost | restarts | then |",
        "|---|---|---|---|---|---|",
    ]
    for stage in STAGES.values():
        budget = stage.budget
        often = "none" if budget is None else f"{budget.restarts} in {budget.window_s:.0f} s"
        rows.append(
            f"| {stage.name} | {stage.limit_s:g} s | {stage.successor} | {stage.lost} | {often} "
            f"| {stage.spent.value} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
