"""The read path. A hit is a dictionary look-up, an expiry check and one entry in a buffer; it takes no lock.

The readers are closures, made once for each cache: a method would spend a fifth of a hit on finding its attributes.

They read the clock through an iterator, `ticks`, which ends after as many readings as the buffer takes. So the end of
the iterator says that the buffer is to be relieved, and no hit asks for the buffer's length, which would be a tenth of
it. What is counted does not depend on `ticks`: they say only when a reader relieves the buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import starmap
from typing import Any

from recoup.cache.config import checked_pipeline
from recoup.cache.entry import CacheEntry
from recoup.cache.state import DEFAULT_PIPELINE, READ_BUFFER, CacheState

Get = Callable[..., Any]
TryHit = Callable[[Hashable], "CacheEntry[Any] | None"]

#: The arguments of the clock, once for each record that the read buffer takes. A tuple, as its iterator ends under
#: threads without a global lock, too, where that of `itertools.repeat` may pass its end.
_CALLS: tuple[tuple[()], ...] = ((),) * READ_BUFFER


class ReadPath:
    """The readers of a cache.

    Args:
        state: The cache's state.

    Attributes:
        get: See `ResultCache.get`.
        try_hit: See `ResultCache.try_hit`.
    """

    def __init__(self, state: CacheState) -> None:
        self._state = state
        visible = state.visible
        clock = state.clock
        reads, times = state.reads.items, state.read_times
        get_slowly, recheck = self._get_slowly, self.recheck
        ticks: Iterator[float] = starmap(clock, _CALLS)

        def relieve() -> float:
            """Begin the next readings of the clock, and account for the reads so far; the time now."""
            nonlocal ticks
            ticks = starmap(clock, _CALLS)
            state.relieve_reads()
            return clock()

        def get(key: Hashable, default: Any = None, pipeline: str = DEFAULT_PIPELINE) -> Any:
            try:
                entry = visible[key]
            except KeyError:
                return get_slowly(key, default, pipeline)
            for now in ticks:  # noqa: B007  # one reading: `next` would be a call more
                break
            else:
                now = relieve()
            if now >= entry.check_at:
                return get_slowly(key, default, pipeline)
            entry.used_at = now
            times.append(now)
            reads.append(entry)
            return entry.value

        def try_hit(key: Hashable) -> CacheEntry[Any] | None:
            # The same lines as in `get`: a call between them would cost as much as they do.
            try:
                entry = visible[key]
            except KeyError:
                return None
            for now in ticks:  # noqa: B007
                break
            else:
                now = relieve()
            if now >= entry.check_at:
                return recheck(key)
            entry.used_at = now
            times.append(now)
            reads.append(entry)
            return entry

        def show(entries: dict[Hashable, CacheEntry[Any]]) -> None:
            nonlocal visible
            visible = state.visible = entries

        self.get: Get = get
        self.try_hit: TryHit = try_hit
        state.show = show

    def _get_slowly(self, key: Hashable, default: Any, pipeline: str) -> Any:
        """What `get` does without a hit: under the lock, with all that belongs to a miss."""
        state = self._state
        if type(pipeline) is not str or pipeline not in state.store.counters:
            checked_pipeline(pipeline)
        dropped = None
        try:
            with state.lock:
                now = state.clock()
                entry = state.find(key, now)
                if entry is not None and now < entry.expires_at:
                    return self.hit_locked(entry, now).value
                if state.config.enabled:
                    dropped = entry
                    state.count_miss(key, entry, pipeline, now)
                else:
                    state.store.of(pipeline).bypasses["disabled"] += 1
        except Exception as error:  # noqa: BLE001  # fail open: nothing is found
            state.note_internal_error("lookup", error)
        del dropped  # outside the lock, as its finaliser may take its time
        return default

    def recheck(self, key: Hashable) -> CacheEntry[Any] | None:
        """Look again, under the lock, for an entry that reached its next check. None counts nothing."""
        state = self._state
        try:
            with state.lock:
                now = state.clock()
                entry = state.find(key, now)
                return None if entry is None or now >= entry.expires_at else self.hit_locked(entry, now)
        except Exception as error:  # noqa: BLE001  # fail open: nothing is found
            state.note_internal_error("lookup", error)
            return None

    def hit_locked(self, entry: CacheEntry[Any], now: float) -> CacheEntry[Any]:
        """Count a hit on a live entry, for a caller who holds the lock."""
        reads = self._state.reads
        if now >= entry.check_at:
            reads.drain_locked()
            entry.pass_age_edge(now)
        entry.used_at = now
        self._state.read_times.append(now)
        reads.items.append(entry)
        return entry
