"""What a person at the page sees of a recording, looked at five times a second from beside it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

PERIOD_S = 0.2


class Watch:
    """Asks /api/status in a thread. ``fetch`` gives the text of a path of the page, None without one."""

    def __init__(self, fetch: Callable[[str], str | None]) -> None:
        self._fetch = fetch
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._now: dict[str, dict[str, Any]] = {}
        self.named: dict[str, str] = {}
        """The first text of every condition that was seen false since ``begin``."""
        self.events: list[str] = []
        """What the page listed under events, each once."""
        self.status: dict[str, Any] = {}
        """The whole of the last answer."""
        self.slowest_s = 0.0
        self.unanswered = 0
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """What was seen up to here is forgotten: the fault comes now."""
        with self._lock:
            self.named, self.slowest_s, self.unanswered = {}, 0.0, 0

    def text(self, name: str) -> str | None:
        """What the page says of a condition that is false now; None where it is good or not known."""
        with self._lock:
            return _text(self._now[name]) if name in self._now and not self._now[name]["ok"] else None

    @property
    def false(self) -> list[str]:
        """Conditions that are false now."""
        with self._lock:
            return [name for name, row in self._now.items() if not row["ok"]]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            begin_s = time.monotonic()
            answer = self._fetch("/api/status")
            took_s = time.monotonic() - begin_s
            with self._lock:
                if answer is None:
                    self.unanswered += bool(self._now)  # before the first answer it is only starting
                    continue
                self.slowest_s = max(self.slowest_s, took_s)
                status = self.status = json.loads(answer)
                self._now = {row["name"]: row for row in status["conditions"]}
                for name, row in self._now.items():
                    if not row["ok"]:
                        self.named.setdefault(name, _text(row))
                for event in status["events"]:
                    if event["text"] not in self.events:
                        self.events.append(event["text"])


def _text(row: dict[str, Any]) -> str:
    return f"{row['name']}: {row['text']} {row['todo']}".strip()
