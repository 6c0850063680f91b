"""The counts of one pipeline. Mutable, and guarded by the cache's lock."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from recoup.cache import buckets
from recoup.cache.gate import Gate
from recoup.cache.histogram import Histogram
from recoup.cache.records import (
    BYPASS_REASONS,
    EVICTION_CAUSES,
    INVALIDATION_CAUSES,
    MISS_REASONS,
    OUTCOMES,
    SPENT_PURPOSES,
    PipelineHistograms,
    PipelineStats,
)
from recoup.errors import GENERATION_ERROR_KINDS


class Ledger:
    """What one pipeline has done and holds.

    Args:
        name: The pipeline's name.
    """

    # Slots: the drain of the read buffer touches these for every entry that was hit.
    __slots__ = (
        "bypasses",
        "coalesced",
        "entries",
        "entry_size",
        "eviction_age",
        "evictions",
        "failures",
        "gate",
        "generating",
        "generation_duration",
        "hit_age",
        "hits",
        "invalidations",
        "memory_bytes",
        "misses",
        "name",
        "recouped_seconds",
        "regretted_seconds",
        "request_duration",
        "spent_seconds",
        "stale",
        "unused_evictions",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate: Gate | None = None
        self.entries = 0
        self.memory_bytes = 0
        self.generating = 0
        self.reset()

    def reset(self) -> None:
        """Back to zero, but for what is of now: entries, bytes, generations in progress."""
        self.hits = 0
        self.stale = 0
        self.coalesced = 0
        self.bypasses = dict.fromkeys(BYPASS_REASONS, 0)
        self.misses = dict.fromkeys(MISS_REASONS, 0)
        self.evictions = dict.fromkeys(EVICTION_CAUSES, 0)
        self.invalidations = dict.fromkeys(INVALIDATION_CAUSES, 0)
        self.unused_evictions = 0
        self.recouped_seconds = 0.0
        self.regretted_seconds = 0.0
        self.spent_seconds = dict.fromkeys(SPENT_PURPOSES, 0.0)
        self.failures = dict.fromkeys(GENERATION_ERROR_KINDS, 0)
        self.entry_size = Histogram(buckets.SIZE_BYTES)
        self.hit_age = Histogram(buckets.AGE_SECONDS)
        self.eviction_age = Histogram(buckets.AGE_SECONDS)
        self.generation_duration = Histogram(buckets.GENERATION_SECONDS)
        self.request_duration = {outcome: Histogram(buckets.REQUEST_SECONDS) for outcome in OUTCOMES}

    def count_hits(self, hits: int, recouped_seconds: float, aged_seconds: float) -> None:
        """Count hits, what they recouped, and the sum of their ages; the buckets of ages are counted by the caller."""
        self.hits += hits
        self.recouped_seconds += recouped_seconds
        self.hit_age.total += aged_seconds

    def stats(self) -> PipelineStats:
        """The figures as they are now."""
        return PipelineStats(
            entries=self.entries,
            memory_bytes=self.memory_bytes,
            hits=self.hits,
            stale=self.stale,
            coalesced=self.coalesced,
            misses=sum(self.misses.values()),
            bypassed=sum(self.bypasses.values()),
            evictions=MappingProxyType(dict(self.evictions)),
            invalidations=MappingProxyType(dict(self.invalidations)),
            unused_evictions=self.unused_evictions,
            miss_reasons=MappingProxyType(dict(self.misses)),
            bypass_reasons=MappingProxyType(dict(self.bypasses)),
            recouped_seconds=self.recouped_seconds,
            regretted_seconds=self.regretted_seconds,
            spent_seconds=MappingProxyType(dict(self.spent_seconds)),
            generations=sum(self.generation_duration.counts),
            generation_seconds=self.generation_duration.total,
            generation_failures=MappingProxyType(dict(self.failures)),
            generations_in_progress=self.generating if self.gate is None else self.gate.in_progress,
            generations_waiting=0 if self.gate is None else self.gate.waiting,
        )

    def histograms(self) -> PipelineHistograms:
        """The distributions as they are now."""
        return PipelineHistograms(
            entry_size=self.entry_size.snapshot(),
            hit_age=self.hit_age.snapshot(),
            eviction_age=self.eviction_age.snapshot(),
            generation_duration=self.generation_duration.snapshot(),
            request_duration=MappingProxyType(
                {outcome: histogram.snapshot() for outcome, histogram in self.request_duration.items()}
            ),
        )


def total(figures: Iterable[PipelineStats]) -> PipelineStats:
    """The sum of several pipelines' figures."""
    summed: dict[str, Any] = {}
    empty = Ledger("").stats()
    for stats in (empty, *figures):
        for name in PipelineStats.__slots__:
            value = getattr(stats, name)
            if isinstance(value, (int, float)):
                summed[name] = summed.get(name, 0) + value
            else:
                known = summed.setdefault(name, {})
                for word, count in value.items():
                    known[word] = known.get(word, 0) + count
    return PipelineStats(**summed)
