"""The buffer: what is counted without a lock. Append now, count later, in order, under the lock.

One list gathers the records. Why no record is lost, doubled or moved:

- `append` and `extend` of a list, and the assignment to a slice of one, are atomic: the Python FAQ names all three
  under "What kinds of global value mutation are thread-safe?" (https://docs.python.org/3/faq/library.html), and the
  free-threaded build keeps that promise with a lock in each list.
- Records are added at the end alone, and taken from the front alone.
- Only the holder of the lock takes. What is added between the copy of the front and its removal stands behind it.

The idea is that of the read buffer of Caffeine (https://github.com/ben-manes/caffeine/wiki/Design), which may drop a
record where this one never does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, Protocol, TypeVar

T = TypeVar("T")

#: Records that are gathered before the caller that adds one hands them on.
BOUND: Final = 1024
#: Past this many times the bound, a caller that adds a record waits for the lock: so the buffer is always bounded.
_PATIENCE: Final = 4


class Lock(AbstractContextManager[Any], Protocol):
    """What the buffer needs of its lock: that of `threading.Lock` and `threading.RLock`."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:
        """Take it; whether it was taken."""

    def release(self) -> None:
        """Give it back."""


class Buffer(Generic[T]):
    """Gathers records without a lock, and hands them on, in their order, under it.

    Args:
        consume: Takes the records so far. Called with the lock held, and never with none.
        lock: Guards what `consume` counts in. Where `consume` may reach this buffer again, a re-entrant one.
        bound: Records that are gathered before they are handed on, at least 1. While somebody else holds the lock there
            may be four times as many, and one for each thread.

    Attributes:
        items: The records that wait. For a caller to whom a method call is too much: `items.append(record)` or
            `items.extend(records)`, then `relieve()` if there are `bound` or more.
        lock: As above.
    """

    __slots__ = ("_consume", "bound", "items", "lock")

    def __init__(self, consume: Callable[[list[T]], None], lock: Lock, bound: int = BOUND) -> None:
        self._consume = consume
        self.lock = lock
        self.bound = bound
        self.items: list[T] = []

    def append(self, item: T) -> None:
        """Add a record. Takes no lock, but where the buffer is full."""
        items = self.items
        items.append(item)
        if len(items) >= self.bound:
            self.relieve()

    def relieve(self) -> None:
        """Hand on a full buffer. It waits for the lock only past `_PATIENCE`: the holder of the lock drains, too."""
        if self.lock.acquire(blocking=len(self.items) >= _PATIENCE * self.bound):
            try:
                self.drain_locked()
            finally:
                self.lock.release()

    def drain(self) -> None:
        """Hand on all records so far."""
        with self.lock:
            self.drain_locked()

    def drain_locked(self) -> None:
        """`drain` for a caller who holds the lock."""
        items = self.items
        count = len(items)
        if count:
            taken = items[:count]
            items[:count] = ()
            self._consume(taken)
