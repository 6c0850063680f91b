"""The store: entries by key, in the order of their use, within two limits, with every departure accounted for.

Everything here runs under the cache's lock, but for what readers do: look a key up in `live`, and append the entry
that they hit to `reads`. Both are single operations on a built-in dictionary and a built-in list, which the language
documents as atomic. `drain` takes the reads over, in their order, in one slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any

from recoup.cache.departures import Departures
from recoup.cache.entry import CacheEntry
from recoup.cache.ledger import Ledger
from recoup.cache.records import EvictionCause, InvalidationCause

#: Entries that one write looks at for expiry.
SWEEP_ON_WRITE = 4


class Store:
    """The entries of a cache.

    Args:
        max_size: Limit of entries.
        max_memory_bytes: Limit of bytes.
        stale_seconds: How long an expired entry is kept, because it may still be served stale.
    """

    def __init__(self, max_size: int, max_memory_bytes: int, stale_seconds: float) -> None:
        self.max_size = max_size
        self.max_memory_bytes = max_memory_bytes
        self.stale_seconds = stale_seconds
        self.live: dict[Hashable, CacheEntry] = {}
        self.reads: list[CacheEntry] = []
        self.ledgers: dict[str, Ledger] = {}
        self.departures = Departures(max_size)
        self.memory_bytes = 0
        self.peak_entries = 0
        self.peak_memory_bytes = 0
        self._ends = CacheEntry(
            None, None, Ledger("")
        )  # both ends of the order: `older` is the newest, `newer` the oldest
        self._ends.newer = self._ends.older = self._ends
        self._sweep_at: CacheEntry = self._ends
        self._sweep_left = 0

    def ledger(self, pipeline: str) -> Ledger:
        """The counts of a pipeline, which is known from now on."""
        ledger = self.ledgers.get(pipeline)
        if ledger is None:
            ledger = self.ledgers[pipeline] = Ledger(pipeline)
        return ledger

    # --- reads

    def drain(self) -> None:
        """Account for the reads so far: recency, hits, recouped seconds and ages.

        One pass for each entry, not for each read: only the last read of an entry decides its place, and all its
        reads since the last check fall into one bucket of ages (see `CacheEntry.check_at`).
        """
        reads = self.reads
        taken = len(reads)
        if not taken:
            return
        batch = reads[:taken]
        del reads[:taken]
        batch.reverse()
        place = self._ends
        ledger: Ledger | None = None
        ages: list[int] = []
        hits, recouped, aged = 0, 0.0, 0.0
        for entry, count in Counter(batch).items():
            entry.hits += count
            if entry.ledger is not ledger:
                if ledger is not None:
                    ledger.count_hits(hits, recouped, aged)
                ledger = entry.ledger
                ages = ledger.hit_age.counts
                hits, recouped, aged = 0, 0.0, 0.0
            hits += count
            recouped += count * entry.cost_seconds
            ages[entry.age_bucket] += count
            aged += count * (entry.used_at - entry.created_at)
            newer = entry.newer
            if newer is None:
                continue  # it left while it was read: counted, but it has no place any more
            if newer is not place:
                if entry is self._sweep_at:
                    self._sweep_at = newer
                older = entry.older
                older.newer = newer  # type: ignore[union-attr]  # a linked entry has two neighbours
                newer.older = older
                older = place.older
                older.newer = place.older = entry  # type: ignore[union-attr]
                entry.older = older
                entry.newer = place
            place = entry
        if ledger is not None:
            ledger.count_hits(hits, recouped, aged)

    # --- writes

    def insert(self, entry: CacheEntry) -> None:
        """Put an entry in as the newest. Its key must not be in."""
        newest = self._ends.older
        assert newest is not None  # noqa: S101  # the order is a ring
        entry.older, entry.newer = newest, self._ends
        newest.newer = self._ends.older = entry
        self.live[entry.key] = entry
        self.memory_bytes += entry.size_bytes
        ledger = entry.ledger
        ledger.entries += 1
        ledger.memory_bytes += entry.size_bytes
        ledger.entry_size.observe(entry.size_bytes)
        self.departures.forget(entry.key)

    def note_peaks(self) -> None:
        """Raise the peaks to what is held now."""
        self.peak_entries = max(self.peak_entries, len(self.live))
        self.peak_memory_bytes = max(self.peak_memory_bytes, self.memory_bytes)

    def evict(self, entry: CacheEntry, cause: EvictionCause, now: float) -> None:
        """Let an entry go because of a limit or its age."""
        if entry.expires_at <= now:
            cause = "expired"
        self._unlink(entry)
        ledger = entry.ledger
        ledger.evictions[cause] += 1
        ledger.eviction_age.observe(now - entry.created_at)
        if not entry.hits:
            ledger.unused_evictions += 1
        self.departures.note(entry.key, "expired" if cause == "expired" else "evicted")

    def invalidate(self, entry: CacheEntry, cause: InvalidationCause) -> None:
        """Let an entry go because somebody said so."""
        self._unlink(entry)
        entry.ledger.invalidations[cause] += 1
        self.departures.note(entry.key, "invalidated")

    def remove(self, entry: CacheEntry, cause: InvalidationCause, now: float) -> bool:
        """Let an entry go because somebody said so, or of its age where that came first; whether it was live."""
        if now >= entry.expires_at:
            self.evict(entry, "expired", now)
            return False
        self.invalidate(entry, cause)
        return True

    def shrink(self, now: float) -> list[CacheEntry]:
        """Evict from the oldest until both limits hold; gives what went, so that it is dropped outside the lock."""
        gone: list[CacheEntry] = []
        while len(self.live) > self.max_size or self.memory_bytes > self.max_memory_bytes:
            oldest = self._ends.newer
            assert oldest is not None  # noqa: S101  # the order is a ring
            self.evict(oldest, "size" if len(self.live) > self.max_size else "memory", now)
            gone.append(oldest)
        return gone

    def sweep(self, steps: int, now: float) -> list[CacheEntry]:
        """Look at the next few entries, from the oldest on, and let go of those that have expired.

        A pass is bounded by the number of entries at its start, so it ends even while reads keep moving entries ahead.
        """
        gone: list[CacheEntry] = []
        for _ in range(min(steps, len(self.live))):
            entry = self._sweep_at
            if entry is self._ends or self._sweep_left <= 0:
                entry = self._sweep_at = self._ends.newer or self._ends
                self._sweep_left = len(self.live)
            self._sweep_left -= 1
            self._sweep_at = entry.newer or self._ends
            if entry.expires_at + self.stale_seconds <= now:
                self.evict(entry, "expired", now)
                gone.append(entry)
            if not self.live:
                break
        return gone

    def _unlink(self, entry: CacheEntry) -> None:
        if entry is self._sweep_at:
            self._sweep_at = entry.newer or self._ends
        del self.live[entry.key]
        older, newer = entry.older, entry.newer
        older.newer, newer.older = newer, older  # type: ignore[union-attr]  # a linked entry has two neighbours
        entry.newer = entry.older = None
        self.memory_bytes -= entry.size_bytes
        entry.ledger.entries -= 1
        entry.ledger.memory_bytes -= entry.size_bytes

    # --- order

    def newest_first(self) -> Iterator[CacheEntry]:
        """The entries in the order of their last use, newest first."""
        entry: Any = self._ends.older
        while entry is not self._ends:
            yield entry
            entry = entry.older
