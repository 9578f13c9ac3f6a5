"""From configuration to what starts two real cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hw.camera import Trigger, TriggerError
from hw.trigger.board import Board
from hw.trigger.board_trigger import BoardTrigger, StartPlan
from hw.trigger.plan import PacePlan, pace_plan
from hw.trigger.start import ActionTrigger, NoTrigger, SoftwareTrigger

if TYPE_CHECKING:
    from edge.config.schema import Config


def open_trigger(
    config: Config,
    *,
    fire: Sequence[Callable[[], None]] = (),
    halt: Sequence[Callable[[], None]] = (),
    action: Callable[[], None] | None = None,
) -> Trigger:
    """The trigger that ``trigger.kind`` names, connected. Raises TriggerError.

    ``fire`` and ``halt`` start and stop one camera each, for kind software; ``action`` sends one command to
    both, for kind action. A driver gives what its cameras can do.
    """
    kind = config.trigger.kind
    if kind == "board":
        trigger = BoardTrigger(Board(config.trigger.port), board_plan(config))
        trigger.connect()
        return trigger
    if kind == "software" and fire:
        return SoftwareTrigger(fire, halt)
    if kind == "action" and action is not None:
        return ActionTrigger(action)
    if kind == "none":
        return NoTrigger()
    raise TriggerError(
        f"trigger.kind {kind}: the cameras of rig.source {config.rig.source} cannot be started so; "
        "set it to board, or to none to let them run freely"
    )


def board_plan(config: Config) -> StartPlan | PacePlan:
    """What the board is to do. Raises TriggerError where it cannot."""
    trigger, rig = config.trigger, config.rig
    if trigger.mode == "start":
        return StartPlan(trigger.pulse_us)
    return pace_plan(rig.reference.fps, rig.secondary.fps, trigger.pulse_us, trigger.silence_ms)
