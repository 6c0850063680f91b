"""Taking entries out because somebody said so: by key, by pipeline, by group; with the generations on their way."""

from __future__ import annotations

from collections.abc import Collection, Hashable

from recoup.cache.state import CacheState


def delete(state: CacheState, key: Hashable) -> bool:
    """See `ResultCache.delete`."""
    with state.lock:
        state.flights.detach(key)
        commits = state.tiers.invalidate(key=key, is_key=True)
        now = state.clock()
        entry = state.store.purges.find(key, now)
        was_live = False
        if entry is not None:
            state.reads.drain_locked()
            was_live = state.store.remove(entry, "deleted", now)
    return state.tiers.commit(commits) or was_live


def clear(state: CacheState, pipeline: str | None) -> int:
    """See `ResultCache.clear`."""
    with state.lock:
        state.flights.detach_all(pipeline)
        commits = state.tiers.invalidate(pipeline=pipeline)
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
    with state.lock:
        state.reads.drain_locked()
        dropped = state.store.purges.purge(names, pipeline, state.clock(), soft=soft)
        state.flights.purge(names, pipeline, state.store.groups.epoch, soft=soft)
        commits = state.tiers.invalidate(groups=tuple(names), pipeline=pipeline, soft=soft) if names else []
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
