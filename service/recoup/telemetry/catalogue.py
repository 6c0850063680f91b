"""The catalogue: every metric that Recoup exports, defined once.

The collector, the catalogue page, the rules, the dashboards and the load test's verdict use only what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from recoup.cache import histogram
from recoup.cache.stats import (
    BYPASS_REASONS,
    CONFIG_SETTINGS,
    CORE_PARTS,
    EVICTION_CAUSES,
    INVALIDATION_CAUSES,
    MISS_REASONS,
    OUTCOMES,
    REFRESH_CAUSES,
    REFRESH_RESULTS,
    SPENT_PURPOSES,
    STREAM_ENDS,
)
from recoup.cache.tier import LOOKUP_RESULTS, OPERATION_SECONDS, OPERATIONS, WRITE_RESULTS
from recoup.errors import GENERATION_ERROR_KINDS
from recoup.in_flight import PARTS as IN_FLIGHT_PARTS

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes"]

#: What can fail open in the service around the core, beside `CORE_PARTS`: telling of a request.
SERVICE_PARTS = ("telemetry",)
#: The value of the label `route` for a path that no route serves.
UNMATCHED = "unmatched"
#: The value of the label `method` for a method that HTTP does not define.
OTHER_METHOD = "other"
#: The values of the label `method`.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", OTHER_METHOD)


@dataclass(frozen=True, eq=False)
class Metric:
    """The definition of one metric.

    Attributes:
        name: As it is exported; a counter's ends in `_total`.
        kind: `counter`, `gauge` or `histogram`.
        labels: The names of its labels.
        unit: `seconds`, `bytes`, or nothing for a count or a state.
        help: What it tells, in one sentence.
        values: By label, the values that are known at start; they are exported as 0 from the start.
        buckets: Upper bounds of a histogram's buckets, in its unit, without the last one (infinity).
        exemplars: Whether its buckets carry exemplars.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: Unit
    help: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    exemplars: bool = False

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the series that it is exported as."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)


LOOKUPS = Metric(
    "recoup_lookups_total",
    "counter",
    ("pipeline", "outcome"),
    "",
    "Lookups, by the one outcome that each had.",
    {"outcome": OUTCOMES},
)
MISSES = Metric(
    "recoup_misses_total",
    "counter",
    ("pipeline", "reason"),
    "",
    "Lookups with the outcome miss, by why nothing was there.",
    {"reason": MISS_REASONS},
)
BYPASSES = Metric(
    "recoup_bypasses_total",
    "counter",
    ("pipeline", "reason"),
    "",
    "Lookups with the outcome bypass, by why they went past the cache.",
    {"reason": BYPASS_REASONS},
)
EVICTIONS = Metric(
    "recoup_evictions_total",
    "counter",
    ("pipeline", "cause"),
    "",
    "Entries that a limit or their age removed.",
    {"cause": EVICTION_CAUSES},
)
INVALIDATIONS = Metric(
    "recoup_invalidations_total",
    "counter",
    ("pipeline", "cause"),
    "",
    "Entries that somebody removed or replaced.",
    {"cause": INVALIDATION_CAUSES},
)
UNUSED_EVICTIONS = Metric(
    "recoup_unused_evictions_total",
    "counter",
    ("pipeline",),
    "",
    "Entries that were evicted or expired without having answered one lookup.",
)
ENTRIES = Metric("recoup_entries", "gauge", ("pipeline",), "", "Entries held now.")
ENTRIES_LIMIT = Metric("recoup_entries_limit", "gauge", (), "", "Limit of entries, over all pipelines.")
MEMORY = Metric(
    "recoup_memory_bytes",
    "gauge",
    ("pipeline",),
    "bytes",
    "Memory held now: values, keys and bookkeeping.",
)
MEMORY_LIMIT = Metric("recoup_memory_limit_bytes", "gauge", (), "bytes", "Limit of memory, over all pipelines.")
ENABLED = Metric(
    "recoup_enabled", "gauge", (), "", "1 where lookups are answered from the cache, 0 where they are not."
)
TTL = Metric("recoup_ttl_seconds", "gauge", (), "seconds", "Default life of an entry; 0: entries never expire.")
RECOUPED = Metric(
    "recoup_recouped_seconds_total",
    "counter",
    ("pipeline",),
    "seconds",
    "Generation time that callers were spared: the cost of each result that answered a hit or a coalesced lookup.",
)
REGRETTED = Metric(
    "recoup_regretted_seconds_total",
    "counter",
    ("pipeline",),
    "seconds",
    "Time spent on generating again what had been evicted.",
)
GENERATED_COST = Metric(
    "recoup_generated_cost_total",
    "counter",
    ("pipeline", "currency"),
    "",
    "What generations cost in money, where the pipeline has a price; generations that failed are left out.",
)
RECOUPED_COST = Metric(
    "recoup_recouped_cost_total",
    "counter",
    ("pipeline", "currency"),
    "",
    "Money that was not spent: the price of each result that answered a hit or a coalesced lookup.",
)
REGRETTED_COST = Metric(
    "recoup_regretted_cost_total",
    "counter",
    ("pipeline", "currency"),
    "",
    "Money spent on generating again what had been evicted.",
)
SPENT = Metric(
    "recoup_spent_seconds_total",
    "counter",
    ("pipeline", "purpose"),
    "seconds",
    "Generation time, by what it was spent on; generations that failed are left out.",
    {"purpose": SPENT_PURPOSES},
)
GENERATION_DURATION = Metric(
    "recoup_generation_duration_seconds",
    "histogram",
    ("pipeline",),
    "seconds",
    "Time that generations took.",
    buckets=histogram.GENERATION_SECONDS,
)
GENERATION_FAILURES = Metric(
    "recoup_generation_failures_total",
    "counter",
    ("pipeline", "error"),
    "",
    "Generations that gave no result, by the kind of error.",
    {"error": GENERATION_ERROR_KINDS},
)
GENERATIONS_IN_PROGRESS = Metric(
    "recoup_generations_in_progress", "gauge", ("pipeline",), "", "Generations that are running now."
)
GENERATIONS_WAITING = Metric(
    "recoup_generations_waiting", "gauge", ("pipeline",), "", "Generations that wait for their turn now."
)
REQUEST_DURATION = Metric(
    "recoup_request_duration_seconds",
    "histogram",
    ("pipeline", "outcome"),
    "seconds",
    "Time that callers waited for an answer or an error, by the outcome of their lookup.",
    {"outcome": OUTCOMES},
    buckets=histogram.REQUEST_SECONDS,
    exemplars=True,
)
FIRST_BYTE = Metric(
    "recoup_first_byte_seconds",
    "histogram",
    ("pipeline", "outcome"),
    "seconds",
    "Time that callers waited for the first byte of an answer, by the outcome of their lookup.",
    {"outcome": OUTCOMES},
    buckets=histogram.REQUEST_SECONDS,
)
STREAMS = Metric(
    "recoup_streams_total",
    "counter",
    ("pipeline", "end"),
    "",
    "Generations whose answer was passed on as it came, by how it ended.",
    {"end": STREAM_ENDS},
)
REFRESHES = Metric(
    "recoup_refreshes_total",
    "counter",
    ("pipeline", "cause", "result"),
    "",
    "Results that were generated anew behind an answer, because they had expired (stale) or were about to (ahead), by "
    "whether another one was stored in their place.",
    {"cause": REFRESH_CAUSES, "result": REFRESH_RESULTS},
)
HTTP_REQUESTS = Metric(
    "recoup_http_requests_total",
    "counter",
    ("route", "method", "status"),
    "",
    "HTTP requests, by the template of their route; unmatched: a path that no route serves.",
)
ENTRY_SIZE = Metric(
    "recoup_entry_size_bytes",
    "histogram",
    ("pipeline",),
    "bytes",
    "Sizes of entries when they were stored: all that is accounted for each.",
    buckets=histogram.SIZE_BYTES,
)
HIT_AGE = Metric(
    "recoup_hit_age_seconds",
    "histogram",
    ("pipeline",),
    "seconds",
    "Ages of entries when they answered.",
    buckets=histogram.AGE_SECONDS,
)
EVICTION_AGE = Metric(
    "recoup_eviction_age_seconds",
    "histogram",
    ("pipeline",),
    "seconds",
    "Ages of entries when they were evicted or expired.",
    buckets=histogram.AGE_SECONDS,
)
TIER_LOOKUPS = Metric(
    "recoup_tier_lookups_total",
    "counter",
    ("tier", "pipeline", "result"),
    "",
    "Lookups in a tier beyond memory, by how they ended; skipped: the tier was not there.",
    {"result": LOOKUP_RESULTS},
)
TIER_WRITES = Metric(
    "recoup_tier_writes_total",
    "counter",
    ("tier", "pipeline", "result"),
    "",
    "Results for a tier beyond memory, by what became of them; dropped: too much waited; skipped: not for the tier.",
    {"result": WRITE_RESULTS},
)
TIER_OPERATION = Metric(
    "recoup_tier_operation_seconds",
    "histogram",
    ("tier", "operation"),
    "seconds",
    "Time that operations of a tier took.",
    {"operation": OPERATIONS},
    buckets=OPERATION_SECONDS,
)
TIER_ENTRIES = Metric("recoup_tier_entries", "gauge", ("tier",), "", "Results that a tier holds now.")
TIER_BYTES = Metric("recoup_tier_bytes", "gauge", ("tier",), "bytes", "What the results of a tier take now.")
TIER_LIMIT = Metric("recoup_tier_limit_bytes", "gauge", ("tier",), "bytes", "Limit of what a tier's results take.")
TIER_UP = Metric("recoup_tier_up", "gauge", ("tier",), "", "1 where a tier answers, 0 where it is left alone.")
TIER_EVICTIONS = Metric("recoup_tier_evictions_total", "counter", ("tier",), "", "Results that a tier's limit removed.")
TIER_CORRUPT = Metric(
    "recoup_tier_corrupt_total",
    "counter",
    ("tier",),
    "",
    "Records of a tier that could not be read, and were removed.",
)
TIER_QUEUE = Metric("recoup_tier_queue_bytes", "gauge", ("tier",), "bytes", "Results that wait to be written.")
INVALIDATION_LAG = Metric(
    "recoup_invalidation_lag_seconds",
    "histogram",
    (),
    "seconds",
    "Time from the sending of an invalidation by another instance to its effect here.",
    buckets=OPERATION_SECONDS,
)
IN_FLIGHT = Metric(
    "recoup_in_flight_bytes",
    "gauge",
    ("part",),
    "bytes",
    "Memory held now by what is on its way: bodies being read, results being sent, upstreams' answers.",
    {"part": IN_FLIGHT_PARTS},
)
IN_FLIGHT_LIMIT = Metric(
    "recoup_in_flight_limit_bytes", "gauge", (), "bytes", "Limit of memory for what is on its way, over all parts."
)
LOG_LINES_DROPPED = Metric(
    "recoup_log_lines_dropped_total",
    "counter",
    (),
    "",
    "Log lines that were dropped because their reader was too slow: logging never holds up a request.",
)
CONFIG_CHANGES = Metric(
    "recoup_config_changes_total",
    "counter",
    ("setting",),
    "",
    "Changes of the configuration while running.",
    {"setting": CONFIG_SETTINGS},
)
INTERNAL_ERRORS = Metric(
    "recoup_internal_errors_total",
    "counter",
    ("part",),
    "",
    "Failures inside Recoup that no caller noticed: their requests were answered all the same.",
    {"part": CORE_PARTS + SERVICE_PARTS},
)
BUILD_INFO = Metric("recoup_build_info", "gauge", ("version", "python"), "", "1; its labels tell what is running.")

#: Every metric, in the order in which they are exported.
METRICS: tuple[Metric, ...] = (
    LOOKUPS,
    MISSES,
    BYPASSES,
    EVICTIONS,
    INVALIDATIONS,
    UNUSED_EVICTIONS,
    ENTRIES,
    ENTRIES_LIMIT,
    MEMORY,
    MEMORY_LIMIT,
    ENABLED,
    TTL,
    RECOUPED,
    REGRETTED,
    GENERATED_COST,
    RECOUPED_COST,
    REGRETTED_COST,
    SPENT,
    GENERATION_DURATION,
    GENERATION_FAILURES,
    GENERATIONS_IN_PROGRESS,
    GENERATIONS_WAITING,
    REQUEST_DURATION,
    FIRST_BYTE,
    STREAMS,
    REFRESHES,
    HTTP_REQUESTS,
    ENTRY_SIZE,
    HIT_AGE,
    EVICTION_AGE,
    TIER_LOOKUPS,
    TIER_WRITES,
    TIER_OPERATION,
    TIER_ENTRIES,
    TIER_BYTES,
    TIER_LIMIT,
    TIER_UP,
    TIER_EVICTIONS,
    TIER_CORRUPT,
    TIER_QUEUE,
    INVALIDATION_LAG,
    IN_FLIGHT,
    IN_FLIGHT_LIMIT,
    LOG_LINES_DROPPED,
    CONFIG_CHANGES,
    INTERNAL_ERRORS,
    BUILD_INFO,
)
