"""The store: entries by key within two limits, in the order of a policy, with every one that leaves accounted for.

Everything here runs under the cache's lock, but for one thing that readers do: look a key up in `live`. That is one
operation on a built-in dictionary.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import repeat
from math import fsum
from operator import attrgetter
from typing import Any, Protocol

from recoup.cache.counters import PipelineCounters
from recoup.cache.entry import CacheEntry
from recoup.cache.ghosts import GhostList
from recoup.cache.histogram import SIZE_BYTES
from recoup.cache.policies.order import Order
from recoup.cache.stats import EvictionCause, InvalidationCause, MissReason

#: Every so many writes, one looks at twice as many entries for expiry.
_SWEEP_EVERY = 4
_FEW = 128

#: Pipelines that are known from their lookups alone. Each is some hundred series of metrics.
MOST_PIPELINES = 100
#: What further ones are counted as.
OTHER_PIPELINES = "other"

Entry = CacheEntry[Any]
_log = logging.getLogger("recoup.cache")
_counters = attrgetter("counters")


def _partial_sums(times: list[float]) -> Iterator[float]:
    """Sums of a few times each: nearly as fast as one sum, and exact to a microsecond after years."""
    return (sum(times[start : start + _FEW]) for start in range(0, len(times), _FEW))


class Observer(Protocol):
    """Sees every lookup and every store, in the order in which they happened. Called under the lock: be short."""

    def hits(self, entries: Sequence[Entry], times: Sequence[float]) -> None:
        """Entries that answered a lookup each, and when, in monotonic seconds."""

    def miss(self, key: Hashable, pipeline: str, reason: MissReason, at: float) -> None:
        """A lookup that found nothing."""

    def stored(self, entry: Entry) -> None:
        """A result that was stored."""


class Store:
    """The entries of a cache.

    Args:
        max_size: Limit of entries.
        max_memory_bytes: Limit of bytes.
        stale_seconds: How long an expired entry is kept, because it may still be served stale.
        order: The policy's order of eviction, empty.
    """

    def __init__(self, max_size: int, max_memory_bytes: int, stale_seconds: float, order: Order) -> None:
        self.max_size = max_size
        self.max_memory_bytes = max_memory_bytes
        self.stale_seconds = stale_seconds
        self.order = order
        self.live: dict[Hashable, Entry] = {}
        self.counters: dict[str, PipelineCounters] = {}
        self._registered = 0
        self.ghosts = GhostList(max_size)
        self.observers: tuple[Observer, ...] = ()
        self.memory_bytes = 0
        self.peak_entries = 0
        self.peak_memory_bytes = 0
        #: Where the sweep goes on; None: from the beginning.
        self._sweep_at: Entry | None = None
        self._sweep_left = 0
        self._writes = 0

    def of(self, pipeline: str) -> PipelineCounters:
        """The counters of a pipeline, which is known from now on; of `OTHER_PIPELINES`, where there are too many."""
        counters = self.counters.get(pipeline)
        if counters is not None:
            return counters
        if len(self.counters) - self._registered < MOST_PIPELINES:
            counters = self.counters[pipeline] = PipelineCounters(pipeline)
            return counters
        if OTHER_PIPELINES not in self.counters:
            _log.warning(
                "too many pipelines: from now on, names that are new are counted as 'other'; a pipeline is one "
                "generator, and what tells its requests apart belongs to the key",
                extra={"pipeline": pipeline, "most": MOST_PIPELINES},
            )
        return self.register(OTHER_PIPELINES)

    def register(self, pipeline: str) -> PipelineCounters:
        """`of`, for a pipeline that is known by name: it is not among those that are bounded."""
        counters = self.counters.get(pipeline)
        if counters is None:
            counters = self.counters[pipeline] = PipelineCounters(pipeline)
            self._registered += 1
        return counters

    def limit(self, max_size: int, max_memory_bytes: int) -> None:
        """Set the limits, and remember what leaves for as many entries. `shrink` makes them hold."""
        self.max_size = max_size
        self.max_memory_bytes = max_memory_bytes
        self.ghosts = self.ghosts.grown(max_size)

    # --- reads

    def count_reads(self, entries: list[Entry], times: list[float]) -> None:
        """Account for reads, of each its entry and when it was: recency, hits, recouped seconds and ages.

        One pass for each entry, not for each read: only the last read of an entry decides its place, and all its
        reads since the last check fall into one bucket of ages (see `CacheEntry.check_at`).
        """
        stored: list[float] | None
        for observer in self.observers:
            observer.hits(entries, times)
        if len(self.counters) > 1 and len(set(map(_counters, entries))) > 1:
            # Before the entries are counted: which of them was read when is known of each read alone.
            for entry, at in zip(entries, times, strict=True):
                entry.counters.hit_age.total += at - entry.created_at
            stored = None
        else:
            stored = []
        entries.reverse()
        counts = Counter(entries)
        counters: PipelineCounters | None = None
        ages: list[int] = []
        hits, recouped, money = 0, 0.0, 0.0
        for entry, count in counts.items():
            entry.hits += count
            if entry.counters is not counters:
                if counters is not None:
                    counters.count_hits(hits, recouped, money)
                counters = entry.counters
                ages = counters.hit_age.counts
                hits, recouped, money = 0, 0.0, 0.0
            hits += count
            recouped += count * entry.cost_seconds
            money += count * entry.price
            ages[entry.age_bucket] += count
            if stored is not None:
                stored.append(count * entry.created_at)
        if counters is not None:
            counters.count_hits(hits, recouped, money)
            if stored is not None:
                counters.hit_age.total += fsum((*_partial_sums(times), -fsum(stored)))
        # The sweep goes on with what comes after those that are moved.
        while self._sweep_at is not None and self._sweep_at in counts:
            self._sweep_at = self.order.after(self._sweep_at)
        self.order.touch(counts)

    # --- writes

    def insert(self, entry: Entry, now: float) -> tuple[MissReason | None, Entry | None]:
        """Put an entry in as the newest, in the place of an older one of its key.

        Returns:
            Why an entry of its key had left before, and the entry that it replaces, each None where there is none.
        """
        key = entry.key
        old = self.live.setdefault(key, entry)
        left: MissReason | None = None
        replaced: Entry | None = None
        if old is entry:
            left = self.ghosts.take(key)
        else:
            replaced = old
            if now < old.expires_at:
                self.invalidate(old, "replaced", returns=True)
            else:
                self.evict(old, "expired", now, returns=True)
            self.live[key] = entry
        self.order.insert(entry)
        size = entry.size_bytes
        self.memory_bytes += size
        counters = entry.counters
        counters.entries += 1
        counters.memory_bytes += size
        sizes = counters.entry_size
        sizes.counts[bisect_left(SIZE_BYTES, size)] += 1
        sizes.total += size
        for observer in self.observers:
            observer.stored(entry)
        return left, replaced

    def note_peaks(self) -> None:
        """Raise the peaks to what is held now."""
        entries = len(self.live)
        if entries > self.peak_entries:
            self.peak_entries = entries
        if self.memory_bytes > self.peak_memory_bytes:
            self.peak_memory_bytes = self.memory_bytes

    def evict(self, entry: Entry, cause: EvictionCause, now: float, *, returns: bool = False) -> None:
        """Let an entry go because of a limit or its age. `returns`: its key is in again at once."""
        if entry.expires_at <= now:
            cause = "expired"
        counters = self._unlink(entry)
        counters.evictions[cause] += 1
        # Its age is in the bucket of its last check, if that is not over: no look-up among the bounds.
        ages = counters.eviction_age
        if now >= entry.check_at:
            ages.observe(now - entry.created_at)
        else:
            ages.counts[entry.age_bucket] += 1
            ages.total += now - entry.created_at
        if not entry.hits:
            counters.unused_evictions += 1
        if not returns:
            self.ghosts.push(entry.key, "expired" if cause == "expired" else "evicted")

    def invalidate(self, entry: Entry, cause: InvalidationCause, *, returns: bool = False) -> None:
        """Let an entry go because somebody said so. `returns`: its key is in again at once."""
        self._unlink(entry).invalidations[cause] += 1
        if not returns:
            self.ghosts.push(entry.key, "invalidated")

    def remove(self, entry: Entry, cause: InvalidationCause, now: float, *, returns: bool = False) -> bool:
        """Let an entry go because somebody said so, or of its age where that came first; whether it was live."""
        if now >= entry.expires_at:
            self.evict(entry, "expired", now, returns=returns)
            return False
        self.invalidate(entry, cause, returns=returns)
        return True

    def shrink(self, now: float) -> list[Entry]:
        """Evict until both limits hold; gives what went, so that it is dropped outside the lock."""
        gone: list[Entry] = []
        while len(self.live) > self.max_size or self.memory_bytes > self.max_memory_bytes:
            victim = self.order.victim()
            assert victim is not None  # noqa: S101  # something is over a limit
            self.evict(victim, "size" if len(self.live) > self.max_size else "memory", now)
            gone.append(victim)
        return gone

    def sweep_on_write(self, now: float) -> Sequence[Entry]:
        """`sweep`, two entries for each write; not at every write, as beginning costs as much as an entry."""
        self._writes += 1
        return () if self._writes % _SWEEP_EVERY else self.sweep(2 * _SWEEP_EVERY, now)

    def sweep(self, steps: int, now: float) -> Sequence[Entry]:
        """Look at the next few entries, from the one to be evicted next on, and let go of those that have expired.

        A pass is bounded by the number of entries at its start, so it ends even while reads keep moving entries ahead.
        """
        gone: list[Entry] | None = None
        after = self.order.after
        expired_before = now - self.stale_seconds
        entry = self._sweep_at
        held = len(self.live)
        for _ in repeat(None, steps if steps < held else held):
            if entry is None or self._sweep_left <= 0:
                entry = self.order.victim()
                self._sweep_left = len(self.live)
                if entry is None:
                    break
            self._sweep_left -= 1
            looked_at = entry
            entry = after(entry)
            if looked_at.expires_at <= expired_before:
                self._sweep_at = entry
                self.evict(looked_at, "expired", now)
                gone = gone or []
                gone.append(looked_at)
        self._sweep_at = entry
        return gone or ()

    def _unlink(self, entry: Entry) -> PipelineCounters:
        if entry is self._sweep_at:
            self._sweep_at = self.order.after(entry)
        if self.live.get(entry.key) is entry:
            del self.live[entry.key]
        self.order.remove(entry)
        size = entry.size_bytes
        self.memory_bytes -= size
        counters = entry.counters
        counters.entries -= 1
        counters.memory_bytes -= size
        return counters
