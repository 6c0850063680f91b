"""Greedy-Dual-Size-Frequency: what costs little, is large and is seldom asked for goes first.

Cherkasova: Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy. HP Laboratories report
HPL-98-69R1, 1998. An entry's priority is `L + frequency * cost / size`, where L is the priority of what was evicted
last: so what was worth much once, and is asked for no more, leaves in the end. Of equal priorities, the one that was
used longest ago goes first, as in libCacheSim (`GDSF.cpp`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from recoup.cache.policies.rings import Ring

#: Seconds that any entry costs at least: without costs, entries differ by frequency and size alone.
_LEAST_COST: Final = 1e-6

#: Bytes for one entry beside its own: its rank, three numbers in it, its place in the heap with its key.
ENTRY_BYTES: Final = 80 + 3 * 32 + 80


def _value(entry: Any) -> float:
    """What one read of an entry is worth for each byte."""
    cost: float = entry.cost_seconds
    return (cost if cost > _LEAST_COST else _LEAST_COST) / (entry.size_bytes or 1)


class _Rank:
    """What the order knows of an entry: its index in the heap, how often it was asked for, its priority, the number of
    its last use, and what one read of it is worth for each byte.
    """

    __slots__ = ("frequency", "index", "number", "priority", "value")

    def __init__(self, entry: Any, number: int, frequency: int = 1) -> None:
        self.index = -1
        self.frequency = frequency
        self.priority = 0.0
        self.number = number
        self.value = _value(entry)

    def key(self) -> tuple[float, int]:
        """By what the heap is ordered."""
        return self.priority, self.number


class GDSFOrder:
    """Entries in a heap by their priority. See `Order`.

    Insertion, `victim` and removal take O(log entries). A read only raises the priority in the entry: the heap is put
    right when the entry comes to its top.
    """

    __slots__ = ("_chosen", "_entries", "_inflation", "_keys", "_newcomer", "_number", "_ring")

    def __init__(self) -> None:
        #: All entries but the newcomer, in the order in which they came: what a walk goes along.
        self._ring = Ring()
        self._entries: list[Any] = []
        #: Of each place in the heap, the priority and the number that its entry had when it was put there.
        self._keys: list[tuple[float, int]] = []
        self._inflation = 0.0
        self._number = 0
        #: The entry that came last. Room is made for it before it takes its place in the heap.
        self._newcomer: Any = None
        self._chosen: Any = None

    def insert(self, entry: Any) -> None:
        """Take an entry in, which is not in."""
        self._chosen = None
        if self._newcomer is not None:
            self._settle()
        self._number += 1
        entry.rank = _Rank(entry, self._number)
        entry.newer = entry.older = entry
        self._newcomer = entry

    def _settle(self) -> None:
        """Give the newcomer its place."""
        entry, self._newcomer = self._newcomer, None
        rank = entry.rank
        rank.priority = self._inflation + rank.frequency * rank.value
        self._ring.push(entry)
        self._entries.append(entry)
        self._keys.append(rank.key())
        self._rise(len(self._entries) - 1)

    def touch(self, reads: Mapping[Any, int]) -> None:
        """Raise the priorities of entries. None of them moves in the heap: they only move down, when they are met."""
        self._chosen = None
        inflation = self._inflation
        number = self._number = self._number + len(reads)
        for entry, count in reads.items():
            if entry.newer is not None:  # else it was removed since it was read
                rank = entry.rank
                rank.frequency = frequency = rank.frequency + count
                rank.priority = inflation + frequency * rank.value
                rank.number = number
            number -= 1

    def victim(self, by_bytes: bool = False) -> Any:
        """The entry of the lowest priority."""
        if self._chosen is None:
            entries, keys = self._entries, self._keys
            while entries:
                key = entries[0].rank.key()
                if key == keys[0]:
                    break
                keys[0] = key
                self._sink(0)
            self._chosen = entries[0] if entries else self._newcomer
        return self._chosen

    def remove(self, entry: Any) -> None:
        """Let an entry go."""
        evicted, self._chosen = entry is self._chosen, None
        if entry is self._newcomer:
            self._newcomer = entry.newer = entry.older = None
            entry.rank = None
            return
        if evicted:
            self._inflation = entry.rank.priority
        self._ring.unlink(entry)
        self._leave(entry)
        entry.rank = None
        if not self._entries:
            self._inflation = 0.0

    def _leave(self, entry: Any) -> None:
        """Take an entry out of the heap, whose last one takes its place."""
        index = entry.rank.index
        entries, keys = self._entries, self._keys
        last, key = entries.pop(), keys.pop()
        if last is entry:
            return
        entries[index], keys[index] = last, key
        last.rank.index = index
        self._sink(index)
        self._rise(index)

    def replace(self, old: Any, entry: Any) -> None:
        """Let an entry go, and take the one that has its key now in, as the newcomer. It counts as a read."""
        frequency, inflation = old.rank.frequency + 1, self._inflation
        self._chosen = None
        self.remove(old)
        self._inflation = inflation
        self.insert(entry)
        entry.rank.frequency = frequency

    def grew(self, entry: Any, more: int) -> None:
        """Note that an entry takes more bytes: from its next read on, its priority is lower."""
        entry.rank.value = _value(entry)
        if entry is not self._newcomer:
            self._ring.size_bytes += more

    # --- the heap

    def _rise(self, index: int) -> None:
        """Move the entry of a place towards the top, past all that have a higher priority."""
        entries, keys = self._entries, self._keys
        entry, key = entries[index], keys[index]
        while index:
            above = (index - 1) >> 1
            if keys[above] <= key:
                break
            entries[index], keys[index] = moved, _ = entries[above], keys[above]
            moved.rank.index = index
            index = above
        entries[index], keys[index] = entry, key
        entry.rank.index = index

    def _sink(self, index: int) -> None:
        """Move the entry of a place towards the end, past all that have a lower priority."""
        entries, keys = self._entries, self._keys
        entry, key = entries[index], keys[index]
        end = len(entries)
        while True:
            below = 2 * index + 1
            if below >= end:
                break
            if below + 1 < end and keys[below + 1] < keys[below]:
                below += 1
            if key <= keys[below]:
                break
            entries[index], keys[index] = moved, _ = entries[below], keys[below]
            moved.rank.index = index
            index = below
        entries[index], keys[index] = entry, key
        entry.rank.index = index

    # --- walks

    def first(self) -> Any:
        """The first entry of a walk: the one that came first. The newcomer is the last."""
        oldest = self._ring.oldest()
        return self._newcomer if oldest is None else oldest

    def after(self, entry: Any) -> Any:
        """The next entry of a walk."""
        if entry is self._newcomer:
            return None
        newer = entry.newer
        return self._newcomer if newer is self._ring.ends else newer

    def newest_first(self) -> Iterator[Any]:
        """All entries: the newcomer, then those of the highest priority first."""
        if self._newcomer is not None:
            yield self._newcomer
        yield from sorted(self._entries, key=_key, reverse=True)


def _key(entry: Any) -> tuple[float, int]:
    rank: _Rank = entry.rank
    return rank.key()
