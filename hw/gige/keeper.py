"""The thread that opens, sets, watches and rebuilds one camera.

All calls to the device are made here, because each may block for seconds once the camera is gone. What is
known to be gone is handed to a thread of its own to be closed, so that a camera that comes back is opened at
once.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError

from edge.errors import TwinhdrError
from edge.frames import Exposure
from hw.camera import CameraError, CameraLostError
from hw.gige import gvcp, watch
from hw.gige.aravis import HeldError
from hw.gige.discovery import Found, is_there, look
from hw.gige.link import Link
from hw.gige.plan import CameraPlan
from hw.gige.slot import Slot, bare

log = logging.getLogger(__name__)

TURN_S = 0.05
RETRY_S = 0.2
SEARCH_S = 3.0
"""Looking for a camera under another address takes a second in which the other one cannot be opened."""


class Keeper:
    """Keeps ``slot`` filled with an opened camera. Methods may be called from any thread."""

    def __init__(self, plan: CameraPlan, slot: Slot, exposures: Sequence[Exposure]) -> None:
        self._plan = plan
        self._slot = slot
        self._exposures = tuple(exposures)
        self._requests: queue.Queue[Callable[[], None]] = queue.Queue()
        self._ending = threading.Event()
        self._opened: Future[Found] = Future()
        self._found: Found | None = None
        self._packet_size: int | None = None
        self._filming = self._one_edge = self._dirty = False
        self._told = ""
        self._fruitless = 0
        self._retry_ns = self._search_ns = 0
        self._closing: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name=f"keeper {plan.name}", daemon=True)

    def open(self, timeout_s: float) -> None:
        """Start, and wait for the camera: one that is missing or held may come, any other fault raises.

        Raises CameraError, UnavailableError.
        """
        self._thread.start()
        try:
            self._found = self._opened.result(timeout_s)
        except NotInTimeError:
            error = self._slot.problem
            self.end(wait_s=0.0)
            raise error or CameraLostError(f"{self._plan.where}: not opened within {timeout_s:g} s") from None
        except BaseException:
            self.end(wait_s=0.0)
            raise

    @property
    def address(self) -> str:
        """Of the camera that was found last; empty for USB."""
        return self._found.address if self._found is not None and self._found.is_gige else ""

    def ask(self, work: Callable[[Link], None], timeout_s: float) -> None:
        """Do ``work`` with the opened camera, in the keeper's thread; raises what it raises."""
        done: Future[None] = Future()

        def request() -> None:
            try:
                link = self._slot.link
                if link is None:
                    raise CameraLostError(f"{self._plan.where}: it is not there just now")
                work(link)
                done.set_result(None)
            except TwinhdrError as error:
                done.set_exception(error)

        self._requests.put(request)
        try:
            done.result(timeout_s)
        except NotInTimeError:
            raise CameraLostError(f"{self._plan.where}: no answer within {timeout_s:g} s") from None

    def film(self, source: str | None) -> None:
        """Let frames come, at once or after an edge; from now on a lost camera is rebuilt filming."""
        self.ask(lambda link: self._film(link, source), timeout_s=10.0)

    def set_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Use these from now on, whatever happens to the camera meanwhile. Returns at once."""
        if tuple(exposures) == self._exposures:
            return
        self._exposures = tuple(exposures)
        if not self._dirty:
            self._dirty = True
            self._requests.put(self._write_exposures)

    def frame_came(self) -> None:
        """The reader took a frame: the next exposure is due where the host writes it."""
        link = self._slot.link
        if link is not None and link.by_host and self._requests.empty():
            self._requests.put(self._next_exposure)

    def end(self, wait_s: float) -> None:
        """Close the camera. A camera that does not answer is left to a thread that ends by itself."""
        self._ending.set()
        self._requests.put(lambda: None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(wait_s)

    # the keeper's own thread from here on

    def _run(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(queue.Empty):
                self._requests.get(timeout=TURN_S)()
            if not self._ending.is_set():
                self._turn()
        link = self._slot.take_out()
        if link is None:
            return
        if self._answers():
            link.close(answers=True)
        else:
            self._close(link, answers=False)

    def _turn(self) -> None:
        link, now_ns = self._slot.link, time.monotonic_ns()
        try:
            if link is None:
                if now_ns >= self._retry_ns:
                    self._retry_ns = now_ns + round(RETRY_S * 1e9)
                    self._open_again(now_ns)
            elif self._filming:
                self._watch(link, now_ns)
        except CameraLostError as error:
            self._lost(str(error), answers=False)
        except TwinhdrError as error:
            self._failed(error)

    def _open_again(self, now_ns: int) -> None:
        found = self._find(now_ns)
        if found is None:
            return
        self._closing = [thread for thread in self._closing if thread.is_alive()]
        if found.is_gige and (controller := gvcp.controller(found.address)) is not None:
            if not self._closing:  # else it may still be us
                raise HeldError(
                    f"{self._plan.where} ({found.model}, serial {found.serial}, {found.address}) is held by "
                    f"{controller}; close that application, it is tried again all the time"
                )
            return
        link = Link(self._plan, found, self._exposures, self._packet_size)
        self._found, self._packet_size, self._told = found, link.packet_size, ""
        self._slot.put(link)
        if self._filming:
            self._film(link, self._plan.source if self._plan.paced else None)
        if not self._opened.done():
            self._opened.set_result(found)

    def _find(self, now_ns: int) -> Found | None:
        """The camera, if it is there. One that was there before is asked at its old address first."""
        if self._found is not None:
            if is_there(self._found):
                return self._found
            if self._found.is_gige and (self._plan.selector.ip is not None or now_ns < self._search_ns):
                self._slot.explain(f"it does not answer at {self._found.address}")
                return None
        self._search_ns = now_ns + round(SEARCH_S * 1e9)
        return look(self._plan.selector, self._plan.where)

    def _film(self, link: Link, source: str | None) -> None:
        self._slot.filming(time.monotonic_ns(), armed=source is not None and not self._filming)
        selector = link.film(source)
        self._filming = True
        self._one_edge = source is not None and not self._plan.paced and selector != "AcquisitionStart"

    def _watch(self, link: Link, now_ns: int) -> None:
        watched = self._slot.watched()
        if watched.frames and self._one_edge:
            self._one_edge = False
            link.run_free()  # else a burst ends, or every frame wants an edge of its own
        if watched.frames:
            self._fruitless = 0
        verdict = watch.judge(watched, now_ns, self._plan.period_ns)
        if verdict is watch.Verdict.NO_EDGE:
            log.error("%s saw no edge on %s; it is started by software", self._plan.where, self._plan.source)
            self._slot.no_edge()
            link.run_free()
        elif verdict is watch.Verdict.SILENT and not link.waiting():
            self._silent(now_ns, watched)

    def _silent(self, now_ns: int, watched: watch.Watched) -> None:
        if not self._answers():
            self._lost("it does not answer", answers=False)
        elif self._found is not None and self._found.is_gige and not gvcp.controller(self._found.address):
            self._lost("it was started anew", answers=False)
        elif watch.silent_for_ns(watched, now_ns) > watch.GIVEN_UP_NS:
            self._lost("it answers but sends no frames", answers=True)

    def _answers(self) -> bool:
        found = self._found
        if found is None or not found.is_gige:
            return self._slot.frame_age_ns(time.monotonic_ns()) < watch.GIVEN_UP_NS
        return is_there(found) or is_there(found)  # one packet may get lost

    def _lost(self, why: str, *, answers: bool) -> None:
        link = self._slot.take_out()
        self._slot.lost(why)
        if link is None:
            return
        log.warning("%s lost: %s", self._plan.where, why)
        self._fruitless += 1
        pause_s = min(5.0, RETRY_S * 2 ** (self._fruitless - 1)) if answers else RETRY_S
        self._retry_ns = time.monotonic_ns() + round(pause_s * 1e9)
        self._close(link, answers)

    def _failed(self, error: TwinhdrError) -> None:
        """An opening that did not succeed, or a setting that was refused."""
        self._slot.refused(error)
        if str(error) != self._told:
            self._told = str(error)
            log.error("%s", error)
        if not self._opened.done() and not isinstance(error, HeldError):
            self._opened.set_exception(bare(error))
        link = self._slot.take_out()
        if link is not None:
            self._close(link, answers=True)

    def _close(self, link: Link, answers: bool) -> None:
        closing = threading.Thread(
            target=link.close, args=(answers,), name=f"closing {self._plan.name}", daemon=True
        )
        self._closing.append(closing)
        closing.start()

    def _write_exposures(self) -> None:
        self._dirty = False
        link = self._slot.link
        if link is None:
            return  # they are set when it is opened again
        try:
            link.set_exposures(self._exposures)
        except CameraLostError as error:
            self._lost(str(error), answers=False)
        except CameraError as error:
            log.error("%s: exposures refused: %s", self._plan.where, error)

    def _next_exposure(self) -> None:
        link = self._slot.link
        if link is None or not link.by_host:
            return
        try:
            link.shutter.next()
        except CameraLostError as error:
            self._lost(str(error), answers=False)
        except CameraError as error:
            log.error("%s: exposure refused: %s", self._plan.where, error)
