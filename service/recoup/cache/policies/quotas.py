"""Quotas: the limits and the reserves of pipelines within a cache's own.

Each pipeline with a quota has an order of its own, and all others share one. Each order knows which entry is next, and
a number that every entry is given when it is stored or read tells which of these is the oldest. So the next one of a
pipeline, or of those that hold more than their reserve, is chosen in O(pipelines with a quota).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recoup.cache.entry import CacheEntry
from recoup.cache.policies.order import Order

if TYPE_CHECKING:
    from recoup.cache.counters import PipelineCounters

Entry = CacheEntry[Any]
#: Bytes of the number of an entry, and of its place in the dictionary of them.
STAMP_BYTES = 80


class Quota:
    """The quota of one pipeline.

    Args:
        max_entries: Its limit of entries; None: the cache's alone.
        max_memory_bytes: Its limit of bytes; None: the cache's alone.
        reserve_bytes: What others cannot take from it: while it holds no more, none of its entries makes room for them.

    Attributes:
        order: Its entries, in the order of the policy.
    """

    __slots__ = ("max_entries", "max_memory_bytes", "order", "reserve_bytes")

    order: Order

    def __init__(self, max_entries: int | None, max_memory_bytes: int | None, reserve_bytes: int) -> None:
        self.max_entries = max_entries
        self.max_memory_bytes = max_memory_bytes
        self.reserve_bytes = reserve_bytes

    def is_exceeded(self, counters: PipelineCounters) -> bool:
        """Whether its pipeline holds more than it may."""
        return self.has_too_many(counters) or (
            self.max_memory_bytes is not None and counters.memory_bytes > self.max_memory_bytes
        )

    def has_too_many(self, counters: PipelineCounters) -> bool:
        """Whether its pipeline has more entries than it may."""
        return self.max_entries is not None and counters.entries > self.max_entries


class QuotaOrder:
    """An `Order` in parts: one for each pipeline with a quota, and one for all others.

    Args:
        make: Makes an order of the policy, empty.
        limited: The counters of the pipelines that have a quota.
    """

    def __init__(self, make: Callable[[], Order], limited: Sequence[PipelineCounters]) -> None:
        self._common = make()
        self._limited = limited
        self._parts = [self._common]
        for counters in limited:
            assert counters.quota is not None  # noqa: S101  # it is limited
            counters.quota.order = make()
            self._parts.append(counters.quota.order)
        self._stamp = 0
        # Not in the entries: most caches have no quotas.
        self._stamps: dict[Entry, int] = {}

    def _part(self, entry: Entry) -> Order:
        quota = entry.counters.quota
        return self._common if quota is None else quota.order

    def insert(self, entry: Entry) -> None:
        """Take an entry in, which is not in."""
        self._stamp += 1
        self._stamps[entry] = self._stamp
        self._part(entry).insert(entry)

    def touch(self, reads: Mapping[Entry, int]) -> None:
        """Note the reads since the last call. See `Order.touch`."""
        stamp = self._stamp = self._stamp + len(reads)
        by_part: dict[int, dict[Entry, int]] = {}
        for entry, count in reads.items():
            if entry in self._stamps:  # else it was removed since it was read
                self._stamps[entry] = stamp
            stamp -= 1
            by_part.setdefault(id(self._part(entry)), {})[entry] = count
        for part in self._parts:
            touched = by_part.get(id(part))
            if touched is not None:
                part.touch(touched)

    def victim(self, by_bytes: bool = False) -> Entry | None:
        """The oldest of those that the parts would evict next."""
        return self._oldest([part.victim(by_bytes) for part in self._parts])

    def victim_for(self, writer: PipelineCounters | None, by_bytes: bool = False) -> Entry | None:
        """The entry that makes room: the oldest of the pipelines that hold more than their reserve.

        Where none does, it is the oldest of the writer, and where there is no writer, of all.

        Args:
            writer: The counters of the pipeline whose entry needs room; None: the limits have changed.
            by_bytes: Whether bytes are short; False: entries are.
        """
        spare = [self._common.victim(by_bytes)]
        for counters in self._limited:
            quota = counters.quota
            if quota is not None and counters.memory_bytes > quota.reserve_bytes:
                spare.append(quota.order.victim(by_bytes))
        victim = self._oldest(spare)
        if victim is None and writer is not None and writer.quota is not None:
            victim = writer.quota.order.victim(by_bytes)
        return self.victim(by_bytes) if victim is None else victim

    def first(self) -> Entry | None:
        """The first entry of a walk with `after`."""
        return self._first_of(0)

    def after(self, entry: Entry) -> Entry | None:
        """The next entry of a walk: part by part."""
        part = self._part(entry)
        following: Entry | None = part.after(entry)
        return self._first_of(self._parts.index(part) + 1) if following is None else following

    def _first_of(self, start: int) -> Entry | None:
        for part in self._parts[start:]:
            first: Entry | None = part.first()
            if first is not None:
                return first
        return None

    def remove(self, entry: Entry) -> None:
        """Let an entry go, which is in."""
        del self._stamps[entry]
        self._part(entry).remove(entry)

    def replace(self, old: Entry, entry: Entry) -> None:
        """Let an entry go, which is in, and take the one that has its key now in."""
        part = self._part(entry)
        if self._part(old) is not part:
            self.remove(old)
            self.insert(entry)
            return
        del self._stamps[old]
        self._stamp += 1
        self._stamps[entry] = self._stamp
        part.replace(old, entry)

    def grew(self, entry: Entry, more: int) -> None:
        """Note that an entry, which is in, takes more bytes."""
        self._part(entry).grew(entry, more)

    def newest_first(self) -> Iterator[Entry]:
        """All entries. Where the parts are ordered by the last use, so are they together."""
        stamps = self._stamps
        return heapq.merge(*(part.newest_first() for part in self._parts), key=lambda entry: -stamps[entry])

    def _oldest(self, entries: Sequence[Entry | None]) -> Entry | None:
        return min((entry for entry in entries if entry is not None), key=self._stamps.__getitem__, default=None)
