"""Taking entries out because somebody said so: by key, by pipeline, by group; with the generations on their way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any

from recoup.cache.entry import CacheEntry
from recoup.cache.state import CacheState
from recoup.cache.stats import TierName
from recoup.cache.tier import Invalidation
from recoup.cache.tiering import tier_key


def delete(state: CacheState, key: Hashable) -> bool:
    """See `ResultCache.delete`."""
    invalidation = state.tiers.announced_key(key)
    with state.lock:
        state.flights.detach(key)
        commits = state.tiers.invalidate(invalidation)
        now = state.clock()
        entry = state.store.purges.find(key, now)
        was_live = False
        if entry is not None:
            state.reads.drain_locked()
            was_live = state.store.remove(entry, "deleted", now)
    return state.tiers.commit(commits) or was_live


def clear(state: CacheState, pipeline: str | None) -> int:
    """See `ResultCache.clear`."""
    invalidation = state.tiers.announced(pipeline=pipeline)
    with state.lock:
        state.flights.detach_all(pipeline)
        commits = state.tiers.invalidate(invalidation)
        state.reads.drain_locked()
        purged = state.store.purges.settle_all(state.clock())
        chosen = [entry for entry in state.store.live.values() if pipeline in (None, entry.pipeline)]
        for entry in chosen:
            state.store.invalidate(entry, "cleared")
    del purged  # outside the lock, as finalisers may take their time
    state.tiers.commit(commits)
    return len(chosen)


def purge(state: CacheState, names: Collection[str], pipeline: str | None, *, soft: bool) -> None:
    """See `ResultCache.purge`."""
    invalidation = state.tiers.announced(groups=tuple(names), pipeline=pipeline, soft=soft) if names else None
    with state.lock:
        state.reads.drain_locked()
        dropped = state.store.purges.purge(names, pipeline, state.clock(), soft=soft)
        state.flights.purge(names, pipeline, state.store.groups.epoch, soft=soft)
        commits = state.tiers.invalidate(invalidation)
        state.show_entries()
    dropped.clear()
    state.tiers.commit(commits)


def collect_purged(state: CacheState, steps: int) -> bool:
    """See `ResultCache.collect_purged`."""
    store = state.store
    with state.lock:
        state.reads.drain_locked()
        dropped = store.purges.settle_some(steps, state.clock())
        more = bool(store.groups.pending)
    dropped.clear()
    return more


def apply_remote(state: CacheState, origin: TierName, invalidation: Invalidation, then: Callable[[], None]) -> None:
    """Invalidate here what another instance has invalidated, and call `then` under the same lock.

    Args:
        state: The cache's state.
        origin: The tier that it came through.
        invalidation: What is invalidated.
        then: Notes that it was.
    """
    pipeline = invalidation.pipeline
    dropped: list[CacheEntry[Any]] = []
    with state.lock:
        now = state.clock()
        state.reads.drain_locked()
        if invalidation.key is not None:
            _remove_by_tier_key(state, invalidation.key, now, dropped)
        elif invalidation.groups:
            dropped += state.store.purges.purge(invalidation.groups, pipeline, now, soft=invalidation.soft)
            epoch = state.store.groups.epoch
            state.flights.purge(invalidation.groups, pipeline, epoch, soft=invalidation.soft)
            state.show_entries()
        else:
            state.flights.detach_all(pipeline)
            dropped += state.store.purges.settle_all(now)
            for entry in [entry for entry in state.store.live.values() if pipeline in (None, entry.pipeline)]:
                state.store.invalidate(entry, "cleared")
                dropped.append(entry)
        commits = state.tiers.invalidate(invalidation, origin)
        then()
    dropped.clear()
    state.tiers.commit(commits)


def _remove_by_tier_key(state: CacheState, name: str, now: float, dropped: list[CacheEntry[Any]]) -> None:
    """Remove the entry whose key in tiers this is: mostly the key itself. Where there are others, O(entries)."""
    keys: set[Hashable] = {name}
    if state.tiers.has_other_keys and name not in state.store.live:
        known = [*state.store.live, *(flight.key for flight in state.flights.all())]
        keys.update(key for key in known if tier_key(key) == name)
    for key in keys:
        state.flights.detach(key)
        entry = state.store.purges.find(key, now)
        if entry is not None:
            state.store.remove(entry, "deleted", now)
            dropped.append(entry)
