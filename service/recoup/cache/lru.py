"""The cache as its users see it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

from recoup.cache.entry import CacheEntry
from recoup.cache.fetching import Fetching
from recoup.cache.gate import Gate
from recoup.cache.ledger import total
from recoup.cache.limits import DEFAULT, Default, Limits
from recoup.cache.records import CONFIG_SETTINGS, SORTS, CacheStats, Outcome, Sort
from recoup.errors import ConfigurationError

#: Waits that are buffered before they are counted.
_WAIT_BUFFER: Final = 2048
#: Past this many a caller waits for the lock.
_WAIT_BUFFER_BOUND: Final = 4 * _WAIT_BUFFER
#: Entries that are looked at for expiry when statistics are read, so that a cache without writes lets go, too.
_SWEEP_ON_STATS: Final = 256

_RANKS: dict[Sort, Callable[[CacheEntry], float]] = {
    "oldest": lambda entry: -entry.created_at,
    "largest": lambda entry: entry.size_bytes,
    "most_hit": lambda entry: entry.hits,
    "costliest": lambda entry: entry.cost_seconds,
}


class LRUCache(Fetching):
    """A result cache: exact LRU, bounded in entries and bytes, with a time to live and a full account of itself.

    Safe under threads and asyncio. Reads take no lock. A mapping's habits hold: `cache[key]`, `key in cache`,
    `len(cache)`.

    Args:
        max_size: Limit of entries, at least 1.
        max_memory_mb: Limit of memory in MB (2^20 bytes), above 0: values, keys and bookkeeping.
        ttl_seconds: Seconds that an entry lives; None or 0: it never expires.
        enabled: Whether lookups are answered; False: every lookup is a bypass, and nothing is stored.
        ttl_jitter: Up to this share (0 to 0.5) of its time to live is taken off at random for each entry, so that
            entries stored together do not expire together.
        stale_seconds: How long after its expiry an entry may be served stale, while another caller generates it anew.
        sizer: Gives the bytes of a value; by default a deep measure (`recoup.cache.sizing.measure`).
        clock: Monotonic seconds.
        wall_clock: Seconds of the Unix epoch, for exemplars.

    Raises:
        ConfigurationError: An argument is out of its bounds.
    """

    _sources: tuple[Callable[[], None], ...] = ()

    # --- configuration

    def register(self, pipeline: str, gate: Gate | None = None) -> None:
        """Make a pipeline known: its figures exist, as zeros, from now on. Its gate tells what runs and waits."""
        with self._lock:
            ledger = self._store.ledger(pipeline)
            if gate is not None:
                ledger.gate = gate

    def config(self) -> dict[str, Any]:
        """The configuration in force: `max_size`, `max_memory_mb`, `ttl_seconds` (None: never), `enabled`."""
        return self._limits.as_dict()

    def configure(
        self,
        *,
        max_size: int | Default = DEFAULT,
        max_memory_mb: float | Default = DEFAULT,
        ttl_seconds: float | Default | None = DEFAULT,
        enabled: bool | Default = DEFAULT,
    ) -> dict[str, Any]:
        """Change any of the limits: all of a valid change, or none of an invalid one.

        Lowering a limit evicts at once. A new time to live holds for entries stored from now on. Entries are kept
        while the cache is disabled, and answer again when it is enabled, unless they have expired.

        Returns:
            The configuration in force after it.

        Raises:
            ConfigurationError: A value cannot be used; nothing was changed.
        """
        given = {"max_size": max_size, "max_memory_mb": max_memory_mb, "ttl_seconds": ttl_seconds, "enabled": enabled}
        changes = {name: value for name, value in given.items() if not isinstance(value, Default)}
        with self._lock:
            before = self._limits.as_dict()
            after = Limits.checked(**{**before, **changes})
            self._apply(after)
            for name in CONFIG_SETTINGS:
                self._config_changes[name] += before[name] != after.as_dict()[name]
            store = self._store
            store.drain()
            dropped = store.shrink(self.clock())
        dropped.clear()
        return after.as_dict()

    def _apply(self, limits: Limits) -> None:
        self._limits = limits
        self._store.max_size = limits.max_size
        self._store.departures = self._store.departures.grown(limits.max_size)
        self._store.max_memory_bytes = limits.max_memory_bytes
        self._show(limits.enabled)

    # --- statistics

    def record_request(self, pipeline: str, outcome: Outcome, seconds: float, trace_id: str | None = None) -> None:
        """Note what a caller waited for one lookup. One append to a bounded buffer; counted when statistics are read.

        Args:
            pipeline: The lookup's pipeline.
            outcome: How it ended.
            seconds: What its caller waited.
            trace_id: Makes it its bucket's newest exemplar.
        """
        waits = self._waits
        waits.append((pipeline, outcome, seconds, trace_id, self.wall_clock()))
        # Without waiting, unless it would grow without bound: whoever holds the lock drains.
        if len(waits) >= _WAIT_BUFFER and self._lock.acquire(blocking=len(waits) >= _WAIT_BUFFER_BOUND):
            try:
                self._drain_waits()
            finally:
                self._lock.release()

    def record_requests(
        self, pipeline: str, outcome: Outcome, seconds: Sequence[float], trace_ids: Sequence[str]
    ) -> None:
        """`record_request` for many at once: of each what its caller waited, and its trace id. Takes the lock once."""
        with self._lock:
            self._store.ledger(pipeline).request_duration[outcome].observe_all(seconds, trace_ids, self.wall_clock())

    def add_source(self, settle: Callable[[], None]) -> None:
        """Have `settle` called before statistics are read or reset: whoever gathers requests hands them in then."""
        with self._lock:
            self._sources = (*self._sources, settle)

    def _settle_sources(self) -> None:
        for settle in self._sources:
            settle()

    def _drain_waits(self) -> None:
        waits = self._waits
        taken = waits[:]
        del waits[: len(taken)]
        for pipeline, outcome, seconds, trace_id, at in taken:
            self._store.ledger(pipeline).request_duration[outcome].observe(seconds, trace_id, at)

    def stats(self) -> CacheStats:
        """The statistics of this moment, consistent with each other, at a cost that no number of entries changes."""
        self._settle_sources()
        with self._lock:
            store = self._store
            store.drain()
            self._drain_waits()
            now = self.clock()
            dropped = store.sweep(_SWEEP_ON_STATS, now)
            pipelines = {name: ledger.stats() for name, ledger in store.ledgers.items()}
            stats = CacheStats(
                enabled=self._limits.enabled,
                total=total(pipelines.values()),
                pipelines=MappingProxyType(pipelines),
                histograms=MappingProxyType({name: ledger.histograms() for name, ledger in store.ledgers.items()}),
                config=MappingProxyType(self._limits.as_dict()),
                max_memory_bytes=self._limits.max_memory_bytes,
                peak_entries=store.peak_entries,
                peak_memory_bytes=store.peak_memory_bytes,
                uptime_seconds=now - self._started_at,
                config_changes=MappingProxyType(dict(self._config_changes)),
                internal_errors=MappingProxyType(dict(self._internal_errors)),
            )
        dropped.clear()
        return stats

    def reset_stats(self) -> None:
        """Set every count back to zero, and the peaks to what is held now. The entries stay, with their own hits."""
        self._settle_sources()
        with self._lock:
            store = self._store
            store.drain()
            self._drain_waits()
            for ledger in store.ledgers.values():
                ledger.reset()
            store.peak_entries = len(store.live)
            store.peak_memory_bytes = store.memory_bytes
            self._internal_errors = dict.fromkeys(self._internal_errors, 0)
            self._config_changes = dict.fromkeys(self._config_changes, 0)

    # --- entries

    def count(self, pipeline: str | None = None) -> int:
        """The entries held, by all pipelines or by one. O(1)."""
        with self._lock:
            if pipeline is None:
                return len(self._store.live)
            ledger = self._store.ledgers.get(pipeline)
            return 0 if ledger is None else ledger.entries

    def entries(
        self,
        limit: int = 100,
        offset: int = 0,
        sort: Sort = "recent",
        pipeline: str | None = None,
        describe: Callable[[Any], dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """A page of what is held. Not a lookup: nothing is counted.

        Args:
            limit: Entries at most, at least 0.
            offset: Entries to pass over, at least 0.
            sort: `recent`: used last first; `oldest`: stored longest ago first; `largest`; `most_hit`; `costliest`.
            pipeline: Only entries of this pipeline.
            describe: Gives further members from a value.

        Returns:
            For each `key`, `pipeline`, `size_bytes`, `age_seconds`, `idle_seconds`, `expires_in_seconds` (None: never;
            negative: expired, not yet collected), `hits`, `cost_seconds`. Sizes add up to the bytes held.

        Raises:
            ConfigurationError: An argument is out of its bounds.
        """
        if limit < 0 or offset < 0:
            raise ConfigurationError(
                f"limit={limit} and offset={offset} cannot be used: allowed are numbers of at least 0"
            )
        if sort not in SORTS:
            raise ConfigurationError(f"sort={sort!r} cannot be used: allowed is one of {', '.join(SORTS)}")
        page = self._page(offset + limit, sort, pipeline)[offset:]
        now = self.clock()
        return [_described(entry, now, describe) for entry in page]

    def _page(self, size: int, sort: Sort, pipeline: str | None) -> list[CacheEntry]:
        with self._lock:
            self._store.drain()
            if sort == "recent":
                return list(itertools.islice(_of(self._store.newest_first(), pipeline), size))
            held = list(self._store.live.values())
        # Ranked outside the lock: this is the one operation that looks at every entry.
        return heapq.nlargest(size, _of(held, pipeline), key=_RANKS[sort])

    def inspect(self, key: Hashable, describe: Callable[[Any], dict[str, Any]] | None = None) -> dict[str, Any] | None:
        """What is known of one live entry, as in `entries`; None when there is none. Nothing is counted."""
        with self._lock:
            self._store.drain()
            entry = self._store.live.get(key)
            now = self.clock()
        if entry is None or now >= entry.expires_at:
            return None
        return _described(entry, now, describe)


def _of(entries: Iterable[CacheEntry], pipeline: str | None) -> Iterable[CacheEntry]:
    return entries if pipeline is None else (entry for entry in entries if entry.ledger.name == pipeline)


def _described(entry: CacheEntry, now: float, describe: Callable[[Any], dict[str, Any]] | None) -> dict[str, Any]:
    known = entry.as_dict(now)
    return known if describe is None else {**known, **describe(entry.value)}
