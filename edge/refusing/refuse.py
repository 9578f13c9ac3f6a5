"""``twinhdr refuse``: fuse recordings again, offline, with no deadline and the same code as the device.

A recording is cut into tasks of one file each (``edge.refusing``). They run here one after the other, or on a
Ray cluster side by side; what comes out is the same to the byte, and what an interrupted run finished is not
done again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge.engines import open_engine
from edge.errors import TwinhdrError
from edge.fuse.line import Fused
from edge.refusing.plan import make_plan
from edge.refusing.pool import run_on_ray
from edge.refusing.store import Refused, Work
from edge.refusing.task import SegmentTask, TaskDone, full_scale, run_task, try_task
from edge.session.recording import Session
from edge.session.sidecar import FILE_NAME as LINES
from edge.store.lock import reading

__all__ = ["RefuseJob", "Refused", "full_scale", "refuse", "refuse_sessions", "refuse_with_progress"]

THREADS = 2
"""Of the network. Its sums come out otherwise, by a rounding here and there, on another number of threads; so
the number is the same on every machine unless somebody asks for another. Many cores want many tasks."""


@dataclass(frozen=True, slots=True)
class RefuseJob:
    """What ``twinhdr refuse`` was asked for. ``ray``: on a cluster, its own where ``address`` is None.

    ``threads`` of the network for each task, 0: one per core of this machine. ``again``: also what is done.
    """

    sessions: tuple[Path, ...]
    model: str = "s"
    threads: int = THREADS
    ray: bool = False
    address: str | None = None
    again: bool = False


def refuse(
    session: Session,
    model: str,
    threads: int = 0,
    on_fused: Callable[[Fused], None] | None = None,
    advance: Callable[[], None] | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> Refused:
    """Fuse all of ``session`` with ``model`` into ``refused/<model>`` inside it, on the GPU where it has an
    engine.

    ``on_fused`` sees each frame with its images, ``advance`` is called once a frame, ``tell`` hears why a GPU
    stays idle. Raises EngineError, SessionError, EncodeError.
    """

    def each(fused: Fused) -> None:
        if on_fused is not None:
            on_fused(fused)
        if advance is not None:
            advance()

    work = open_work(session, model, threads)
    work.begin(fresh=True)
    told: set[str] = set()
    for task in work.tasks(model):
        for note in run_task(task, each).notes:
            if note not in told:
                told.add(note)
                tell(note)
    return work.finish()


def open_work(session: Session, model: str, threads: int = THREADS) -> Work:
    """The plan of one session and its place on disk. Raises EngineError, SessionError."""
    threads = threads or len(os.sched_getaffinity(0))
    return Work(session, open_engine(model, 1).name, make_plan(session, model, threads), threads)


def refuse_with_progress(
    session: Session,
    model: str,
    description: str,
    console: Console,
    on_fused: Callable[[Fused], None] | None = None,
) -> Refused:
    """``refuse`` under a progress bar."""
    total = sum(1 for _ in session.frame_records("reference"))
    with _progress(console) as progress:
        task = progress.add_task(description, total=total or None)
        return refuse(
            session,
            model,
            on_fused=on_fused,
            advance=lambda: progress.advance(task),
            tell=lambda text: console.print(text, style="yellow", markup=False, soft_wrap=True),
        )


def refuse_sessions(job: RefuseJob, console: Console) -> int:
    """``twinhdr refuse``: every session that can be, one bar each. 0, or 1 where one of several failed.

    None of them is deleted meanwhile. Raises TwinhdrError where there is one session and it fails.
    """
    with contextlib.ExitStack() as held:
        for path in job.sessions:
            held.enter_context(reading(path / LINES))  # or it may be deleted to make room
        return _refuse_held(job, console)


def _refuse_held(job: RefuseJob, console: Console) -> int:
    works: list[Work] = []
    failed = 0
    for path in job.sessions:
        try:
            works.append(open_work(Session.open(path), job.model, job.threads))
        except TwinhdrError as error:
            if len(job.sessions) == 1:
                raise
            failed += 1
            console.print(str(error), style="red", markup=False, soft_wrap=True)
    todo = [work for work in works if job.again or not work.finished]
    errors = _run(todo, job, console)
    for work in works:
        found = errors.get(id(work), [])
        for text in found:
            console.print(text, style="red", markup=False, soft_wrap=True)
        if found:
            failed += 1
            continue
        _print(work, work.finish() if work in todo else work.report(), work not in todo, console)
    return 1 if failed else 0


def _run(works: Sequence[Work], job: RefuseJob, console: Console) -> dict[int, list[str]]:
    """Do every open task of ``works``; what failed, by work."""
    owners: dict[str, Work] = {}
    tasks: list[SegmentTask] = []
    errors: dict[int, list[str]] = {}
    with _progress(console) as progress:
        bars = {}
        for work in works:
            work.begin(fresh=job.again)
            mine = work.tasks(job.model)
            done = sum(len(task.frames) for task in mine if task.done)
            bars[id(work)] = progress.add_task(work.session.path.name, total=work.plan.frames, completed=done)
            owners |= {task.work: work for task in mine}
            tasks += [task for task in mine if not task.done]
        notes: set[str] = set()
        for task, ended in _ended(tasks, job, lambda task: progress.advance(bars[id(owners[task.work])])):
            work = owners[task.work]
            if job.ray:
                progress.advance(bars[id(work)], ended.frames)
            if ended.error:
                errors.setdefault(id(work), []).append(ended.error)
            for note in set(ended.notes) - notes:
                notes.add(note)
                console.print(note, style="yellow", markup=False, soft_wrap=True)
    return errors


def _ended(
    tasks: Sequence[SegmentTask], job: RefuseJob, advance: Callable[[SegmentTask], None]
) -> Iterator[tuple[SegmentTask, TaskDone]]:
    if job.ray:
        if tasks:
            yield from run_on_ray(tasks, job.address)
        return
    for task in tasks:

        def one_more(_: Fused, task: SegmentTask = task) -> None:
            advance(task)

        yield task, try_task(task, one_more)


def _print(work: Work, done: Refused, before: bool, console: Console) -> None:
    for problem in work.session.problems:
        console.print(f"skipped: {problem}", style="yellow", markup=False)
    rungs = ", ".join(f"{count} on {rung.name.lower()}" for rung, count in sorted(done.rungs.items()))
    how = " (done before)" if before else ""
    console.print(f"{done.frames} frames ({rungs}) in {done.folder}{how}", markup=False)
    for cause, count in sorted(done.drops.items()):
        console.print(f"{count} secondary frames not used: {cause}", markup=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)
