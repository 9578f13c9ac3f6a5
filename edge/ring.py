"""The only queue between stages: bounded, and the producer of a live stream never waits.

A ring holds the newest ``capacity`` items. When a live producer finds it full, the oldest item goes and is
handed to ``on_drop``, so that every loss is counted where it happened. A source that can wait (a recording, a
simulation) calls ``put_waiting`` instead and loses nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING_S = 0.5


class Closed(Exception):  # noqa: N818 - the normal end of a stream, not an error
    """The ring is closed and empty."""


class Ring(Generic[T]):
    """A bounded FIFO for one producer side and one consumer, with drop-oldest on overflow."""

    def __init__(self, name: str, capacity: int, on_drop: Callable[[T], None]) -> None:
        if capacity < 1:
            raise ValueError(f"ring {name}: capacity must be at least 1, got {capacity}")
        self.name = name
        self.capacity = capacity
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Append without waiting; on overflow the oldest item is dropped and reported."""
        dropped: T | None = None
        with self._changed:
            if self._closed:
                dropped = item
            else:
                if len(self._items) >= self.capacity:
                    dropped = self._items.popleft()
                self._items.append(item)
                self._changed.notify_all()
        if dropped is not None:
            self._on_drop(dropped)

    def put_waiting(self, item: T, waiting: Callable[[], None] = lambda: None) -> bool:
        """Append, waiting for room. False (and the item reported as dropped) if the ring closes first.

        ``waiting`` is called meanwhile, every WAITING_S: who waits for another is not hung.
        """

        def room() -> bool:
            return self._closed or len(self._items) < self.capacity

        with self._changed:
            while not self._changed.wait_for(room, WAITING_S):
                waiting()
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
                return True
        self._on_drop(item)
        return False

    def get(self, timeout_s: float | None = None) -> T | None:
        """The oldest item; None after ``timeout_s`` without one. Raises Closed at the end of the stream."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._closed:
                raise Closed(self.name)
            return None

    def give_back(self, item: T) -> None:
        """Make ``item`` the oldest again: who got it was replaced before it began with it."""
        with self._changed:
            self._items.appendleft(item)
            self._changed.notify_all()

    def close(self) -> None:
        """End the stream: what is inside can still be read, nothing new is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
