"""Tasks on a Ray cluster: as many at once as it has processors, each tried again when its worker dies.

Ray (Apache License 2.0) is optional, ``pip install 'twinhdr[ray]'``. Every machine needs the same twinhdr,
and the sessions under the same path.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edge.errors import UnavailableError
from edge.refusing.task import SegmentTask, TaskDone, try_task

if TYPE_CHECKING:
    from types import ModuleType

RETRIES = 3
"""How often a task may lose its worker (killed, out of memory, machine gone) before it is given up."""


def run_on_ray(tasks: Sequence[SegmentTask], address: str | None) -> Iterator[tuple[SegmentTask, TaskDone]]:
    """Each task with what came of it, as they end; every thread of a task has a processor reserved.

    ``address`` None: a cluster of this machine alone, ended afterwards. Raises UnavailableError where Ray is
    not installed or the cluster does not answer.
    """
    ray = _connected(address)
    try:
        largest = max(int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"])
        remote = ray.remote(max_retries=RETRIES)(refuse_segment)

        def begin(task: SegmentTask) -> Any:
            # Machines with fewer processors than a task has threads do it too, only slower.
            return remote.options(num_cpus=min(task.threads, max(largest, 1))).remote(task)

        waiting = {begin(task): task for task in tasks}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for reference in ready:
                task = waiting.pop(reference)
                yield task, _result(ray, reference, task)
    finally:
        ray.shutdown()


def refuse_segment(task: SegmentTask) -> TaskDone:
    """What a worker runs; its name is what ``ray status`` and ``ps`` show."""
    return try_task(task)


def _result(ray: ModuleType, reference: Any, task: SegmentTask) -> TaskDone:
    try:
        done: TaskDone = ray.get(reference)
    except ray.exceptions.RayError as error:
        where = f"{task.session}: segment {task.number}: {type(error).__name__}"
        lost = f"its worker was lost {RETRIES + 1} times; see Ray's log, then run the command again"
        return TaskDone(task.number, 0, f"{where}: {lost}")
    return done


def _connected(address: str | None) -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UnavailableError(
            "Ray is not installed: pip install 'twinhdr[ray]', or leave --ray and --address out"
        ) from None
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        settings["include_dashboard"] = False
    try:
        ray.init(address=address, **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UnavailableError(
            f"no Ray cluster at {address or 'this machine'}: {error}; start one with: ray start --head"
        ) from error
    module: ModuleType = ray
    return module
