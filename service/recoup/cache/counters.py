"""The counters of one pipeline. Mutable, and guarded by the cache's lock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from recoup.cache.histogram import AGE_SECONDS, GENERATION_SECONDS, REQUEST_SECONDS, SIZE_BYTES, Histogram
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.stats import (
    BYPASS_REASONS,
    EVICTION_CAUSES,
    INVALIDATION_CAUSES,
    MISS_REASONS,
    NO_CURRENCY,
    OUTCOMES,
    REFRESH_CAUSES,
    REFRESH_RESULTS,
    SPENT_PURPOSES,
    STREAM_ENDS,
    HistogramSnapshot,
    Outcome,
    PipelineHistograms,
    PipelineStats,
    SpentPurpose,
)
from recoup.errors import GENERATION_ERROR_KINDS

if TYPE_CHECKING:
    from recoup.cache.entry import CacheEntry
    from recoup.cache.groups import Membership
    from recoup.cache.policies.quotas import Quota
_NO_MONEY: Mapping[str, float] = MappingProxyType({})


class PipelineCounters:
    """What one pipeline has done and holds.

    Args:
        name: The pipeline's name.
    """

    # Slots: the drain of the read buffer touches these for every entry that was hit.
    __slots__ = (
        "bypasses",
        "coalesced",
        "currency",
        "early",
        "entries",
        "entry_size",
        "eviction_age",
        "evictions",
        "failures",
        "generated_cost",
        "generating",
        "generation_duration",
        "hit_age",
        "hits",
        "invalidations",
        "limiter",
        "memberships",
        "memory_bytes",
        "misses",
        "name",
        "quota",
        "recouped_cost",
        "recouped_seconds",
        "refreshes",
        "regretted_cost",
        "regretted_seconds",
        "request_duration",
        "spent_seconds",
        "stale",
        "streams",
        "unused_evictions",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.limiter: ConcurrencyLimiter | None = None
        self.quota: Quota | None = None
        #: Of the entries that are in groups.
        self.memberships: dict[CacheEntry[Any], Membership] = {}
        self.currency: str | None = None
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
        self.generated_cost = 0.0
        self.recouped_cost = 0.0
        self.regretted_cost = 0.0
        self.spent_seconds = dict.fromkeys(SPENT_PURPOSES, 0.0)
        self.failures = dict.fromkeys(GENERATION_ERROR_KINDS, 0)
        self.entry_size = Histogram(SIZE_BYTES)
        self.hit_age = Histogram(AGE_SECONDS)
        self.eviction_age = Histogram(AGE_SECONDS)
        self.generation_duration = Histogram(GENERATION_SECONDS)
        self.request_duration = {outcome: Histogram(REQUEST_SECONDS) for outcome in OUTCOMES}
        self.streams = dict.fromkeys(STREAM_ENDS, 0)
        self.refreshes = dict.fromkeys(itertools.product(REFRESH_CAUSES, REFRESH_RESULTS), 0)
        self.early = {outcome: EarlyAnswers() for outcome in OUTCOMES}

    def count_hits(self, hits: int, recouped_seconds: float, recouped_cost: float) -> None:
        """Count hits and what they recouped."""
        self.hits += hits
        self.recouped_seconds += recouped_seconds
        self.recouped_cost += recouped_cost

    def count_recouped(self, cost_seconds: float, price: float) -> None:
        """Count what a lookup recouped that was answered with somebody else's generation."""
        self.recouped_seconds += cost_seconds
        self.recouped_cost += price

    def count_generation(self, purpose: SpentPurpose, cost_seconds: float, price: float) -> None:
        """Count a generation that succeeded, what its time was spent on, and what it cost in money."""
        self.generation_duration.observe(cost_seconds)
        self.spent_seconds[purpose] += cost_seconds
        self.generated_cost += price

    def count_regretted(self, cost_seconds: float, price: float) -> None:
        """Count what was spent on a result that had been evicted."""
        self.regretted_seconds += cost_seconds
        self.regretted_cost += price

    def _money(self, amount: float) -> Mapping[str, float]:
        """An amount by its currency; empty where no price is known."""
        if self.currency is None and not self.generated_cost and not self.recouped_cost:
            return _NO_MONEY
        return MappingProxyType({self.currency or NO_CURRENCY: amount})

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
            generated_cost=self._money(self.generated_cost),
            recouped_cost=self._money(self.recouped_cost),
            regretted_cost=self._money(self.regretted_cost),
            spent_seconds=MappingProxyType(dict(self.spent_seconds)),
            streams=MappingProxyType(dict(self.streams)),
            refreshes=MappingProxyType(dict(self.refreshes)),
            generations=sum(self.generation_duration.counts),
            generation_seconds=self.generation_duration.total,
            generation_failures=MappingProxyType(dict(self.failures)),
            generations_in_progress=self.generating if self.limiter is None else self.limiter.in_progress,
            generations_waiting=0 if self.limiter is None else self.limiter.waiting,
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
            first_byte=MappingProxyType({outcome: self._first_byte(outcome) for outcome in OUTCOMES}),
        )

    def _first_byte(self, outcome: Outcome) -> HistogramSnapshot:
        """Seconds until the first byte: those until the last one, but for answers that began before they were whole."""
        durations, early = self.request_duration[outcome], self.early[outcome]
        parts = zip(durations.counts, early.whole.counts, early.first_byte.counts, strict=True)
        return HistogramSnapshot(
            durations.bounds,
            tuple(count - whole + first for count, whole, first in parts),
            max(0.0, durations.total - early.whole.total + early.first_byte.total),
            MappingProxyType({}),
        )


class EarlyAnswers:
    """What callers waited for answers that began before they were whole. All others' first byte comes with their last:
    so counting the first byte costs a hit nothing.
    """

    __slots__ = ("first_byte", "whole")

    def __init__(self) -> None:
        self.first_byte = Histogram(REQUEST_SECONDS)
        self.whole = Histogram(REQUEST_SECONDS)

    def observe(self, first_byte_seconds: float, seconds: float) -> None:
        """Count one of them."""
        self.first_byte.observe(first_byte_seconds)
        self.whole.observe(seconds)


def total(figures: Iterable[PipelineStats]) -> dict[str, Any]:
    """The sum of several pipelines' figures, by name, as `PipelineStats` takes them."""
    summed: dict[str, Any] = {}
    for stats in (PipelineCounters("").stats(), *figures):
        for name in PipelineStats.__slots__:
            value = getattr(stats, name)
            if isinstance(value, (int, float)):
                summed[name] = summed.get(name, 0) + value
            else:
                words = summed.setdefault(name, {})
                for word, count in value.items():
                    words[word] = words.get(word, 0) + count
    return {
        name: value if isinstance(value, (int, float)) else MappingProxyType(value) for name, value in summed.items()
    }
