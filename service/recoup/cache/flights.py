"""Single-flight: concurrent callers of one key share one generation.

A flight is a future that its leader resolves. Threads wait on it, and coroutines await it, so callers of both kinds
share one flight. A leader that is cancelled or interrupted abandons its flight, and its followers find a new leader.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Landing:
    """What a flight brought: the result, what its generation cost in seconds, and when it expires."""

    value: Any
    cost_seconds: float
    expires_in_seconds: float | None = None


#: What an abandoned flight brings: look again, and lead if nobody else does.
ABANDONED = Landing(None, 0.0)


class Flight:
    """One generation that others may wait for.

    Attributes:
        key: The key that is generated.
        pipeline: The name of its pipeline.
        thread: The ident of the thread that leads.
        task: The task that leads; None for a thread.
        future: Resolved with a `Landing`, or with the leader's error.
        detached: Its key was invalidated meanwhile: its result answers those who wait, and is not stored.
    """

    __slots__ = ("detached", "future", "key", "pipeline", "task", "thread")

    def __init__(self, key: Hashable, pipeline: str, thread: int, task: object) -> None:
        self.key = key
        self.pipeline = pipeline
        self.thread = thread
        self.task = task
        self.detached = False
        self.future: Future[Landing] = Future()
        # Running: so a follower that is cancelled cannot cancel it for the others.
        self.future.set_running_or_notify_cancel()

    def is_led_by(self, thread: int, task: object) -> bool:
        """Whether a caller in this thread and task would wait for itself, or was begun by the generation itself.

        A thread that waits stops every task in it, so a task may follow another task of its thread, a thread may not.
        """
        if self in _leading.get():
            return True
        if thread != self.thread:
            return False
        return task is None or self.task is None or task is self.task


#: The flights that the current context generates for. Tasks and `asyncio.to_thread` take it over from who begins them.
_leading: ContextVar[tuple[Flight, ...]] = ContextVar("recoup_leading", default=())


@contextmanager
def leading(flight: Flight) -> Iterator[None]:
    """Mark what is begun inside as part of a flight's generation."""
    before = _leading.get()
    _leading.set((*before, flight))
    try:
        yield
    finally:
        # Not `reset`: a coroutine that is dropped is closed in whatever context drops it.
        _leading.set(before)


class Flights:
    """The flights in progress, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[Hashable, Flight] = {}

    def join(self, key: Hashable, pipeline: str, thread: int, task: object) -> tuple[Flight, bool]:
        """The flight of a key, and whether the caller leads it because there was none."""
        with self._lock:
            flight = self._by_key.get(key)
            # One that has landed is still listed only if its key could not be looked up then.
            if flight is not None and not flight.future.done():
                return flight, False
            flight = self._by_key[key] = Flight(key, pipeline, thread, task)
            return flight, True

    def find(self, key: Hashable) -> Flight | None:
        """The flight of a key, if there is one."""
        return self._by_key.get(key)

    def land(self, flight: Flight, landing: Landing) -> None:
        """Answer everyone who waits, whatever the key's own methods do."""
        try:
            self._leave(flight)
        finally:
            flight.future.set_result(landing)

    def fail(self, flight: Flight, error: BaseException) -> None:
        """Give the leader's error to everyone who waits, whatever the key's own methods do."""
        try:
            self._leave(flight)
        finally:
            flight.future.set_exception(error)

    def detach(self, key: Hashable) -> None:
        """Let nobody else join the flight of a key, and let its result not be stored: the key was invalidated."""
        with self._lock:
            flight = self._by_key.pop(key, None)
            if flight is not None:
                flight.detached = True

    def detach_all(self, pipeline: str | None) -> None:
        """Detach the flights of a pipeline, or of all of them."""
        with self._lock:
            chosen = [flight for flight in self._by_key.values() if pipeline in (None, flight.pipeline)]
        for flight in chosen:
            self.detach(flight.key)

    def _leave(self, flight: Flight) -> None:
        with self._lock:
            if self._by_key.get(flight.key) is flight:
                del self._by_key[flight.key]
