"""The bounded cache: look-up, storing and removal. Reads take no lock."""

from __future__ import annotations

import logging
import math
import operator
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

from recoup.cache.entry import CacheEntry
from recoup.cache.flights import Flight, Flights
from recoup.cache.limits import DEFAULT, Default, Limits, checked_share, checked_ttl
from recoup.cache.reading import READ_BUFFER, make_readers
from recoup.cache.records import CONFIG_SETTINGS, CORE_PARTS, BypassReason, MissReason, Outcome
from recoup.cache.sizing import ENTRY_OVERHEAD, measure, measure_key
from recoup.cache.store import SWEEP_ON_WRITE, Store

DEFAULT_PIPELINE: Final = "default"
#: Past this many a reader waits for the lock, so that the buffer is bounded whatever happens.
_READ_BUFFER_BOUND = 4 * READ_BUFFER
_MAX_JITTER = 0.5

_log = logging.getLogger("recoup.cache")
_ABSENT: Any = object()


def _checked_size(size: Any) -> int:
    """What a sizer gave, if it can be: a negative size would make room that is not there."""
    number = operator.index(size)
    if number < 0:
        raise ValueError(f"the sizer gave {size!r} bytes")
    return number


class BoundedCache:
    """An exact LRU cache with a limit of entries, a limit of bytes and a time to live. See `LRUCache`.

    Raises:
        ConfigurationError: An argument is out of its bounds.
    """

    def __init__(
        self,
        *,
        max_size: int = 1000,
        max_memory_mb: float = 512,
        ttl_seconds: float | None = 86400,
        enabled: bool = True,
        ttl_jitter: float = 0.0,
        stale_seconds: float = 0.0,
        sizer: Callable[[Any], int] = measure,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = Limits.checked(
            max_size=max_size, max_memory_mb=max_memory_mb, ttl_seconds=ttl_seconds, enabled=enabled
        )
        self._jitter = checked_share("ttl_jitter", ttl_jitter, _MAX_JITTER)
        self._stale_seconds = checked_share("stale_seconds", stale_seconds, math.inf)
        self.clock = clock
        self.wall_clock = wall_clock
        self._sizer = sizer
        self._random = random.Random()  # noqa: S311  # it spreads expiry, nothing secret
        # Re-entrant: an object that is dropped while the lock is held may use the cache in its finaliser.
        self._lock = threading.RLock()
        self._store = Store(max_size, self._limits.max_memory_bytes, self._stale_seconds)
        self._flights = Flights()
        self._reads = self._store.reads
        self._readers = make_readers(
            self._store,
            clock,
            drain=self._drain_reads,
            get_slowly=self._get_slowly,
            recheck=self._recheck,
            default_pipeline=DEFAULT_PIPELINE,
        )
        # An instance finds its readers at once; the methods of the same names are for subclasses.
        object.__setattr__(self, "get", self._readers.get)
        object.__setattr__(self, "try_hit", self._readers.try_hit)
        self._visible: dict[Hashable, CacheEntry] = {}
        self._show(enabled)
        self._waits: list[tuple[str, Outcome, float, str | None, float]] = []
        self._started_at = clock()
        self._internal_errors = dict.fromkeys(CORE_PARTS, 0)
        self._config_changes = dict.fromkeys(CONFIG_SETTINGS, 0)

    # --- reads

    def get(self, key: Hashable, default: Any = None, pipeline: str = DEFAULT_PIPELINE) -> Any:
        """The value of a key, or `default`. One lookup; a miss counts for `pipeline`. O(1), no lock on a hit."""
        return self._readers.get(key, default, pipeline)

    def try_hit(self, key: Hashable) -> CacheEntry | None:
        """The live entry of a key, counted as one hit; None counts nothing. O(1), no lock on a hit."""
        return self._readers.try_hit(key)

    def __getitem__(self, key: Hashable) -> Any:
        value = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def __contains__(self, key: object) -> bool:
        """Whether a key has a live entry. Not a lookup: nothing is counted, and its place stays as it is."""
        entry = self._visible.get(key)
        return entry is not None and self.clock() < entry.expires_at

    def __len__(self) -> int:
        """The entries held. Expired ones count until they are collected."""
        return len(self._store.live)

    def __iter__(self) -> Iterator[Hashable]:
        """The keys held, as they are now, oldest stored first."""
        return iter(list(self._store.live))

    def __bool__(self) -> bool:
        """Always true: an empty cache is a cache."""
        return True

    def _show(self, enabled: bool) -> None:
        """Let the readers see the live entries, or nothing."""
        self._visible = self._store.live if enabled else {}
        self._readers.show(self._visible)

    def _get_slowly(self, key: Hashable, default: Any, pipeline: str) -> Any:
        entry = self._recheck(key)
        if entry is not None:
            return entry.value
        if self._count_miss(key, pipeline) is None:
            self._count_outcome(pipeline, "bypass")
        return default

    def _recheck(self, key: Hashable) -> CacheEntry | None:
        """Look again, under the lock: for an entry that was just replaced, or that passed an edge of age."""
        try:
            return self._look_again(key)
        except Exception as error:  # noqa: BLE001  # fail open: nothing is found
            self.note_internal_error("lookup", error)
            return None

    def _look_again(self, key: Hashable) -> CacheEntry | None:
        with self._lock:
            entry = self._visible.get(key)
            now = self.clock()
            if entry is None or now >= entry.expires_at:
                return None
            if now >= entry.check_at:
                self._store.drain()
                entry.pass_age_edge(now)
            entry.used_at = now
            self._reads.append(entry)
            return entry

    def _drain_reads(self) -> None:
        if len(self._reads) >= _READ_BUFFER_BOUND:
            self._lock.acquire()
        elif not self._lock.acquire(blocking=False):
            return  # whoever holds it drains
        try:
            self._store.drain()
        except Exception as error:  # noqa: BLE001  # fail open: the reader has its answer
            self.note_internal_error("accounting", error)
        finally:
            self._lock.release()

    # --- accounting

    def _count_miss(self, key: Hashable, pipeline: str, *, refresh: bool = False) -> MissReason | None:
        """Count a miss and say why, and let the entry go if it has expired; None, and nothing done, while disabled."""
        dropped = None
        with self._lock:
            store = self._store
            ledger = store.ledger(pipeline)
            if not self._limits.enabled:
                return None
            entry = store.live.get(key)
            now = self.clock()
            reason: MissReason
            if entry is None:
                reason = store.departures.reason(key) or "cold"
            elif now < entry.expires_at:
                reason = "invalidated" if refresh else "cold"
            else:
                reason = "expired"
                if now >= entry.expires_at + store.stale_seconds:
                    store.drain()
                    store.evict(entry, "expired", now)
                    dropped = entry
            ledger.misses[reason] += 1
        del dropped
        return reason

    def _count_outcome(
        self,
        pipeline: str,
        outcome: Outcome,
        recouped_seconds: float = 0.0,
        bypass_reason: BypassReason = "disabled",
    ) -> None:
        try:
            self._add_outcome(pipeline, outcome, recouped_seconds, bypass_reason)
        except Exception as error:  # noqa: BLE001  # fail open: the caller has its answer
            self.note_internal_error("accounting", error)

    def _add_outcome(
        self, pipeline: str, outcome: Outcome, recouped_seconds: float, bypass_reason: BypassReason
    ) -> None:
        with self._lock:
            ledger = self._store.ledger(pipeline)
            if outcome == "coalesced":
                ledger.coalesced += 1
            elif outcome == "stale":
                ledger.stale += 1
            else:
                ledger.bypasses[bypass_reason] += 1
            ledger.recouped_seconds += recouped_seconds

    def note_internal_error(self, part: str, error: BaseException) -> None:
        """Count and log that a part of the cache failed, and that the caller was served all the same."""
        with self._lock:
            self._internal_errors[part] = self._internal_errors.get(part, 0) + 1
        _log.error("cache part failed open", exc_info=error, extra={"part": part})

    # --- writes

    def set(
        self,
        key: Hashable,
        value: Any,
        *,
        ttl_seconds: float | Default | None = DEFAULT,
        cost_seconds: float = 0.0,
        pipeline: str = DEFAULT_PIPELINE,
    ) -> bool:
        """Store a value, as the newest entry.

        Args:
            key: Any hashable.
            value: Any object, None too.
            ttl_seconds: Seconds that it lives; None or 0: it never expires. By default as the cache is configured.
            cost_seconds: Seconds that its generation took; what each hit on it recoups.
            pipeline: The pipeline that it is counted for.

        Returns:
            Whether it was stored: not when it is larger than the whole memory limit, when the cache is disabled, or
            when its size cannot be told (which is counted as an internal error).

        Raises:
            ConfigurationError: `ttl_seconds` is negative or no number.
        """
        return self._put(key, value, self._ttl(ttl_seconds), cost_seconds, pipeline, None)

    def _ttl(self, ttl_seconds: float | Default | None) -> float | None:
        return self._limits.ttl_seconds if isinstance(ttl_seconds, Default) else checked_ttl(ttl_seconds)

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self.set(key, value)

    def _put(
        self, key: Hashable, value: Any, ttl: float | None, cost: float, pipeline: str, flight: Flight | None
    ) -> bool:
        try:
            size = _checked_size(self._sizer(value)) + measure_key(key) + ENTRY_OVERHEAD
        except Exception as error:  # noqa: BLE001  # fail open: a value that cannot be measured is not stored
            self.note_internal_error("sizer", error)
            self._displace(key)
            return False
        dropped: list[CacheEntry] = []
        with self._lock:
            if not self._limits.enabled or (flight is not None and flight.detached):
                return False
            store = self._store
            store.drain()
            now = self.clock()
            ledger = store.ledger(pipeline)
            if store.departures.reason(key) == "evicted":
                ledger.regretted_seconds += cost
            old = store.live.get(key)
            if old is not None:
                dropped.append(old)
                store.remove(old, "replaced", now)
            if size > store.max_memory_bytes:
                store.departures.note(key, "too_large")
                return False
            lives = math.inf if ttl is None else ttl * (1.0 - self._jitter * self._random.random())
            store.insert(
                CacheEntry(
                    key, value, ledger, size_bytes=size, created_at=now, expires_at=now + lives, cost_seconds=cost
                )
            )
            dropped += store.shrink(now)
            dropped += store.sweep(SWEEP_ON_WRITE, now)
            store.note_peaks()
        # Only now, outside the lock, are the values let go, whose finalisers may take their time.
        dropped.clear()
        return True

    def _displace(self, key: Hashable) -> None:
        """Let an older value go whose successor cannot be stored."""
        with self._lock:
            self._store.drain()
            old = self._store.live.get(key)
            if old is not None and self._limits.enabled:
                self._store.remove(old, "replaced", self.clock())

    def delete(self, key: Hashable) -> bool:
        """Remove an entry. A generation of its key that is in progress will not be stored.

        Returns:
            Whether there was a live one.
        """
        with self._lock:
            self._flights.detach(key)
            store = self._store
            entry = store.live.get(key)
            if entry is None:
                return False
            store.drain()
            return store.remove(entry, "deleted", self.clock())

    def __delitem__(self, key: Hashable) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def pop(self, key: Hashable, default: Any = _ABSENT) -> Any:
        """Remove an entry and give its value, as `dict.pop` does. Counted as a lookup."""
        value = self.get(key, _ABSENT)
        if value is not _ABSENT:
            self.delete(key)
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def clear(self, pipeline: str | None = None) -> int:
        """Remove all entries, or those of one pipeline. Generations in progress will not be stored.

        Returns:
            How many were removed.
        """
        with self._lock:
            self._flights.detach_all(pipeline)
            store = self._store
            store.drain()
            chosen = [entry for entry in store.live.values() if pipeline in (None, entry.ledger.name)]
            for entry in chosen:
                store.invalidate(entry, "cleared")
        return len(chosen)
