"""``twinhdr run``: open what the configuration names, record, and leave everything closed."""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from edge.capture.rig import OpenRig, open_rig
from edge.config.schema import Config
from edge.daemon.daemon import Daemon, Parts
from edge.daemon.housekeeping import Housekeeper
from edge.engines import Engine
from edge.frames import CameraName
from edge.fuse.assembly import aligner_of
from edge.fuse.fuser import probe_engine
from edge.fuse.ladder_plan import Fusion, open_fusion
from edge.fuse.late_engines import Awaited, EngineWatch, Late, Means
from edge.health.health import Health
from edge.health.report import Reporter
from edge.session.recording import SessionHeader, SessionWriter
from edge.settings.reload import Reload
from edge.store.start import new_session
from edge.store.wallclock import synchronised
from edge.supervise.notify import Notifier
from edge.supervise.page import PageKeeper
from edge.supervise.start import CAMERAS, MEASURING_S, SLACK_S, StopAskedError, open_when_there
from edge.viewfinder.preview import PreviewHub
from edge.web.appliance import start_page

log = logging.getLogger(__name__)


def run_daemon(
    config: Config,
    duration_s: float | None,
    session_dir: Path | None,
    reload: Reload | None = None,
) -> int:
    """Record until ``duration_s`` of session time, SIGINT or SIGTERM. Returns the exit code.

    ``reload`` changes ``config`` while it records; None: nothing does. Started by systemd it tells how it is
    doing, and waits for cameras and a disk that are not there yet.

    Raises TwinhdrError for what a person can repair; a stage that fails raises its own error after all files
    have been closed.
    """
    health, hub, notifier = Health(), PreviewHub(), Notifier.from_environment()
    stopper = _Stopper()
    try:
        with (
            contextlib.closing(notifier),
            _signals(stopper),
            _page(config, health, hub, None if reload is None else reload.path) as page,
            ExitStack() as closing,
        ):
            if notifier.present:
                faulthandler.enable()  # the watchdog ends what hangs by SIGABRT: the log shows where it hung
            attempt_s = 2.0 * config.gige.open_timeout_s
            opened = open_when_there(CAMERAS, lambda: open_rig(config), health, notifier, attempt_s=attempt_s)
            closing.callback(_release, opened)
            fusion = _measured(config, opened, health, notifier)
            session = new_session(
                config.store.root,
                session_dir,
                partial(session_header, config, opened),
                health,
                wait=notifier.present,
                pause=partial(_patiently, notifier),
            )
            reporter = Reporter(health, session.sidecar)
            reporter.fusion(fusion, opened.rig.reference.info.frame_period_us / 1e3)
            health.text("session", session.path.name)
            health.text("source", opened.source)
            health.gauge("age_limit_ms", config.pair.max_age_ms)
            log.info("recording %s to %s", opened.source, session.path)
            daemon = Daemon(Parts(config, opened, fusion, session, reporter, hub), duration_s, notifier)
            stopper.daemon = daemon
            closing.enter_context(contextlib.closing(watch := engine_watch(config, fusion, daemon, reporter)))
            _record(daemon, config, session, health, watch, page, reload)
    except StopAskedError:
        log.info("asked to stop before recording began")
        return 0
    log.info("recording ended; session %s", session.path)
    return 0


def _measured(config: Config, opened: OpenRig, health: Health, notifier: Notifier) -> Fusion:
    """The networks, opened and measured: the start of minutes on a small machine."""
    said = "measuring what the networks cost on this machine"
    log.info("%s", said)
    health.event(time.monotonic_ns(), said)
    notifier.extend(MEASURING_S)
    notifier.status(said)
    info = opened.rig.reference.info
    return open_fusion(
        config.fuse,
        width=info.width,
        height=info.height,
        period_ns=info.frame_period_us * 1e3,
        can_wait=opened.can_wait,
        aligner=aligner_of(config),
    )


def _release(opened: OpenRig) -> None:
    """Give back cameras that never filmed, too: a GigE camera is held by who opened it."""
    for stop in (opened.rig.reference.stop, opened.rig.secondary.stop, opened.rig.trigger.stop):
        stop()


def engine_watch(config: Config, fusion: Fusion, daemon: Daemon, reporter: Reporter) -> EngineWatch:
    """Brings engines that become ready later to the daemon's fusion line."""
    from edge.engines.choice import cut_for, on_gpu, proof_state

    aligner = aligner_of(config)

    def open_late(one: Awaited, tell: Callable[[str], None]) -> Engine | None:
        return on_gpu(one.model, one.size, cut_for(one.aligned), tell)

    def probe(engine: Engine) -> float:
        height, width = fusion.awaited[0].size
        return probe_engine(engine, height, width, aligner)

    def ready(late: Late) -> None:
        daemon.offer(late)
        reporter.engine_ready(late)

    means = Means(proof_state, open_late, probe, ready, reporter.models)
    return EngineWatch(fusion.awaited, fusion.problems, means)


def _record(
    daemon: Daemon,
    config: Config,
    session: SessionWriter,
    health: Health,
    watch: EngineWatch,
    page: PageKeeper,
    reload: Reload | None,
) -> None:
    begin_ns = time.monotonic_ns()
    housekeeper = Housekeeper(health, session, config.store)
    if reload is not None:
        reload.running.follow(daemon.configure)
        reload.running.follow(lambda config: housekeeper.configure(config.store))

    def every_second() -> bool:
        now_ns = time.monotonic_ns()
        watch.poll()
        page.poll(now_ns / 1e9)
        if reload is not None:
            with daemon.reloading() if reload.asked else contextlib.nullcontext():
                reload.poll(now_ns, health)
        return housekeeper.tick((now_ns - begin_ns) / 1e9, now_ns)

    try:
        with contextlib.closing(housekeeper):
            housekeeper.start()
            daemon.run(every_second)
    except BaseException:
        session.sidecar.close()
        raise
    session.sidecar.end()


def _patiently(notifier: Notifier, seconds: float) -> None:
    """Wait, and have systemd wait as well."""
    notifier.extend(seconds + SLACK_S)
    notifier.status("waiting for the disk")
    time.sleep(seconds)


def session_header(config: Config, opened: OpenRig, name: str) -> SessionHeader:
    """What the session says of itself."""
    cameras: dict[CameraName, Any] = {
        "reference": opened.rig.reference.info,
        "secondary": opened.rig.secondary.info,
    }
    return SessionHeader(
        session_id=name,
        started_utc=_utc_now().isoformat(timespec="seconds"),
        software=software_version(),
        clock_synchronised=synchronised(),
        cameras=cameras,
        exposures={
            "reference": (opened.reference_exposure,),
            "secondary": opened.secondary_exposures,
        },
        colour={
            "white_balance": list(config.develop.white_balance),
            "colour_matrix": config.develop.colour_matrix,
        },
        calibration=opened.calibration.to_dict(),
        config=config.model_dump(mode="json"),
        simulator=opened.simulator,
        transfer=opened.transfer,
    )


def software_version() -> str:
    """``twinhdr`` and its version."""
    try:
        return f"twinhdr {version('twinhdr')}"
    except PackageNotFoundError:
        return "twinhdr (not installed)"


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


@contextlib.contextmanager
def _page(config: Config, health: Health, hub: PreviewHub, main: Path | None = None) -> Iterator[PageKeeper]:
    """The live page, if configured. A taken port costs the page, never the recording."""
    with contextlib.closing(PageKeeper(lambda: start_page(config, health, hub, main), health)) as page:
        yield page


class _Stopper:
    """What SIGINT and SIGTERM do: end the recording in order, or the waiting for it at once."""

    def __init__(self) -> None:
        self.daemon: Daemon | None = None

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        if self.daemon is None:
            raise StopAskedError
        self.daemon.stop()


@contextlib.contextmanager
def _signals(stopper: _Stopper) -> Iterator[None]:
    """SIGINT and SIGTERM ask for the end."""
    before = {number: signal.signal(number, stopper) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
