"""A buffer: appended to without a lock, drained under one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import repeat, starmap
from typing import Generic, TypeVar

T = TypeVar("T")

#: Items that a full buffer may have before whoever appends waits for the lock: it would grow without bound.
_OVERFULL = 16


class Buffer(Generic[T]):
    """Items that somebody consumes later, in their order.

    Args:
        consume: Called with all items so far, under the lock.
        lock: Whatever `consume` needs.
        bound: Items at which an append drains.
    """

    def __init__(self, consume: Callable[[list[T]], None], lock: threading.Lock, bound: int = 1024) -> None:
        # The documentation of deque promises that appends and pops from either end are thread-safe.
        self._items: deque[T] = deque()
        self._consume = consume
        self._lock = lock
        self._bound = bound
        #: Appends one item; takes no lock, unless the buffer is full.
        self.append = self._append

    def _append(self, item: T) -> None:
        self._items.append(item)
        size = len(self._items)
        # Without waiting: whoever holds the lock drains, and nobody queues up behind it.
        if size >= self._bound and self._lock.acquire(blocking=size >= self._bound * _OVERFULL):
            try:
                self._drain()
            finally:
                self._lock.release()

    def drain(self) -> None:
        """Have all items so far consumed."""
        with self._lock:
            self._drain()

    def _drain(self) -> None:
        # Only the holder of the lock pops, so that many are there.
        items = list(starmap(self._items.popleft, repeat((), len(self._items))))
        if items:
            self._consume(items)
