"""The read path. A hit is a dictionary look-up, an expiry check and one append to a buffer; it takes no lock.

The readers are closures, made once for each cache: a method would spend a fifth of a hit on finding its attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

from recoup.cache.entry import CacheEntry
from recoup.cache.store import Store

#: Reads that are buffered before a reader takes the trouble to account for them.
READ_BUFFER: Final = 16384

Get = Callable[..., Any]
TryHit = Callable[[Hashable], "CacheEntry | None"]


class Readers(NamedTuple):
    """The readers of one cache.

    Attributes:
        get: See `BoundedCache.get`.
        try_hit: See `BoundedCache.try_hit`.
        show: Changes what the readers look into.
    """

    get: Get
    try_hit: TryHit
    show: Callable[[dict[Hashable, CacheEntry]], None]


def make_readers(
    store: Store,
    clock: Callable[[], float],
    *,
    drain: Callable[[], None],
    get_slowly: Callable[[Hashable, Any, str], Any],
    recheck: Callable[[Hashable], CacheEntry | None],
    default_pipeline: str,
) -> Readers:
    """The readers of a store.

    Args:
        store: Its `live` entries are looked into, its `reads` appended to.
        clock: Monotonic seconds.
        drain: Called when the buffer is full.
        get_slowly: What `get` does without a hit: under the lock, with all that belongs to a miss.
        recheck: Looks again, under the lock, for an entry that reached its next check.
        default_pipeline: Whose miss it is when the caller names no pipeline.
    """
    visible = store.live
    reads = store.reads
    full = READ_BUFFER

    def get(key: Hashable, default: Any = None, pipeline: str = default_pipeline) -> Any:
        try:
            entry = visible[key]
        except KeyError:
            return get_slowly(key, default, pipeline)
        now = clock()
        if now >= entry.check_at:
            return get_slowly(key, default, pipeline)
        entry.used_at = now
        reads.append(entry)
        if len(reads) >= full:
            drain()
        return entry.value

    def try_hit(key: Hashable) -> CacheEntry | None:
        # The same lines as in `get`: a call between them would cost as much as they do.
        try:
            entry = visible[key]
        except KeyError:
            return None
        now = clock()
        if now >= entry.check_at:
            return recheck(key)
        entry.used_at = now
        reads.append(entry)
        if len(reads) >= full:
            drain()
        return entry

    def show(entries: dict[Hashable, CacheEntry]) -> None:
        nonlocal visible
        visible = entries

    return Readers(get, try_hit, show)
