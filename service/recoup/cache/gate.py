"""A gate: so many at one time, so many waiting, first come first served, and no more."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from recoup.errors import ConfigurationError, QueueFullError

#: Weight of the newest passage in the running mean of how long one takes.
_NEWEST_WEIGHT = 0.2


class Gate:
    """A context manager that lets at most `max_concurrent` callers through at one time.

    Args:
        max_concurrent: Callers inside at one time, at least 1.
        max_waiting: Callers that may wait for their turn, at least 0.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: A limit is out of its bounds.
        QueueFullError: On entering, when `max_waiting` callers wait already. It estimates when to come again.
    """

    def __init__(self, max_concurrent: int, max_waiting: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if max_concurrent < 1 or max_waiting < 0:
            raise ConfigurationError(
                f"a gate takes max_concurrent >= 1 and max_waiting >= 0, not {max_concurrent} and {max_waiting}"
            )
        self.max_concurrent = max_concurrent
        self.max_waiting = max_waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._waiters: deque[threading.Lock] = deque()
        self._in_progress = 0
        self._mean_seconds = 0.0
        self._entered = threading.local()

    @property
    def in_progress(self) -> int:
        """Callers inside now."""
        return self._in_progress

    @property
    def waiting(self) -> int:
        """Callers that wait for their turn now."""
        return len(self._waiters)

    def __enter__(self) -> Gate:
        with self._lock:
            turn = self._take_or_queue()
        if turn is not None:
            self._wait(turn)
        self._entered.at = self._clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        took = self._clock() - self._entered.at
        with self._lock:
            mean = self._mean_seconds
            self._mean_seconds = took if not mean else mean + _NEWEST_WEIGHT * (took - mean)
            self._pass_on()

    def _take_or_queue(self) -> threading.Lock | None:
        if self._in_progress < self.max_concurrent:
            self._in_progress += 1
            return None
        if len(self._waiters) >= self.max_waiting:
            raise QueueFullError(
                f"{self._in_progress} are generating and {len(self._waiters)} wait already",
                retry_after_seconds=self._estimate(),
            )
        turn = threading.Lock()
        turn.acquire()
        self._waiters.append(turn)
        return turn

    def _wait(self, turn: threading.Lock) -> None:
        try:
            turn.acquire()
        except BaseException:
            # An interrupt while waiting: leave the queue, or pass on the turn that has just been given.
            with self._lock:
                if turn in self._waiters:
                    self._waiters.remove(turn)
                else:
                    self._pass_on()
            raise

    def _pass_on(self) -> None:
        if self._waiters:
            self._waiters.popleft().release()
        else:
            self._in_progress -= 1

    def _estimate(self) -> int:
        rounds = (len(self._waiters) + 1) / self.max_concurrent
        return max(1, math.ceil(self._mean_seconds * rounds))
