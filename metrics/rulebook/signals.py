"""Every signal, once: recording rules that alerts, dashboards and verdicts share.

Names are `level:signal:operation`. The level says which labels a rule keeps (see `promql.LEVELS`). Ratios are sums
divided by sums, and absent where nothing happened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rulebook.promql import JOB, LEVELS, number, rate, ratio
from rulebook.thresholds import Thresholds

HITS = 'recoup_lookups_total{outcome=~"hit|stale"}'
#: The lookups that the hit ratio counts: a bypass does not ask the cache.
COUNTED_LOOKUPS = 'recoup_lookups_total{outcome!="bypass"}'
GENERATION_SECONDS = "recoup_generation_duration_seconds_sum"
GENERATIONS = "recoup_generation_duration_seconds_count"
#: What the generator answers for. Not here: `rejected` (the request's fault), `cancelled` (the caller left) and
#: `queue_full` (the generator was never asked; it has an alert of its own).
GENERATOR_ERRORS = 'recoup_generation_failures_total{error=~"error|worker_died|upstream|timeout"}'
REFUSALS = 'recoup_generation_failures_total{error="queue_full"}'
ANSWERED_HITS = 'recoup_request_duration_seconds_count{outcome=~"hit|stale"}'
#: The windows of the burn-rate alerts.
BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
INSTANCE = LEVELS["instance"]


@dataclass(frozen=True)
class Record:
    """One recording rule."""

    name: str
    expression: str


def groups(thresholds: Thresholds) -> dict[str, list[Record]]:
    """The recording rules by the name of their group. A rule may use those before it in its group."""
    return {
        "recoup-headlines": [record for level in ("pipeline", "job") for record in _headlines(level)],
        "recoup-eviction": [*_regret("pipeline"), *_regret("job"), *_unused("pipeline"), *_unused("job")],
        "recoup-generation-errors": _burn(generation_error_ratio, "recoup_generation_error_ratio"),
        "recoup-slow-hits": _burn(
            lambda level, window: slow_hit_ratio(level, window, thresholds), "recoup_slow_hit_ratio"
        ),
        "recoup-memory": _memory(),
        "recoup-targets": _targets(),
    }


def names(thresholds: Thresholds) -> set[str]:
    """The names of all recording rules."""
    return {record.name for group in groups(thresholds).values() for record in group}


def hit_ratio(level: str, window: str) -> str:
    """(hit + stale) / (all lookups less bypasses)."""
    return ratio(rate(level, HITS, window), rate(level, COUNTED_LOOKUPS, window))


def speedup(level: str, window: str) -> str:
    """(generation seconds + recouped seconds) / seconds that callers waited.

    A bypass stands on both sides, with its generation and its wait: callers waited for it, and no cache spared them.
    A failed generation stands on neither.
    """
    spent = rate(level, GENERATION_SECONDS, window)
    recouped = rate(level, "recoup_recouped_seconds_total", window)
    return ratio(f"{spent}\n+\n{recouped}", rate(level, "recoup_request_duration_seconds_sum", window))


def regret_ratio(level: str, window: str) -> str:
    """Seconds spent on generating again what had been evicted, as a share of all generation seconds."""
    return ratio(rate(level, "recoup_regretted_seconds_total", window), rate(level, GENERATION_SECONDS, window))


def generation_error_ratio(level: str, window: str) -> str:
    """Failed generations as a share of all that the generator was asked for and answers for."""
    failed = rate(level, GENERATOR_ERRORS, window)
    return ratio(failed, f"{failed}\n+\n{rate(level, GENERATIONS, window)}")


def slow_hit_ratio(level: str, window: str, thresholds: Thresholds) -> str:
    """Hits that took longer than `slow_hit_seconds`, as a share of all hits."""
    every = rate(level, ANSWERED_HITS, window)
    return ratio(f"{every}\n-\n{rate(level, quick_hits(thresholds), window)}", every)


def quick_hits(thresholds: Thresholds) -> str:
    """The hits that were not slow."""
    bound = number(thresholds.slow_hit_seconds)
    return f'recoup_request_duration_seconds_bucket{{outcome=~"hit|stale", le="{bound}"}}'


def _headlines(level: str) -> list[Record]:
    return [
        Record(f"{level}:recoup_hit_ratio:rate5m", hit_ratio(level, "5m")),
        Record(f"{level}:recoup_speedup:rate5m", speedup(level, "5m")),
        Record(f"{level}:recoup_counted_lookups:rate5m", rate(level, COUNTED_LOOKUPS, "5m")),
    ]


def _regret(level: str) -> list[Record]:
    return [Record(f"{level}:recoup_regret_ratio:rate{window}", regret_ratio(level, window)) for window in ("5m", "1h")]


def _unused(level: str) -> list[Record]:
    every = rate(level, "recoup_evictions_total", "1d")
    expired = rate(level, 'recoup_evictions_total{cause="expired"}', "1d")
    return [
        Record(
            f"{level}:recoup_unused_eviction_ratio:rate1d",
            ratio(rate(level, "recoup_unused_evictions_total", "1d"), every),
        ),
        Record(f"{level}:recoup_expired_eviction_ratio:rate1d", ratio(expired, every)),
    ]


def _burn(signal: Callable[[str, str], str], name: str) -> list[Record]:
    return [
        Record(f"{level}:{name}:rate{window}", signal(level, window))
        for level in ("pipeline", "job")
        for window in (BURN_WINDOWS if level == "pipeline" else ("5m",))
    ]


def _memory() -> list[Record]:
    ages = f"sum by ({INSTANCE}, le) (rate(recoup_eviction_age_seconds_bucket[1h]))"
    by_memory = rate("instance", 'recoup_evictions_total{cause="memory"}', "1h")
    held = "instance:recoup_memory_bytes:sum"
    unaccounted = "instance:recoup_unaccounted_memory_bytes:diff"
    resident = f"max by ({INSTANCE}) (process_resident_memory_bytes)"
    return [
        Record(held, f"sum by ({INSTANCE}) (recoup_memory_bytes)"),
        Record(
            "instance:recoup_memory_utilisation:ratio",
            f"{held}\n/\n(max by ({INSTANCE}) (recoup_memory_limit_bytes) > 0)",
        ),
        Record(
            "instance:recoup_entries_utilisation:ratio",
            f"sum by ({INSTANCE}) (recoup_entries)\n/\n(max by ({INSTANCE}) (recoup_entries_limit) > 0)",
        ),
        Record(
            "instance:recoup_memory_eviction_ratio:rate1h",
            ratio(by_memory, rate("instance", "recoup_evictions_total", "1h")),
        ),
        # A comparison with 0 leaves out NaN: what the quantile of nothing is.
        Record("instance:recoup_eviction_age_seconds:p50_1h", f"histogram_quantile(\n  0.5,\n  {ages}\n) >= 0"),
        Record(unaccounted, f"{resident}\n-\n{held}"),
        # Memory that was freed may stay with the process, so growth is held against the most that was accounted.
        Record(
            "instance:recoup_memory_drift_bytes:delta3d",
            f"{resident}\n-\nmax_over_time({held}[3d])\n-\nmin_over_time({unaccounted}[3d])",
        ),
    ]


def _targets() -> list[Record]:
    # A target is Recoup's by its job's name, or because it has exported Recoup's metrics.
    recoup = 'max_over_time(recoup_build_info[1d])\n    or\n    up{job="recoup"}'
    started = f"process_start_time_seconds\n    and on ({INSTANCE})\n    recoup_build_info"
    return [
        Record(
            "instance:recoup_up:max",
            f"max by ({INSTANCE}) (\n  up\n  and on ({INSTANCE}) (\n    {recoup}\n  )\n)",
        ),
        Record("job:recoup_targets:count", f"count by ({JOB}) (instance:recoup_up:max)"),
        Record(
            "job:recoup_uptime_seconds:median",
            f"quantile by ({JOB}) (\n  0.5,\n  time() - max by ({INSTANCE}) (\n    {started}\n  )\n)",
        ),
    ]
