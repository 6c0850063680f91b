"""Changing the limits of a cache and of its pipelines. What is over a new one goes at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recoup.cache.config import CacheConfig, check_reserves
from recoup.cache.policies import POLICIES
from recoup.cache.policies.quotas import Quota
from recoup.cache.state import CacheState
from recoup.cache.stats import CONFIG_SETTINGS


def set_quota(state: CacheState, pipeline: str, quota: Quota) -> None:
    """See `ResultCache.set_quota`.

    Raises:
        ConfigurationError: The reserves of all pipelines leave nothing to share.
    """
    store = state.store
    with state.lock:
        known = store.counters.get(pipeline)
        before = 0 if known is None or known.quota is None else known.quota.reserve_bytes
        check_reserves(store.reserved_bytes - before + quota.reserve_bytes, store.max_memory_bytes)
        state.reads.drain_locked()
        store.set_quota(pipeline, quota)
        now = state.clock()
        dropped = [*store.shrink_pipeline(store.counters[pipeline], now), *store.shrink(now)]
    dropped.clear()


def configure(state: CacheState, changes: Mapping[str, object]) -> dict[str, Any]:
    """Put changed settings in force, all or none; gives the configuration after it.

    Raises:
        ConfigurationError: A value cannot be used.
    """
    with state.lock:
        before = state.config.as_dict()
        config = CacheConfig.checked(**{**before, **changes})
        check_reserves(state.store.reserved_bytes, config.max_memory_bytes)
        after = config.as_dict()
        state.config = config
        state.store.limit(config.max_size, config.max_memory_bytes)
        state.show_entries()
        for name in CONFIG_SETTINGS:
            state.config_changes[name] += before[name] != after[name]
        state.reads.drain_locked()
        if config.policy != before["policy"]:
            state.store.set_policy(POLICIES[config.policy])
        now = state.clock()
        dropped = [*state.store.shrink_pipelines(now), *state.store.shrink(now)]
    dropped.clear()
    return after
