"""The frozen records that the core emits, and the words that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal

if TYPE_CHECKING:
    # With a default (PEP 696), a cache of no declared type is one of anything. No library is needed at run time.
    from typing_extensions import TypeVar

    from recoup.cache.tier import TierStats

    V = TypeVar("V", default=Any)
else:
    from typing import TypeVar

    V = TypeVar("V")

Outcome = Literal["hit", "stale", "coalesced", "miss", "bypass"]
MissReason = Literal["cold", "expired", "evicted", "invalidated", "too_large", "uncacheable"]
BypassReason = Literal["request", "credentials", "disabled", "uncacheable", "error"]
EvictionCause = Literal["size", "memory", "quota", "expired"]
InvalidationCause = Literal["cleared", "deleted", "purged", "replaced"]
SpentPurpose = Literal["miss", "bypass", "refresh", "verification"]
TierName = Literal["disk", "shared"]
StreamEnd = Literal["complete", "cut", "too_large", "not_stored"]
Sort = Literal["recent", "oldest", "largest", "most_hit", "costliest"]

OUTCOMES: tuple[Outcome, ...] = ("hit", "stale", "coalesced", "miss", "bypass")
MISS_REASONS: tuple[MissReason, ...] = ("cold", "expired", "evicted", "invalidated", "too_large", "uncacheable")
BYPASS_REASONS: tuple[BypassReason, ...] = ("request", "credentials", "disabled", "uncacheable", "error")
EVICTION_CAUSES: tuple[EvictionCause, ...] = ("size", "memory", "quota", "expired")
INVALIDATION_CAUSES: tuple[InvalidationCause, ...] = ("cleared", "deleted", "purged", "replaced")
#: What generation time was spent on.
SPENT_PURPOSES: tuple[SpentPurpose, ...] = ("miss", "bypass", "refresh", "verification")
#: How a generation ended whose answer was passed on as it came: stored; broken off; over a limit; otherwise not kept.
STREAM_ENDS: tuple[StreamEnd, ...] = ("complete", "cut", "too_large", "not_stored")
#: The currency of prices whose pipeline was registered with none (ISO 4217 has it for that).
NO_CURRENCY = "XXX"
SORTS: tuple[Sort, ...] = ("recent", "oldest", "largest", "most_hit", "costliest")
#: What can fail open inside the core: the values of the label `part` of `recoup_internal_errors_total`.
CORE_PARTS = ("lookup", "store", "sizer", "accounting", "flight", "tier")
#: The settings that `configure` changes: the values of the label `setting` of `recoup_config_changes_total`.
CONFIG_SETTINGS = ("max_size", "max_memory_mb", "ttl_seconds", "enabled", "policy")


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One observation that stands for its bucket.

    Attributes:
        trace_id: The trace id of the request, else its request id.
        value: What was observed, in the histogram's unit.
        timestamp: When, in seconds of the Unix epoch.
    """

    trace_id: str
    value: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """A histogram as it was at one moment.

    Attributes:
        bounds: Upper bounds of the buckets, ascending, without the last one (infinity).
        counts: Observations in each bucket (not cumulative); one more than `bounds`.
        total: The sum of all observations, in the histogram's unit.
        exemplars: By index of the bucket, its newest exemplar. Empty where none are kept.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    exemplars: Mapping[int, Exemplar]

    @property
    def count(self) -> int:
        """The number of observations."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class PipelineStats:
    """The figures of one pipeline, or of all of them together, as they were at one moment.

    Counts are of lookups, entries and bytes; `*_seconds` are seconds. `*_cost` is money
    by currency, empty where there is no price. All count from the cache's start or its last `reset_stats`; but
    `entries`, `memory_bytes`, `generations_in_progress` and `generations_waiting` are of now.
    """

    entries: int
    memory_bytes: int
    hits: int
    stale: int
    coalesced: int
    misses: int
    bypassed: int
    evictions: Mapping[EvictionCause, int]
    invalidations: Mapping[InvalidationCause, int]
    unused_evictions: int
    miss_reasons: Mapping[MissReason, int]
    bypass_reasons: Mapping[BypassReason, int]
    recouped_seconds: float
    regretted_seconds: float
    generated_cost: Mapping[str, float]
    recouped_cost: Mapping[str, float]
    regretted_cost: Mapping[str, float]
    spent_seconds: Mapping[SpentPurpose, float]
    streams: Mapping[StreamEnd, int]
    generations: int
    generation_seconds: float
    generation_failures: Mapping[str, int]
    generations_in_progress: int
    generations_waiting: int

    @property
    def lookups(self) -> int:
        """All lookups: exactly one outcome each."""
        return self.hits + self.stale + self.coalesced + self.misses + self.bypassed

    @property
    def hit_ratio(self) -> float | None:
        """(hits + stale) / (all lookups less bypasses), from 0 to 1; None before the first such lookup."""
        counted = self.lookups - self.bypassed
        return (self.hits + self.stale) / counted if counted else None


@dataclass(frozen=True, slots=True)
class PipelineHistograms:
    """The distributions of one pipeline; `request_duration` and `first_byte` are by outcome. Seconds and bytes."""

    entry_size: HistogramSnapshot
    hit_age: HistogramSnapshot
    eviction_age: HistogramSnapshot
    generation_duration: HistogramSnapshot
    request_duration: Mapping[Outcome, HistogramSnapshot]
    first_byte: Mapping[Outcome, HistogramSnapshot]


@dataclass(frozen=True, slots=True)
class CacheStats(PipelineStats):
    """What a cache has done and holds, as it was at one moment: the figures of all pipelines together, and more.

    Attributes:
        enabled: Whether lookups are answered from the cache.
        pipelines: The figures by pipeline name.
        histograms: The distributions by pipeline name.
        config: The configuration in force, as `ResultCache.config` gives it.
        max_memory_bytes: The memory limit in bytes.
        peak_entries: The most entries since the start or the last reset.
        peak_memory_bytes: The most bytes, likewise.
        uptime_seconds: Seconds since the cache was made.
        config_changes: Changes of each setting by `configure`.
        internal_errors: What failed open, by part.
        tiers: The figures of the tiers beyond memory, by name.
    """

    enabled: bool
    pipelines: Mapping[str, PipelineStats]
    histograms: Mapping[str, PipelineHistograms]
    config: Mapping[str, Any]
    max_memory_bytes: int
    peak_entries: int
    peak_memory_bytes: int
    uptime_seconds: float
    config_changes: Mapping[str, int]
    internal_errors: Mapping[str, int]
    tiers: Mapping[TierName, TierStats]

    @property
    def total(self) -> PipelineStats:
        """The figures of all pipelines together."""
        return PipelineStats(**{name: getattr(self, name) for name in PipelineStats.__slots__})

    def as_dict(self) -> dict[str, Any]:
        """The statistics as JSON takes them: the body of `GET /api/cache/stats`."""
        return {
            "enabled": self.enabled,
            **_figures(self),
            "peak_entries": self.peak_entries,
            "peak_memory_bytes": self.peak_memory_bytes,
            "max_size": self.config["max_size"],
            "max_memory_bytes": self.max_memory_bytes,
            "uptime_seconds": self.uptime_seconds,
            "internal_errors": dict(self.internal_errors),
            "tiers": {name: tier.as_dict() for name, tier in self.tiers.items()},
            "pipelines": {name: _figures(figures) for name, figures in self.pipelines.items()},
        }


def _figures(stats: PipelineStats) -> dict[str, Any]:
    return {
        "entries": stats.entries,
        "memory_bytes": stats.memory_bytes,
        "memory_mb": stats.memory_bytes / 2**20,
        "hits": stats.hits,
        "misses": stats.misses,
        "stale": stats.stale,
        "coalesced": stats.coalesced,
        "bypassed": stats.bypassed,
        "hit_ratio": stats.hit_ratio,
        "evictions": dict(stats.evictions),
        "invalidations": dict(stats.invalidations),
        "unused_evictions": stats.unused_evictions,
        "miss_reasons": dict(stats.miss_reasons),
        "bypass_reasons": dict(stats.bypass_reasons),
        "recouped_seconds": stats.recouped_seconds,
        "regretted_seconds": stats.regretted_seconds,
        "generated_cost": dict(stats.generated_cost),
        "recouped_cost": dict(stats.recouped_cost),
        "regretted_cost": dict(stats.regretted_cost),
        "streams": dict(stats.streams),
        "generations": stats.generations,
        "generation_seconds": stats.generation_seconds,
        "generation_failures": dict(stats.generation_failures),
        "generations_in_progress": stats.generations_in_progress,
        "generations_waiting": stats.generations_waiting,
    }


@dataclass(frozen=True, slots=True)
class Lookup(Generic[V]):
    """How one lookup ended.

    Attributes:
        value: The result.
        outcome: Exactly one of `OUTCOMES`.
        reason: Why it was a miss; None for every other outcome.
        stored: Whether this lookup's generation was stored.
        cost_seconds: Seconds that the generation of the result took.
        price: What it cost in money, in the currency of the pipeline.
        age_seconds: Seconds since the result was stored; 0 where it was not answered from the cache.
        expires_in_seconds: Seconds until the result expires, negative when stale; None: never, or it is not stored.
        bypass_reason: Why it went past the cache; None for every other outcome.
        tier: Of a hit, the tier beyond memory that had it; None: memory had it.
    """

    value: V
    outcome: Outcome
    reason: MissReason | None = None
    stored: bool = False
    cost_seconds: float = 0.0
    age_seconds: float = 0.0
    expires_in_seconds: float | None = None
    bypass_reason: BypassReason | None = None
    price: float = 0.0
    tier: TierName | None = None
