"""What is held, for people to look at: a page of entries, one entry, how many. Not lookups: nothing is counted."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from recoup.cache.entry import CacheEntry
from recoup.cache.state import CacheState
from recoup.cache.stats import SORTS, Sort
from recoup.errors import ConfigurationError
from recoup.fields import echo, refusal

Describe = Callable[[Any], dict[str, Any]]

_RANKS: dict[Sort, Callable[[CacheEntry[Any]], float]] = {
    "recent": lambda entry: entry.used_at,
    "oldest": lambda entry: -entry.created_at,
    "largest": lambda entry: entry.size_bytes,
    "most_hit": lambda entry: entry.hits,
    "costliest": lambda entry: entry.cost_seconds,
}


def count(state: CacheState, pipeline: str | None, group: str | None) -> int:
    """See `ResultCache.count`."""
    with state.lock:
        if group is not None:
            return state.store.groups.count(group, pipeline)
        if pipeline is None:
            return len(state.store.live)
        counters = state.store.counters.get(pipeline)
        return 0 if counters is None else counters.entries


def page(
    state: CacheState,
    limit: int,
    offset: int,
    sort: Sort,
    pipeline: str | None,
    describe: Describe | None,
    group: str | None,
) -> list[dict[str, Any]]:
    """See `ResultCache.entries`.

    Raises:
        ConfigurationError: An argument is out of its bounds.
    """
    if limit < 0 or offset < 0:
        raise ConfigurationError(f"limit={limit} and offset={offset}: expected numbers of at least 0")
    if sort not in SORTS:
        raise ConfigurationError(refusal("sort", echo(sort), f"one of {', '.join(SORTS)}"))
    chosen = _first(state, offset + limit, sort, pipeline, group)[offset:]
    now = state.clock()
    return [_described(entry, now, describe) for entry in chosen]


def inspect(state: CacheState, key: Hashable, describe: Describe | None) -> dict[str, Any] | None:
    """See `ResultCache.inspect`."""
    with state.lock:
        state.reads.drain_locked()
        now = state.clock()
        entry = state.store.purges.find(key, now)
    if entry is None or now >= entry.expires_at:
        return None
    return _described(entry, now, describe)


def _first(state: CacheState, size: int, sort: Sort, pipeline: str | None, group: str | None) -> list[CacheEntry[Any]]:
    with state.lock:
        state.reads.drain_locked()
        store = state.store
        if sort == "recent" and store.policy.by_recency:
            return list(itertools.islice(_of(store.order.newest_first(), pipeline, group), size))
        held = list(store.live.values()) if group is None else store.groups.members(group, pipeline)
    # Ranked outside the lock: this is the one operation that looks at every entry.
    return heapq.nlargest(size, _of(held, pipeline), key=_RANKS[sort])


def _of(
    entries: Iterable[CacheEntry[Any]], pipeline: str | None, group: str | None = None
) -> Iterator[CacheEntry[Any]]:
    """Those of a pipeline and a group that were not purged."""
    for entry in entries:
        membership = entry.membership
        if pipeline is not None and entry.pipeline != pipeline:
            continue
        if group is not None and group not in entry.groups:
            continue
        if membership is None or not membership.is_hard_purged():
            yield entry


def _described(entry: CacheEntry[Any], now: float, describe: Describe | None) -> dict[str, Any]:
    known = entry.as_dict(now)
    return known if describe is None else {**known, **describe(entry.value)}
