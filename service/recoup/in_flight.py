"""One budget for all that is on its way: bodies being read, results being sent, upstreams' answers.

The cache has a limit of its own. What passes by it, or waits to be sent from it, has this one, so that nobody fills the
memory by being slow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from recoup.errors import OverloadedError

#: What holds memory on its way: the values of the label `part`.
PARTS = ("bodies", "results", "answers")


class InFlight:
    """So many bytes at one time, over all parts. Safe under threads.

    Args:
        limit_bytes: The budget.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._used = dict.fromkeys(PARTS, 0)
        self._total = 0
        self._lock = threading.Lock()

    def used(self) -> dict[str, int]:
        """Bytes that are held now, by part."""
        with self._lock:
            return dict(self._used)

    def take(self, part: str, size: int, reserve: int = 0) -> None:
        """Hold so many bytes more; up to `reserve` past the limit.

        Raises:
            OverloadedError: The budget does not have them; nothing is held.
        """
        with self._lock:
            if self._total + size > self.limit_bytes + reserve:
                raise OverloadedError(
                    f"{self._total} bytes of bodies, results and upstreams' answers are on their way; "
                    f"with {size} more they would be over the limit of {self.limit_bytes} bytes."
                )
            self._total += size
            self._used[part] += size

    def give_back(self, part: str, size: int) -> None:
        """Hold so many bytes less."""
        with self._lock:
            self._total -= size
            self._used[part] -= size


class Holding:
    """What one request or one answer holds of the budget: it grows, and is given back once.

    Args:
        budget: What it is taken from.
        part: One of `PARTS`.
        reserve: Bytes past the budget's limit that it may go.
    """

    __slots__ = ("_budget", "_part", "_reserve", "size")

    def __init__(self, budget: InFlight, part: str, reserve: int = 0) -> None:
        self._budget = budget
        self._part = part
        self._reserve = reserve
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            OverloadedError: The budget does not have them.
        """
        if size:
            self._budget.take(self._part, size, self._reserve)
            self.size += size

    def hand_over(self) -> Holding:
        """Another holding with all that this one holds, which is empty from now on."""
        other = Holding(self._budget, self._part, self._reserve)
        other.size, self.size = self.size, 0
        return other

    def release(self) -> None:
        """Give all of it back. A second time does nothing."""
        size, self.size = self.size, 0
        if size:
            self._budget.give_back(self._part, size)


_current: ContextVar[InFlight | None] = ContextVar("recoup_in_flight", default=None)


@contextmanager
def budget_of_this_context(budget: InFlight) -> Iterator[None]:
    """Let what runs inside, and the tasks that it begins, hold upstreams' answers in `budget`."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def answer_in_flight() -> Iterator[Holding]:
    """What an upstream's answer holds while it is read; given back at the end. Without a budget, no limit.

    A pipeline calls `grow` with the size of every piece that it reads, before it keeps it.
    """
    holding = Holding(_current.get() or _UNLIMITED, "answers")
    try:
        yield holding
    finally:
        holding.release()


_UNLIMITED = InFlight(2**63)
