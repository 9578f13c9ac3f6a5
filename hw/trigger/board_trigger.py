"""The trigger board as ``hw.camera.Trigger``: a common start, or paced lines that are kept alive."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from edge.errors import first_line
from hw.camera import CameraState, TriggerError
from hw.trigger.board import Board
from hw.trigger.codes import Mode
from hw.trigger.plan import PacePlan
from hw.trigger.start import StartEdge

log = logging.getLogger(__name__)

BEATS_PER_SILENCE = 5
"""Requests within the time after which the board gives up: four may fail."""


@dataclass(frozen=True, slots=True)
class StartPlan:
    """One common edge; each camera then films at its own pace. 0: the lines stay up until ``stop``."""

    pulse_us: float


class BoardTrigger:
    """Gives the common edge through ``board``; implements ``hw.camera.Trigger``.

    ``edge`` is the last start, with its uncertainty. ``restarts`` counts paces begun again because the board
    had been unplugged, reset, or out of touch for longer than it waits; the gap has no frames.
    """

    def __init__(self, board: Board, plan: StartPlan | PacePlan) -> None:
        self._board = board
        self._plan = plan
        self._stopping = threading.Event()
        self._keeper: threading.Thread | None = None
        self.edge: StartEdge | None = None
        self.restarts = 0
        self._trouble = ""

    def state(self, now_ns: int) -> CameraState:
        """See Watched. Only a pace needs the board after the start."""
        trouble = self._trouble
        todo = "Plug it in; pacing begins again by itself."
        return CameraState(not trouble, f"{trouble}; the cameras get no pulses.", todo, self.restarts)

    def connect(self) -> None:
        """Find and pair the board now, so that a missing one is told before the cameras are armed.

        Drops lines that a recorder left up when it was killed. Raises TriggerError.
        """
        info = self._board.connect()
        self._board.stop()
        if info.is_older_than_host:
            log.warning(
                "trigger board: firmware %d is older than this twinhdr; twinhdr trigger flash",
                info.firmware_version,
            )

    def start(self) -> int:
        """See Trigger. The time is the middle of the request; see ``edge`` for its uncertainty."""
        if isinstance(self._plan, StartPlan):
            self.edge = self._board.start(self._plan.pulse_us)
        else:
            self.edge = self._board.pace(self._plan)
            self._stopping.clear()
            self._keeper = threading.Thread(target=self._keep_alive, args=(self._plan,), name="trigger")
            self._keeper.start()
        log.info("common start edge known to %.2f ms", self.edge.uncertainty_ns / 1e6)
        return self.edge.t_ns

    def stop(self) -> None:
        """Drop the lines. A board that is gone has dropped them itself, so that is no error."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        try:
            self._board.stop(deadline_s=0.5)
        except TriggerError as error:
            log.warning("lines not dropped by command, but without the board they are low: %s", error)
        self._board.close()

    def _keep_alive(self, plan: PacePlan) -> None:
        beat_s = plan.silence_ms / 1e3 / BEATS_PER_SILENCE
        was_lost = False
        while not self._stopping.wait(beat_s):
            try:
                status = self._board.status(deadline_s=beat_s)
                if status.mode is not Mode.PACED:
                    log.error("trigger board stopped pacing (%s); pacing again", status.fault.name.lower())
                    self._board.pace(plan)
                    self.restarts += 1
                was_lost, self._trouble = False, ""
            except TriggerError as error:
                self._trouble = first_line(error).split(". ")[0]
                if not was_lost:
                    log.error("%s; trying again until the recording ends", error)
                was_lost = True
