"""The write-behind queue: what waits to be stored in a tier. Bounded in bytes: it drops rather than waits."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from recoup.cache.tier import TierEntry

#: What the queue itself takes for each result.
_OVERHEAD: Final = 512


class Waiting(NamedTuple):
    """A result that waits, or is being written. Numbers ascend: of two events in a tier, the later has the greater."""

    number: int
    entry: TierEntry


class WriteQueue:
    """Results on their way into a tier, in their order; of each key the newest alone. Safe under threads.

    What waits or is being written can be looked up. Also gives the numbers by which writes and invalidations are
    ordered.

    Args:
        max_bytes: How much may wait, counted by the sizes in memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._waiting: dict[str, Waiting] = {}
        self._writing: dict[str, Waiting] = {}
        self._bytes = 0
        self._number = 0
        self._closed = False

    @property
    def bytes(self) -> int:
        """What waits or is being written."""
        return self._bytes

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or is being written."""
        return not self._waiting and not self._writing

    def is_past(self, number: int) -> bool:
        """Whether all that was put in before an event is done."""
        with self._changed:
            oldest = [next(iter(part.values())).number for part in (self._waiting, self._writing) if part]
            return all(old > number for old in oldest)

    def next_number(self) -> int:
        """The number of an event that is no write."""
        with self._changed:
            self._number += 1
            return self._number

    def advance(self, number: int) -> None:
        """Have all further numbers be greater than this one."""
        with self._changed:
            self._number = max(self._number, number)

    def put(self, entry: TierEntry) -> tuple[bool, TierEntry | None]:
        """Let a result wait.

        Returns:
            Whether there was room for it; and the older result of its key that it replaces.
        """
        size = entry.size_bytes + _OVERHEAD
        with self._changed:
            old = self._waiting.get(entry.key)
            before = 0 if old is None else old.entry.size_bytes + _OVERHEAD
            if self._closed or self._bytes - before + size > self._max_bytes:
                return False, None
            if old is not None:
                del self._waiting[entry.key]
            self._number += 1
            self._waiting[entry.key] = Waiting(self._number, entry)
            self._bytes += size - before
            self._changed.notify_all()
            return True, None if old is None else old.entry

    def find(self, key: str) -> Waiting | None:
        """What waits or is being written for a key."""
        with self._changed:
            return self._waiting.get(key) or self._writing.get(key)

    def take(self, most: int, most_bytes: int, timeout: float | None) -> list[Waiting]:
        """The next results to be written, oldest first; empty where there is none within `timeout` seconds.

        They are being written until `done` is called. At least one is taken, however large.
        """
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout)
            taken: list[Waiting] = []
            size = 0
            for waiting in self._waiting.values():
                size += waiting.entry.size_bytes
                if len(taken) == most or (taken and size > most_bytes):
                    break
                taken.append(waiting)
            for waiting in taken:
                del self._waiting[waiting.entry.key]
                self._writing[waiting.entry.key] = waiting
            return taken

    def done(self, taken: list[Waiting]) -> None:
        """Let go of what was taken."""
        with self._changed:
            for waiting in taken:
                del self._writing[waiting.entry.key]
                self._bytes -= waiting.entry.size_bytes + _OVERHEAD
            self._changed.notify_all()

    def wake(self) -> None:
        """Let `take` return at once."""
        with self._changed:
            self._changed.notify_all()

    def wait_until_idle(self, timeout: float | None) -> bool:
        """Wait until nothing waits or is being written; whether that was within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_idle, timeout)

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def begin_after_fork(self) -> None:
        """In a child process: what waits is the parent's, and the lock is a new one."""
        self._changed = threading.Condition()
        self._waiting, self._writing, self._bytes = {}, {}, 0

    def drop_all(self) -> list[Waiting]:
        """Let go of all that waits; gives it."""
        with self._changed:
            dropped = list(self._waiting.values())
            self._waiting.clear()
            self._bytes -= sum(waiting.entry.size_bytes + _OVERHEAD for waiting in dropped)
            self._changed.notify_all()
            return dropped
