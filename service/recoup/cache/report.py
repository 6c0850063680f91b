"""The statistics of a cache, gathered where they are asked for: what was counted without the lock is counted first."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from recoup.cache.counters import PipelineCounters, total
from recoup.cache.state import CacheState
from recoup.cache.stats import CacheStats, Outcome, PipelineStats

#: Entries that are looked at for expiry when statistics are read, so that a cache without writes lets go, too.
_SWEEP_ON_STATS: Final = 256
#: Likewise, members of purged groups.
_SETTLED_ON_STATS: Final = 4096


class Report:
    """Gives the figures of a cache.

    Args:
        state: The cache's state.
    """

    def __init__(self, state: CacheState) -> None:
        self._state = state
        self._sources: tuple[Callable[[], None], ...] = ()

    def add_source(self, settle: Callable[[], None]) -> None:
        """See `ResultCache.add_source`."""
        with self._state.lock:
            self._sources = (*self._sources, settle)

    def record_stream(
        self, pipeline: str, outcome: Outcome, first_byte_seconds: float, seconds: float, trace_id: str
    ) -> None:
        """See `ResultCache.record_stream`."""
        state = self._state
        with state.lock:
            counters = state.store.of(pipeline)
            counters.request_duration[outcome].observe(seconds, trace_id, state.wall_clock())
            counters.early[outcome].observe(first_byte_seconds, seconds)

    def pipeline_stats(self, pipeline: str) -> PipelineStats:
        """See `ResultCache.pipeline_stats`."""
        self._settle()
        state = self._state
        with state.lock:
            state.reads.drain_locked()
            counters = state.store.counters.get(pipeline)
            return (PipelineCounters(pipeline) if counters is None else counters).stats()

    def stats(self) -> CacheStats:
        """See `ResultCache.stats`."""
        self._settle()
        state = self._state
        store = state.store
        tiers = state.tiers.stats()
        with state.lock:
            state.reads.drain_locked()
            state.waits.drain_locked()
            now = state.clock()
            dropped = [*store.purges.settle_some(_SETTLED_ON_STATS, now), *store.sweep(_SWEEP_ON_STATS, now)]
            pipelines = {name: counters.stats() for name, counters in store.counters.items()}
            stats = CacheStats(
                **total(pipelines.values()),
                enabled=state.config.enabled,
                pipelines=MappingProxyType(pipelines),
                histograms=MappingProxyType({name: counters.histograms() for name, counters in store.counters.items()}),
                config=MappingProxyType(state.config.as_dict()),
                max_memory_bytes=state.config.max_memory_bytes,
                peak_entries=store.peak_entries,
                peak_memory_bytes=store.peak_memory_bytes,
                uptime_seconds=now - state.started_at,
                config_changes=MappingProxyType(dict(state.config_changes)),
                internal_errors=MappingProxyType(dict(state.internal_errors)),
                tiers=tiers,
            )
        dropped.clear()
        return stats

    def reset(self) -> None:
        """See `ResultCache.reset_stats`."""
        self._settle()
        state = self._state
        with state.lock:
            state.reads.drain_locked()
            state.waits.drain_locked()
            state.reset_counts()

    def _settle(self) -> None:
        for settle in self._sources:
            settle()
