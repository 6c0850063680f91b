"""The collector: what a cache counted, read when it is scraped."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

import recoup
from recoup.cache.stats import OUTCOMES, CacheStats, HistogramSnapshot, Outcome, PipelineHistograms, PipelineStats
from recoup.cache.tier import TierStats
from recoup.telemetry import catalogue
from recoup.telemetry.catalogue import Metric
from recoup.telemetry.families import Distribution, Value, distributions, empty, family, values


class HasStats(Protocol):
    """What the collector needs of a cache."""

    def stats(self) -> CacheStats:
        """The cache's figures at one moment."""


class CacheCollector(Collector):
    """Exports the figures of one cache, under the names of the catalogue.

    Register it with a registry of one's own: `registry.register(CacheCollector(cache))`. A scrape takes one snapshot
    of the cache's statistics; it costs the same whatever the number of entries. Registering takes none.
    """

    def __init__(self, cache: HasStats) -> None:
        self._cache = cache

    def describe(self) -> Iterable[Family]:
        """The families without their series, from the catalogue alone."""
        return [family(metric) for metric in (*_VALUES, *_DISTRIBUTIONS)]

    def collect(self) -> Iterator[Family]:
        """Every family with its series, all of one moment."""
        stats = self._cache.stats()
        for metric, read in _VALUES.items():
            yield values(metric, read(stats))
        for metric, read_all in _DISTRIBUTIONS.items():
            yield distributions(metric, read_all(stats))


Reader = Callable[[CacheStats], Iterable[Value]]
DistributionReader = Callable[[CacheStats], Iterable[Distribution]]


def _single(read: Callable[[CacheStats], float]) -> Reader:
    return lambda stats: [((), read(stats))]


def _by_pipeline(read: Callable[[PipelineStats], float]) -> Reader:
    return lambda stats: [((name,), read(figures)) for name, figures in stats.pipelines.items()]


def _by_currency(read: Callable[[PipelineStats], Mapping[str, float]]) -> Reader:
    return lambda stats: [
        ((name, currency), amount)
        for name, figures in stats.pipelines.items()
        for currency, amount in read(figures).items()
    ]


def _by_word(metric: Metric, label: str, read: Callable[[PipelineStats], Mapping[Any, float]]) -> Reader:
    def series(stats: CacheStats) -> Iterator[Value]:
        for name, figures in stats.pipelines.items():
            for word, count in _complete(metric.values[label], read(figures)):
                yield (name, word), count

    return series


def _by_two_words(read: Callable[[PipelineStats], Mapping[Any, float]]) -> Reader:
    """By two labels beside the pipeline; every pair of their words is counted from the start."""
    return lambda stats: [
        ((name, *words), count) for name, figures in stats.pipelines.items() for words, count in read(figures).items()
    ]


def _by_word_alone(metric: Metric, label: str, read: Callable[[CacheStats], Mapping[Any, int]]) -> Reader:
    return lambda stats: [((word,), count) for word, count in _complete(metric.values[label], read(stats))]


def _complete(known: tuple[str, ...], counts: Mapping[Any, float]) -> Iterator[tuple[str, float]]:
    """Every known word with its count, or 0; then what was counted under another word, so that no count is lost."""
    for word in known:
        yield word, counts.get(word, 0)
    for word in sorted(set(counts).difference(known)):
        yield word, counts[word]


def _outcomes(figures: PipelineStats) -> dict[str, int]:
    return {
        "hit": figures.hits,
        "stale": figures.stale,
        "coalesced": figures.coalesced,
        "miss": figures.misses,
        "bypass": figures.bypassed,
    }


def _by_tier(read: Callable[[TierStats], float | None]) -> Reader:
    """A series for each tier that there is, where it is known."""

    def series(stats: CacheStats) -> Iterator[Value]:
        for name, tier in stats.tiers.items():
            value = read(tier)
            if value is not None:
                yield (name,), value

    return series


def _by_tier_and_word(metric: Metric, read: Callable[[TierStats], Mapping[str, Mapping[Any, int]]]) -> Reader:
    def series(stats: CacheStats) -> Iterator[Value]:
        for name, tier in stats.tiers.items():
            for pipeline, counts in read(tier).items():
                for word, count in _complete(metric.values["result"], counts):
                    yield (name, pipeline, word), count

    return series


def _tier_operations(stats: CacheStats) -> Iterator[Distribution]:
    for name, tier in stats.tiers.items():
        for operation in catalogue.TIER_OPERATION.values["operation"]:
            yield (name, operation), tier.operations.get(operation, empty(catalogue.TIER_OPERATION))  # type: ignore[call-overload]


def _invalidation_lag(stats: CacheStats) -> Iterator[Distribution]:
    for tier in stats.tiers.values():
        if tier.invalidation_lag is not None:
            yield (), tier.invalidation_lag


def _build_info(_: CacheStats) -> list[Value]:
    return [((recoup.__version__, platform.python_version()), 1)]


def _histograms(read: Callable[[PipelineHistograms], HistogramSnapshot]) -> DistributionReader:
    return lambda stats: [((name,), read(histograms)) for name, histograms in stats.histograms.items()]


def _by_outcome(
    metric: Metric, read: Callable[[PipelineHistograms], Mapping[Outcome, HistogramSnapshot]]
) -> DistributionReader:
    def series(stats: CacheStats) -> Iterator[Distribution]:
        nothing = empty(metric)
        for name, histograms in stats.histograms.items():
            for outcome in OUTCOMES:
                yield (name, outcome), read(histograms).get(outcome, nothing)

    return series


_VALUES: Mapping[Metric, Reader] = {
    catalogue.LOOKUPS: _by_word(catalogue.LOOKUPS, "outcome", _outcomes),
    catalogue.MISSES: _by_word(catalogue.MISSES, "reason", lambda figures: figures.miss_reasons),
    catalogue.BYPASSES: _by_word(catalogue.BYPASSES, "reason", lambda figures: figures.bypass_reasons),
    catalogue.EVICTIONS: _by_word(catalogue.EVICTIONS, "cause", lambda figures: figures.evictions),
    catalogue.INVALIDATIONS: _by_word(catalogue.INVALIDATIONS, "cause", lambda figures: figures.invalidations),
    catalogue.UNUSED_EVICTIONS: _by_pipeline(lambda figures: figures.unused_evictions),
    catalogue.ENTRIES: _by_pipeline(lambda figures: figures.entries),
    catalogue.ENTRIES_LIMIT: _single(lambda stats: stats.config["max_size"]),
    catalogue.MEMORY: _by_pipeline(lambda figures: figures.memory_bytes),
    catalogue.MEMORY_LIMIT: _single(lambda stats: stats.max_memory_bytes),
    catalogue.ENABLED: _single(lambda stats: stats.enabled),
    catalogue.TTL: _single(lambda stats: stats.config["ttl_seconds"] or 0),
    catalogue.RECOUPED: _by_pipeline(lambda figures: figures.recouped_seconds),
    catalogue.REGRETTED: _by_pipeline(lambda figures: figures.regretted_seconds),
    catalogue.GENERATED_COST: _by_currency(lambda figures: figures.generated_cost),
    catalogue.RECOUPED_COST: _by_currency(lambda figures: figures.recouped_cost),
    catalogue.REGRETTED_COST: _by_currency(lambda figures: figures.regretted_cost),
    catalogue.SPENT: _by_word(catalogue.SPENT, "purpose", lambda figures: figures.spent_seconds),
    catalogue.STREAMS: _by_word(catalogue.STREAMS, "end", lambda figures: figures.streams),
    catalogue.REFRESHES: _by_two_words(lambda figures: figures.refreshes),
    catalogue.GENERATION_FAILURES: _by_word(
        catalogue.GENERATION_FAILURES, "error", lambda figures: figures.generation_failures
    ),
    catalogue.GENERATIONS_IN_PROGRESS: _by_pipeline(lambda figures: figures.generations_in_progress),
    catalogue.GENERATIONS_WAITING: _by_pipeline(lambda figures: figures.generations_waiting),
    catalogue.CONFIG_CHANGES: _by_word_alone(catalogue.CONFIG_CHANGES, "setting", lambda stats: stats.config_changes),
    catalogue.INTERNAL_ERRORS: _by_word_alone(catalogue.INTERNAL_ERRORS, "part", lambda stats: stats.internal_errors),
    catalogue.TIER_LOOKUPS: _by_tier_and_word(catalogue.TIER_LOOKUPS, lambda tier: tier.lookups),
    catalogue.TIER_WRITES: _by_tier_and_word(catalogue.TIER_WRITES, lambda tier: tier.writes),
    catalogue.TIER_ENTRIES: _by_tier(lambda tier: tier.entries),
    catalogue.TIER_BYTES: _by_tier(lambda tier: tier.bytes),
    catalogue.TIER_LIMIT: _by_tier(lambda tier: tier.limit_bytes),
    catalogue.TIER_UP: _by_tier(lambda tier: tier.up),
    catalogue.TIER_EVICTIONS: _by_tier(lambda tier: tier.evictions),
    catalogue.TIER_CORRUPT: _by_tier(lambda tier: tier.corrupt),
    catalogue.TIER_QUEUE: _by_tier(lambda tier: tier.queue_bytes),
    catalogue.BUILD_INFO: _build_info,
}

_DISTRIBUTIONS: Mapping[Metric, DistributionReader] = {
    catalogue.GENERATION_DURATION: _histograms(lambda histograms: histograms.generation_duration),
    catalogue.REQUEST_DURATION: _by_outcome(catalogue.REQUEST_DURATION, lambda it: it.request_duration),
    catalogue.FIRST_BYTE: _by_outcome(catalogue.FIRST_BYTE, lambda it: it.first_byte),
    catalogue.ENTRY_SIZE: _histograms(lambda histograms: histograms.entry_size),
    catalogue.HIT_AGE: _histograms(lambda histograms: histograms.hit_age),
    catalogue.EVICTION_AGE: _histograms(lambda histograms: histograms.eviction_age),
    catalogue.TIER_OPERATION: _tier_operations,
    catalogue.INVALIDATION_LAG: _invalidation_lag,
}
