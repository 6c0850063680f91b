"""The store: entries by key within two limits, in the order of a policy, with every one that leaves accounted for.

Everything here runs under the cache's lock, but for one thing that readers do: look a key up in `live`. That is one
operation on a built-in dictionary.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import repeat
from math import fsum
from operator import attrgetter
from typing import Any, Protocol

from recoup.cache.counters import PipelineCounters
from recoup.cache.entry import CacheEntry
from recoup.cache.ghosts import GhostList
from recoup.cache.groups import GroupIndex
from recoup.cache.histogram import SIZE_BUCKETS
from recoup.cache.policies import Policy
from recoup.cache.policies.order import Order
from recoup.cache.policies.quotas import Quota, QuotaOrder
from recoup.cache.purges import Purges
from recoup.cache.sizing import ENTRY_OVERHEAD
from recoup.cache.stats import EvictionCause, InvalidationCause, MissReason

#: Every so many writes, one looks at twice as many entries for expiry.
_SWEEP_EVERY = 4
_FEW = 128
#: Members of purged groups that are let go at a write, and with the hits that were gathered.
_SETTLED_AT_WRITE = 16
_SETTLED_WITH_READS = 128
_INFINITY = float("inf")
#: A pass of the sweep begins so long after the last one, whatever is known of the entries' expiry.
_PASS_AGAIN_SECONDS = 60.0

#: Pipelines that are known from their lookups alone. Each is some hundred series of metrics.
MOST_PIPELINES = 100
#: What further ones are counted as.
OTHER_PIPELINES = "other"

Entry = CacheEntry[Any]
_log = logging.getLogger("recoup.cache")
_counters = attrgetter("counters")
_expires_at = attrgetter("expires_at")


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
        stale_seconds: How long every expired entry is kept, because it may still be served stale. Some are for longer.
        policy: The policy of eviction.

    Attributes:
        entry_bytes: Bytes of an entry beside its key and its value, under the policy.
        reserved_bytes: The sum of the reserves of all pipelines.
    """

    def __init__(self, max_size: int, max_memory_bytes: int, stale_seconds: float, policy: Policy) -> None:
        self.max_size = max_size
        self.max_memory_bytes = max_memory_bytes
        self.stale_seconds = stale_seconds
        self.policy = policy
        self.entry_bytes = ENTRY_OVERHEAD + policy.entry_bytes
        self.order: Order = policy.make_order()
        self.quotas: QuotaOrder | None = None
        self.reserved_bytes = 0
        self.live: dict[Hashable, Entry] = {}
        self.counters: dict[str, PipelineCounters] = {}
        self._registered = 0
        self.ghosts = GhostList(max_size)
        self.groups = GroupIndex()
        self.groups.on_grown = self._note_growth
        self.purges = Purges(self)
        self.observers: tuple[Observer, ...] = ()
        self.memory_bytes = 0
        self.peak_entries = 0
        self.peak_memory_bytes = 0
        #: Where the sweep goes on; None: from the beginning.
        self._sweep_at: Entry | None = None
        self._sweep_left = 0
        self._writes = 0
        # Bounds below the moment at which an entry goes for its age: of the entries that the last pass of the sweep
        # knew, and of those stored since it began. Before both of them there is nothing to look for. `_passed` is the
        # first of them, as the pass finds it.
        self._soonest = _INFINITY
        self._soonest_stored = _INFINITY
        self._passed = _INFINITY

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

    def goes_at(self, entry: Entry) -> float:
        """When an entry is let go of for its age: not before it can answer nobody any more."""
        kept = entry.staleness.kept_seconds
        return entry.expires_at + (kept if kept > self.stale_seconds else self.stale_seconds)

    def limit(self, max_size: int, max_memory_bytes: int) -> None:
        """Set the limits, and remember what leaves for as many entries. `shrink` makes them hold."""
        self.max_size = max_size
        self.max_memory_bytes = max_memory_bytes
        self.ghosts = self.ghosts.grown(max_size)

    def set_quota(self, pipeline: str, quota: Quota) -> None:
        """Give a pipeline a quota. O(entries). `shrink_pipeline` and `shrink` make it hold."""
        held = self._out_of_order()
        self.register(pipeline).quota = quota
        self.reserved_bytes = sum(
            counters.quota.reserve_bytes for counters in self.counters.values() if counters.quota is not None
        )
        self._order_anew(held)

    def set_policy(self, policy: Policy) -> None:
        """Order the entries by another policy. O(entries). What it takes for each of them is accounted from now on."""
        held = self._out_of_order()
        more = policy.entry_bytes - self.policy.entry_bytes
        for entry in self.live.values():
            entry.size_bytes += more
            entry.counters.memory_bytes += more
        self.memory_bytes += more * len(self.live)
        self.policy = policy
        self.entry_bytes += more
        self._order_anew(held)

    def _out_of_order(self) -> list[Entry]:
        """Take all entries out of their order; the one to keep longest first."""
        held = list(self.order.newest_first())
        for entry in held:
            self.order.remove(entry)
        return held

    def _order_anew(self, held: list[Entry]) -> None:
        limited = [counters for counters in self.counters.values() if counters.quota is not None]
        if limited:
            self.order = self.quotas = QuotaOrder(self.policy.make_order, limited)
        else:
            self.order = self.policy.make_order()
        for entry in reversed(held):
            self.order.insert(entry)

    def most_bytes(self, counters: PipelineCounters) -> int:
        """The most that one entry of a pipeline may take: within its own limit, and beside the reserves of others."""
        quota = counters.quota
        if quota is None:
            return self.max_memory_bytes - self.reserved_bytes
        most = self.max_memory_bytes - self.reserved_bytes + quota.reserve_bytes
        return most if quota.max_memory_bytes is None else min(most, quota.max_memory_bytes)

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
        self._touch(counts)
        if self.groups.pending:
            self.purges.settle_some(_SETTLED_WITH_READS, times[-1])

    def count_stale_read(self, entry: Entry, now: float) -> None:
        """Account for an entry that answered although it has expired: it was of use, and is the one used last."""
        for observer in self.observers:
            observer.hits((entry,), (now,))
        entry.hits += 1
        entry.used_at = now
        self._touch({entry: 1})

    def _touch(self, counts: Mapping[Entry, int]) -> None:
        if self._sweep_left > 0:
            # The sweep goes on with what comes after those that are moved, and may end before it meets them again.
            while self._sweep_at is not None and self._sweep_at in counts:
                self._sweep_at = self.order.after(self._sweep_at)
            self._passed = min(self._passed, min(map(_expires_at, counts)) + self.stale_seconds)
        self.order.touch(counts)

    # --- writes

    def insert(self, entry: Entry, now: float, groups: Collection[str] = ()) -> tuple[MissReason | None, Entry | None]:
        """Put an entry in as the newest, in the place of an older one of its key, and into its groups.

        Returns:
            Why an entry of its key had left before, and the entry that it replaces, each None where there is none.
        """
        key = entry.key
        live = self.live
        counters = entry.counters
        size = entry.size_bytes
        old = live.setdefault(key, entry)
        left: MissReason | None = None
        replaced: Entry | None = None
        if old is entry:
            left = self.ghosts.take(key)
            counters.entries += 1
            counters.memory_bytes += size
            self.memory_bytes += size
            self.order.insert(entry)
        else:
            replaced = old
            # As the last of all. A reader who comes in between finds nothing, and looks again under the lock.
            del live[key]
            live[key] = entry
            self._replace(old, entry, now)
            if old.counters.memberships:
                self._end_membership(old)
        if groups:
            self.groups.join(entry, groups)
        sizes = counters.entry_size
        sizes.counts[SIZE_BUCKETS[(size - 1).bit_length()]] += 1
        sizes.total += size
        if entry.expires_at < self._soonest_stored:
            self._soonest_stored = min(self._soonest_stored, self.goes_at(entry))
        for observer in self.observers:
            observer.stored(entry)
        return left, replaced

    def _replace(self, old: Entry, entry: Entry, now: float) -> None:
        """Count that an entry went, and that another of its key has come."""
        if old is self._sweep_at:
            self._sweep_at = self.order.after(old)
        self.order.replace(old, entry)
        before, counters = old.counters, entry.counters
        more = entry.size_bytes - old.size_bytes
        if more:
            self.memory_bytes += more
            counters.memory_bytes += more
        if counters is not before:
            before.entries -= 1
            before.memory_bytes -= old.size_bytes
            counters.entries += 1
            counters.memory_bytes += old.size_bytes
        if now < old.expires_at:
            before.invalidations["replaced"] += 1
        else:
            self._count_eviction(old, "expired", now)

    def evict(self, entry: Entry, cause: EvictionCause, now: float) -> None:
        """Let an entry go because of a limit or its age."""
        if entry.expires_at <= now:
            cause = "expired"
        self._unlink(entry)
        self._count_eviction(entry, cause, now)
        self.ghosts.push(entry.key, "expired" if cause == "expired" else "evicted")

    @staticmethod
    def _count_eviction(entry: Entry, cause: EvictionCause, now: float) -> None:
        counters = entry.counters
        counters.evictions[cause] += 1
        # Its age is in the bucket of its last check, if that is not over: no look-up among the bounds.
        ages = counters.eviction_age
        age = now - entry.created_at
        if now >= entry.check_at:
            ages.observe(age)
        else:
            ages.counts[entry.age_bucket] += 1
            ages.total += age
        if not entry.hits:
            counters.unused_evictions += 1

    def invalidate(self, entry: Entry, cause: InvalidationCause) -> None:
        """Let an entry go because somebody said so."""
        self._unlink(entry)
        entry.counters.invalidations[cause] += 1
        self.ghosts.push(entry.key, "invalidated")

    def remove(self, entry: Entry, cause: InvalidationCause, now: float) -> bool:
        """Let an entry go because somebody said so, or of its age where that came first; whether it could answer."""
        if now >= self.goes_at(entry):
            self.evict(entry, "expired", now)
            return False
        self.invalidate(entry, cause)
        return True

    def shrink(self, now: float, writer: PipelineCounters | None = None) -> list[Entry]:
        """Evict until both limits hold; gives what went, so that it is dropped outside the lock.

        What was purged and is not gone yet goes first.

        Args:
            now: The time.
            writer: The counters of the pipeline that needs the room.
        """
        gone = self.purges.settle_some(_SETTLED_AT_WRITE, now) if self.groups.pending else []
        while len(self.live) > self.max_size or self.memory_bytes > self.max_memory_bytes:
            quotas = self.quotas
            by_bytes = len(self.live) <= self.max_size
            victim = self.order.victim(by_bytes) if quotas is None else quotas.victim_for(writer, by_bytes)
            assert victim is not None  # noqa: S101  # something is over a limit
            if self.purges.settle(victim, now):
                self.evict(victim, "memory" if by_bytes else "size", now)
            gone.append(victim)
        return gone

    def shrink_pipeline(self, counters: PipelineCounters, now: float) -> list[Entry]:
        """Evict until a pipeline's own limits hold; gives what went, so that it is dropped outside the lock."""
        gone: list[Entry] = []
        quota = counters.quota
        while quota is not None and quota.is_exceeded(counters):
            victim = quota.order.victim(not quota.has_too_many(counters))
            assert victim is not None  # noqa: S101  # something is over a limit
            if self.purges.settle(victim, now):
                self.evict(victim, "quota", now)
            gone.append(victim)
        return gone

    def shrink_pipelines(self, now: float) -> list[Entry]:
        """`shrink_pipeline` for each pipeline that has a quota."""
        limited = [counters for counters in self.counters.values() if counters.quota is not None]
        return [entry for counters in limited for entry in self.shrink_pipeline(counters, now)]

    def after_write(self, now: float) -> Sequence[Entry]:
        """Raise the peaks to what is held now, and look at a few entries for expiry where one may have expired.

        Returns:
            What has expired, so that it is dropped outside the lock.
        """
        entries = len(self.live)
        if entries > self.peak_entries:
            self.peak_entries = entries
        if self.memory_bytes > self.peak_memory_bytes:
            self.peak_memory_bytes = self.memory_bytes
        if self.groups.pending:
            return self.purges.settle_some(_SETTLED_AT_WRITE, now)
        if now < self._soonest and now < self._soonest_stored:
            return ()
        # Two entries for each write; not at every write, as beginning costs as much as an entry.
        self._writes += 1
        return () if self._writes % _SWEEP_EVERY else self.sweep(2 * _SWEEP_EVERY, now)

    def sweep(self, steps: int, now: float) -> Sequence[Entry]:
        """Look at the next few entries, and let go of those that have expired.

        A pass is bounded by the number of entries at its start, so it ends even while reads keep moving entries ahead.
        """
        gone: list[Entry] | None = None
        after = self.order.after
        entry = self._sweep_at
        held = len(self.live)
        for _ in repeat(None, steps if steps < held else held):
            if entry is None:
                entry = self.order.first()
                if entry is None:
                    break
                self._begin_pass()
            self._sweep_left -= 1
            looked_at = entry
            entry = after(entry)
            if looked_at.expires_at > now and looked_at.expires_at >= self._passed:
                pass  # most entries: it goes no sooner than it expires
            elif (goes_at := self.goes_at(looked_at)) <= now:
                self._sweep_at = entry
                self.evict(looked_at, "expired", now)
                gone = gone or []
                gone.append(looked_at)
            elif goes_at < self._passed:
                self._passed = goes_at
            if entry is None or self._sweep_left <= 0:
                entry = None
                self._end_pass(now)
        self._sweep_at = entry
        return gone or ()

    def expects_expiry(self, entry: Entry) -> None:
        """Have the sweep look for an entry that expires sooner than it was to."""
        self._soonest_stored = min(self._soonest_stored, self.goes_at(entry))

    def _begin_pass(self) -> None:
        self._sweep_left = len(self.live)
        self._soonest = min(self._soonest, self._soonest_stored)
        self._soonest_stored = self._passed = _INFINITY

    def _end_pass(self, now: float) -> None:
        # Not never again where nothing expires: a policy may have moved an entry past the sweep on its own.
        self._soonest = min(self._passed, now + _PASS_AGAIN_SECONDS)
        self._sweep_left = 0

    def _unlink(self, entry: Entry) -> None:
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
        if counters.memberships:
            self._end_membership(entry)

    def _note_growth(self, entry: Entry, more: int) -> None:
        self.order.grew(entry, more)

    def _end_membership(self, entry: Entry) -> None:
        moved = self.groups.leave(entry)
        if moved:
            self.memory_bytes += moved
            entry.counters.memory_bytes += moved
