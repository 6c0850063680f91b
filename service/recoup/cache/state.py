"""What the parts of a cache share: what it holds and counts, and the one lock that guards it."""

from __future__ import annotations

import logging
import operator
import os
import random
import threading
import weakref
from collections.abc import Callable, Collection, Hashable, Sequence
from sys import getsizeof
from typing import Any, Final

from recoup.cache.buffer import Buffer
from recoup.cache.config import CacheConfig
from recoup.cache.counters import PipelineCounters
from recoup.cache.entry import CacheEntry, PricedEntry
from recoup.cache.flights import Flight, Flights
from recoup.cache.groups import PurgingView
from recoup.cache.open_results import UnsharedKeys
from recoup.cache.policies import POLICIES
from recoup.cache.policies.quotas import STAMP_BYTES
from recoup.cache.sizing import ALIGNMENT, PRICE_BYTES, ROUNDING, measure, measure_key
from recoup.cache.stats import CONFIG_SETTINGS, CORE_PARTS, BypassReason, MissReason, Outcome
from recoup.cache.store import Store
from recoup.cache.tier import PayloadCodec, Tier
from recoup.cache.tiering import TierStack

DEFAULT_PIPELINE: Final = "default"
#: Reads that are gathered before a reader takes the trouble to account for them.
READ_BUFFER: Final = 16384
#: Waits of callers that are gathered before they are counted.
_WAIT_BUFFER: Final = 2048

_log = logging.getLogger("recoup.cache")

#: Of a wait: its pipeline, its outcome, its seconds, its trace id, and when it was, in seconds of the Unix epoch.
Wait = tuple[str, Outcome, float, "str | None", float]


class CacheState:
    """The state of a cache. What is written under `lock` says so; the rest is constant or for readers.

    Attributes:
        lock: Guards `store`, `flights` and the counts. Re-entrant: an object that is dropped while it is held may use
            the cache in its finaliser.
        visible: What readers look into: the live entries; those without what was purged, while a purge is not done; or
            nothing while the cache is disabled.
        reads: The entries that were hit.
        read_times: When each of them was, in monotonic seconds. A list of its own: a pair would be a tenth of a hit.
        waits: What callers waited.
    """

    def __init__(
        self,
        config: CacheConfig,
        *,
        jitter: float,
        stale_seconds: float,
        sizer: Callable[[Any], int],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        tiers: Sequence[Tier] = (),
        codec: PayloadCodec | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.wall_clock = wall_clock
        self.stale_seconds = stale_seconds
        self._sizer = sizer
        self._measures = sizer is measure
        self._jitter = jitter
        self._random = random.Random()  # noqa: S311  # it spreads expiry, nothing secret
        self.lock = threading.RLock()
        self.store = Store(config.max_size, config.max_memory_bytes, stale_seconds, POLICIES[config.policy])
        self.flights = Flights()
        self.unshared = UnsharedKeys()
        self.visible: dict[Hashable, CacheEntry[Any]] = {}
        #: Makes the readers look into other entries.
        self.show: Callable[[dict[Hashable, CacheEntry[Any]]], None]
        self._purging_view = PurgingView(self.store.live)
        self.store.groups.on_settled = self.show_entries
        self.reads: Buffer[CacheEntry[Any]] = Buffer(self._count_reads, self.lock, READ_BUFFER)
        self.read_times: list[float] = []
        self.waits: Buffer[Wait] = Buffer(self._count_waits, self.lock, _WAIT_BUFFER)
        self.tiers = TierStack(tiers, codec, clock=clock, wall_clock=wall_clock, note_error=self.note_internal_error)
        self.started_at = clock()
        self.internal_errors = dict.fromkeys(CORE_PARTS, 0)
        self.config_changes = dict.fromkeys(CONFIG_SETTINGS, 0)
        _states.add(self)

    def show_entries(self) -> None:
        """Let the readers see what they are to see now. Under the lock."""
        if not self.config.enabled:
            self.show({})
        else:
            self.show(self._purging_view if self.store.groups.pending else self.store.live)

    def find(self, key: Hashable, now: float) -> CacheEntry[Any] | None:
        """The entry of a key that readers may see, expired or not. Under the lock."""
        return self.store.purges.find(key, now) if self.config.enabled else None

    # --- failing open

    def note_internal_error(self, part: str, error: BaseException) -> None:
        """Count and log that a part of the cache failed, and that the caller was served all the same."""
        with self.lock:
            self.internal_errors[part] = self.internal_errors.get(part, 0) + 1
        _log.error("cache part failed open", exc_info=error, extra={"part": part})

    # --- what was gathered without the lock

    def _count_reads(self, reads: list[CacheEntry[Any]]) -> None:
        # A reader adds its time before its entry, so there is a time for each. Readers at one moment may have their
        # times swapped; none is lost, so sums come out exact.
        count = len(reads)
        times = self.read_times[:count]
        self.read_times[:count] = ()
        self.store.count_reads(reads, times)

    def _count_waits(self, waits: list[Wait]) -> None:
        # Column by column, where all are of one kind: hits of one decorated function, mostly.
        pipelines, outcomes, seconds_of_all, trace_ids, _ = zip(*waits, strict=True)
        if len(set(pipelines)) == len(set(outcomes)) == 1 and not any(trace_ids):
            self.store.of(pipelines[0]).request_duration[outcomes[0]].observe_all(seconds_of_all)
            return
        plain: dict[tuple[str, Outcome], list[float]] = {}
        for pipeline, outcome, seconds, trace_id, at in waits:
            if trace_id is None:
                plain.setdefault((pipeline, outcome), []).append(seconds)
            else:
                self.store.of(pipeline).request_duration[outcome].observe(seconds, trace_id, at)
        for (pipeline, outcome), many in plain.items():
            self.store.of(pipeline).request_duration[outcome].observe_all(many)

    def relieve_reads(self) -> None:
        """Account for the reads, because their buffer is full. Never fails: the reader has its answer."""
        try:
            self.reads.relieve()
        except Exception as error:  # noqa: BLE001  # fail open
            self.note_internal_error("accounting", error)

    # --- counting, under the lock

    def count_miss(
        self, key: Hashable, entry: CacheEntry[Any] | None, pipeline: str, now: float, *, refresh: bool = False
    ) -> MissReason:
        """Count a miss and say why; an entry that has expired goes, unless it may still be served stale.

        Every hit before it is counted first.
        """
        self.reads.drain_locked()
        store = self.store
        counters = store.of(pipeline)
        reason: MissReason
        if entry is None:
            reason = store.ghosts.reason(key) or "cold"
        elif now < entry.expires_at:
            reason = "invalidated" if refresh else "cold"
        else:
            reason = "expired"
            if now >= entry.expires_at + store.stale_seconds:
                store.evict(entry, "expired", now)
        counters.misses[reason] += 1
        for observer in store.observers:
            observer.miss(key, pipeline, reason, now)
        return reason

    def count_bypass(self, pipeline: str, reason: BypassReason) -> None:
        """Count a lookup past the cache. Takes the lock, and never fails."""
        try:
            with self.lock:
                self.store.of(pipeline).bypasses[reason] += 1
        except Exception as error:  # noqa: BLE001  # fail open: the caller has its answer
            self.note_internal_error("accounting", error)

    def unshare(self, flight: Flight, reason: MissReason) -> None:
        """Let all who ask within a minute from now generate for themselves. Under the lock."""
        self.unshared.note(flight.key, self.clock())
        self.store.ghosts.note(flight.key, reason)
        self.flights.seclude(flight)

    def reset_counts(self) -> None:
        """Set every count back to zero, under the lock, and the peaks to what is held now."""
        store = self.store
        for counters in store.counters.values():
            counters.reset()
        store.peak_entries = len(store.live)
        store.peak_memory_bytes = store.memory_bytes
        self.internal_errors = dict.fromkeys(self.internal_errors, 0)
        self.config_changes = dict.fromkeys(self.config_changes, 0)

    # --- storing

    def size_of(self, key: Hashable, value: Any) -> int | None:
        """The bytes that an entry takes; None where the sizer fails, which is counted."""
        try:
            if type(value) is bytes and self._measures and type(key) is str:
                # As `measure` and `measure_key` have it, without their calls.
                return len(value) + (getsizeof(key) + ROUNDING & -ALIGNMENT) + self.store.entry_bytes
            size = operator.index(self._sizer(value))
            if size < 0:
                # It would make room that is not there.
                raise ValueError(f"the sizer gave {size!r} bytes")
            return size + measure_key(key) + self.store.entry_bytes
        except Exception as error:  # noqa: BLE001  # fail open: a value that cannot be measured is not stored
            self.note_internal_error("sizer", error)
            return None

    def takes(self, flight: Flight) -> bool:
        """Whether a flight's result may be stored, after what was invalidated meanwhile. Under the lock."""
        if not flight.purged_epoch:
            return not flight.detached
        now = self.clock()
        entry = self.store.purges.find(flight.key, now)
        if not flight.detached and self.stale_seconds and (entry is None or now >= entry.expires_at):
            return True
        if entry is None:
            self.store.ghosts.note(flight.key, "invalidated")
        return False

    def put(
        self,
        key: Hashable,
        value: Any,
        size: int | None,
        ttl: float | None,
        cost: float,
        pipeline: str,
        dropped: list[CacheEntry[Any]],
        unstored: MissReason = "uncacheable",
        price: float = 0.0,
        groups: Collection[str] = (),
        *,
        age_seconds: float | None = None,
    ) -> bool:
        """Store a value, under the lock, or let an older one of its key go where this one cannot be kept.

        Args:
            key: Any hashable.
            value: Any object.
            size: The bytes of the entry; None: it is not to be kept.
            ttl: Seconds until it expires; None: never.
            cost: Seconds that its generation took.
            pipeline: The pipeline that it is counted for.
            dropped: Takes what goes: to be let go outside the lock, as finalisers may take their time.
            price: What it cost in money.
            unstored: Why the next lookup is a miss, where this one is not to be kept.
            groups: The names of its groups, each once.
            age_seconds: Of a result that comes from a tier, how long ago it was generated; None: it is new.
        """
        if not self.config.enabled:
            return False
        if self.reads.items:
            self.reads.drain_locked()
        store = self.store
        counters = store.counters.get(pipeline) or store.of(pipeline)
        now = self.clock()
        most = store.most_bytes(counters) if store.reserved_bytes or counters.quota else store.max_memory_bytes
        if store.groups.pending:
            store.purges.find(key, now)  # one that was purged is not replaced
        if (groups or price or store.quotas is not None) and size is not None:
            size += self._size_of_extras(key, counters, price, groups)
        if ttl is None:
            expires_at = _NEVER
        elif self._jitter and age_seconds is None:
            expires_at = now + ttl * (1.0 - self._jitter * self._random.random())
        else:
            expires_at = now + ttl
        if self.tiers and age_seconds is None:
            self._put_below(key, value, size, expires_at, cost, pipeline, price, groups)
        if size is None or size > most:
            if age_seconds is None and store.ghosts.reason(key) == "evicted":
                counters.count_regretted(cost, price)
            old = store.live.get(key)
            if old is not None:
                dropped.append(old)
                store.remove(old, "replaced", now)
            store.ghosts.note(key, unstored if size is None else "too_large")
            return False
        created_at = now if age_seconds is None else now - age_seconds
        entry: CacheEntry[Any]
        if price:
            entry = PricedEntry(key, value, counters, size, created_at, expires_at, cost, price=price)
        else:
            entry = CacheEntry(key, value, counters, size, created_at, expires_at, cost)
        left, replaced = store.insert(entry, now, groups)
        if left == "evicted" and age_seconds is None:
            counters.count_regretted(cost, price)
        if replaced is not None:
            dropped.append(replaced)
        evicts = False
        if counters.quota is not None:
            dropped += store.shrink_pipeline(counters, now)
            evicts = True
        if store.memory_bytes > store.max_memory_bytes or len(store.live) > store.max_size:
            dropped += store.shrink(now, counters)
            evicts = True
        gone = store.after_write(now)
        if gone:
            dropped += gone
        # There may be no room for it among others that are protected; or with the group that it carries from now on.
        return not evicts or store.live.get(key) is entry

    def _put_below(
        self,
        key: Hashable,
        value: Any,
        size: int | None,
        expires_at: float,
        cost: float,
        pipeline: str,
        price: float,
        groups: Collection[str],
    ) -> None:
        """Store a new result in the tiers, however little room memory has; or let an older one go there, too."""
        if size is None:
            self.tiers.invalidate(key=key, is_key=True)
            return
        self.tiers.submit(
            key,
            value,
            size,
            expires_at,
            pipeline=pipeline,
            cost_seconds=cost,
            price=price,
            groups=tuple(groups),
            stale_seconds=self.stale_seconds,
        )

    def _size_of_extras(self, key: Hashable, counters: PipelineCounters, price: float, groups: Collection[str]) -> int:
        """The bytes of what few entries have: groups, a price, a place in the order of their pipeline."""
        store = self.store
        size = PRICE_BYTES if price else 0
        if groups:
            size += store.groups.size_of(counters.name, groups, store.live.get(key))
        return size if store.quotas is None else size + STAMP_BYTES

    # --- forks

    def begin_after_fork(self) -> None:
        """In a child process: what is held stays, what other threads were doing is gone, and the lock is a new one."""
        self.lock = self.reads.lock = self.waits.lock = threading.RLock()
        self.flights.abandon_all()
        for counters in self.store.counters.values():
            counters.generating = 0


_NEVER: Final = float("inf")
_states: weakref.WeakSet[CacheState] = weakref.WeakSet()
_fork_lock = threading.Lock()
_held: list[CacheState] = []


def _before_fork() -> None:
    # As the logging module does: no thread is in the middle of a write when the process is copied.
    _fork_lock.acquire()
    _held[:] = list(_states)
    for state in _held:
        state.lock.acquire()


def _after_fork_in_parent() -> None:
    for state in _held:
        state.lock.release()
    _held.clear()
    _fork_lock.release()


def _after_fork_in_child() -> None:
    global _fork_lock
    _fork_lock = threading.Lock()
    for state in _held:
        state.begin_after_fork()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
