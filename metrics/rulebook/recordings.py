"""Every signal's recording rules. Ratios are sums divided by sums, and absent where nothing happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metrics import signals
from metrics.rulebook import money
from metrics.rulebook.promql import by, number, rate, ratio
from metrics.selectors import Not, Pattern, select
from metrics.signals import Signal
from metrics.standard import PROCESS_MEMORY, PROCESS_START, UP
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue

_HIT = ("hit", "stale")
HITS = select(catalogue.LOOKUPS, outcome=_HIT)
#: The lookups that the hit ratio counts: a bypass does not ask the cache.
COUNTED_LOOKUPS = select(catalogue.LOOKUPS, outcome=Not("bypass"))
#: All lookups, and those that went past a cache that is enabled.
LOOKUPS = select(catalogue.LOOKUPS)
BYPASSES = select(catalogue.BYPASSES, reason=Not("disabled"))
#: What misses cost: a bypass' generation is its own caller's wish, and no cache could have spared it.
MISS_SECONDS = select(catalogue.SPENT, purpose="miss")
GENERATIONS = select(catalogue.GENERATION_DURATION, "_count")
#: The kinds that the generator answers for. Not here: `rejected` (the request's fault), `refused` (an upstream's 401 or
#: 429: its caller's fault), `cancelled` (the caller left) and `queue_full` (the generator was never asked; it has an
#: alert of its own).
GENERATOR_ERRORS = select(catalogue.GENERATION_FAILURES, error=("error", "worker_died", "upstream", "timeout"))
REFUSALS = select(catalogue.GENERATION_FAILURES, error="queue_full")
ANSWERED_HITS = select(catalogue.REQUEST_DURATION, "_count", outcome=_HIT)
#: Requests but those of probes and scrapes: `/readyz` answers 503 while an instance shuts down, which refuses nobody.
_ASKED = Pattern("/healthz|/readyz|/metrics", matches=False)
REQUESTS = select(catalogue.HTTP_REQUESTS, route=_ASKED)
REFUSED_REQUESTS = select(catalogue.HTTP_REQUESTS, route=_ASKED, status="503")
EVICTED = select(catalogue.EVICTIONS)
EVICTED_BY_MEMORY = select(catalogue.EVICTIONS, cause="memory")
EXPIRED = select(catalogue.EVICTIONS, cause="expired")


@dataclass(frozen=True)
class Record:
    """One recording rule."""

    name: str
    expression: str


def groups(thresholds: Thresholds) -> dict[str, list[Record]]:
    """The recording rules by the name of their group. A rule may use those before it in its group."""
    return {
        "recoup-headlines": [
            *(record for level in ("pipeline", "job") for record in _headlines(level)),
            Record(signals.HIT_RATIO.at("instance"), hit_ratio("instance", "5m")),
            *(Record(name, expression) for name, expression in money.recorded().items()),
        ],
        "recoup-refusals": [
            *_recorded(signals.BYPASS_RATIO, bypass_ratio),
            *_recorded(signals.REFUSED_RATIO, refused_ratio),
        ],
        "recoup-eviction": [*_regret("pipeline"), *_regret("job"), *_unused("pipeline"), *_unused("job")],
        "recoup-generation-errors": _recorded(signals.ERROR_RATIO, generation_error_ratio),
        "recoup-slow-hits": _recorded(
            signals.SLOW_HIT_RATIO, lambda level, window: slow_hit_ratio(level, window, thresholds)
        ),
        "recoup-memory": _memory(),
        "recoup-targets": _targets(),
    }


def hit_ratio(level: str, window: str) -> str:
    """(hit + stale) / (all lookups less bypasses)."""
    return ratio(rate(level, HITS, window), rate(level, COUNTED_LOOKUPS, window))


def speedup(level: str, window: str) -> str:
    """(generation seconds of misses + recouped seconds) / seconds that callers waited.

    A bypass stands on neither side, and neither does a failed generation.
    """
    spent = rate(level, MISS_SECONDS, window)
    recouped = rate(level, select(catalogue.RECOUPED), window)
    waited = rate(level, select(catalogue.REQUEST_DURATION, "_sum", outcome=Not("bypass")), window)
    return ratio(f"{spent}\n+\n{recouped}", waited)


def speedup_limit(level: str) -> str:
    """The most that a mean speed-up can be at the present hit ratio; absent where everything is a hit: no limit."""
    return f"1 / (1 - {signals.HIT_RATIO.at(level)} > 0)"


def bypass_ratio(level: str, window: str) -> str:
    """Lookups that went past the cache while it was enabled, as a share of all lookups."""
    return ratio(rate(level, BYPASSES, window), rate(level, LOOKUPS, window))


def refused_ratio(level: str, window: str) -> str:
    """Requests that were answered 503, as a share of all requests."""
    return ratio(rate(level, REFUSED_REQUESTS, window), rate(level, REQUESTS, window))


def regret_ratio(level: str, window: str) -> str:
    """Seconds spent on generating again what had been evicted, as a share of the generation seconds of misses."""
    return ratio(rate(level, select(catalogue.REGRETTED), window), rate(level, MISS_SECONDS, window))


def generation_error_ratio(level: str, window: str) -> str:
    """Failed generations as a share of all that the generator was asked for and answers for."""
    failed = rate(level, GENERATOR_ERRORS, window)
    return ratio(failed, f"{failed}\n+\n{rate(level, GENERATIONS, window)}")


def slow_hit_ratio(level: str, window: str, thresholds: Thresholds) -> str:
    """Hits that took longer than `slow_hit_seconds`, as a share of all hits."""
    hits = rate(level, ANSWERED_HITS, window)
    return ratio(f"{hits}\n-\n{rate(level, quick_hits(thresholds), window)}", hits)


def quick_hits(thresholds: Thresholds) -> str:
    """The hits that were not slow."""
    bound = number(thresholds.slow_hit_seconds)
    return select(catalogue.REQUEST_DURATION, "_bucket", outcome=_HIT, le=bound)


def _headlines(level: str) -> list[Record]:
    return [
        Record(signals.HIT_RATIO.at(level), hit_ratio(level, "5m")),
        Record(signals.SPEEDUP.at(level), speedup(level, "5m")),
        Record(signals.SPEEDUP_LIMIT.at(level), speedup_limit(level)),
        Record(signals.COUNTED_LOOKUPS.at(level), rate(level, COUNTED_LOOKUPS, "5m")),
    ]


def _regret(level: str) -> list[Record]:
    windows = signals.REGRET_RATIO.windows[level]
    return [Record(signals.REGRET_RATIO.at(level, window), regret_ratio(level, window)) for window in windows]


def _unused(level: str) -> list[Record]:
    evicted = rate(level, EVICTED, "1d")
    unused = rate(level, select(catalogue.UNUSED_EVICTIONS), "1d")
    return [
        Record(signals.UNUSED_RATIO.at(level), ratio(unused, evicted)),
        Record(signals.EXPIRED_RATIO.at(level), ratio(rate(level, EXPIRED, "1d"), evicted)),
    ]


def _recorded(signal: Signal, expression: Callable[[str, str], str]) -> list[Record]:
    return [
        Record(signal.at(level, window), expression(level, window))
        for level, windows in signal.windows.items()
        for window in windows
    ]


def _memory() -> list[Record]:
    instance = by("instance")
    ages = rate("instance", select(catalogue.EVICTION_AGE, "_bucket"), "1h", "le")
    held, unaccounted = signals.MEMORY_HELD.at("instance"), signals.UNACCOUNTED_MEMORY.at("instance")
    resident = f"max by ({instance}) ({PROCESS_MEMORY})"
    # A cache in somebody's own application has nothing in flight that it knows of.
    in_flight = f"(sum by ({instance}) ({select(catalogue.IN_FLIGHT)}) or 0 * {held})"
    return [
        Record(held, f"sum by ({instance}) ({select(catalogue.MEMORY)})"),
        Record(signals.MEMORY_UTILISATION.at("instance"), _of_limit(held, select(catalogue.MEMORY_LIMIT))),
        Record(
            signals.ENTRIES_UTILISATION.at("instance"),
            _of_limit(f"sum by ({instance}) ({select(catalogue.ENTRIES)})", select(catalogue.ENTRIES_LIMIT)),
        ),
        Record(
            signals.MEMORY_EVICTION_RATIO.at("instance"),
            ratio(rate("instance", EVICTED_BY_MEMORY, "1h"), rate("instance", EVICTED, "1h")),
        ),
        # A comparison with 0 leaves out NaN: what the quantile of nothing is.
        Record(signals.EVICTION_AGE_MEDIAN.at("instance"), f"histogram_quantile(\n  0.5,\n  {ages}\n) >= 0"),
        Record(unaccounted, f"{resident}\n-\n{held}\n-\n{in_flight}"),
        # Memory that was freed may stay with the process, so growth is held against the most that was accounted.
        Record(
            signals.MEMORY_DRIFT.at("instance"),
            f"{resident}\n-\nmax_over_time({held}[3d])\n-\n{in_flight}\n-\nmin_over_time({unaccounted}[3d])",
        ),
    ]


def _of_limit(held: str, limit: str) -> str:
    return f"{held}\n/\n(max by ({by('instance')}) ({limit}) > 0)"


def _targets() -> list[Record]:
    instance, job = by("instance"), by("job")
    build_info, up_state = select(catalogue.BUILD_INFO), signals.UP_STATE.at("instance")
    # A target is Recoup's by its job's name, or because it has exported Recoup's metrics.
    recoup = f'max_over_time({build_info}[1d])\n    or\n    {UP}{{job="recoup"}}'
    started = f"{PROCESS_START}\n    and on ({instance})\n    {build_info}"
    return [
        Record(
            up_state,
            f"max by ({instance}) (\n  {UP}\n  and on ({instance}) (\n    {recoup}\n  )\n)",
        ),
        Record(signals.TARGETS.at("job"), f"count by ({job}) ({up_state})"),
        Record(
            signals.UPTIME.at("job"),
            f"quantile by ({job}) (\n  0.5,\n  time() - max by ({instance}) (\n    {started}\n  )\n)",
        ),
    ]
