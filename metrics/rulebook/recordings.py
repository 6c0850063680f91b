"""Every signal's recording rules. Ratios are sums divided by sums, and absent where nothing happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metrics import signals
from metrics.rulebook import money, streams
from metrics.rulebook.promql import by, increase, number, rate, ratio
from metrics.selectors import Not, Pattern, select
from metrics.signals import BURN_WINDOWS, Signal
from metrics.standard import PROCESS_MEMORY, PROCESS_START, UP
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue

#: Of the windows of burn-rate alerts, those that are counted at every evaluation, and those every few minutes.
SHORT_WINDOWS = BURN_WINDOWS[:3]
LONG_WINDOWS = BURN_WINDOWS[3:]
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
#: Misses, and those of them that fill a cache: nobody has seen the key, or somebody took the entry away on purpose.
MISSES = select(catalogue.LOOKUPS, outcome="miss")
FILLING = select(catalogue.MISSES, reason=("cold", "invalidated"))
ANSWERED_HITS = select(catalogue.REQUEST_DURATION, "_count", outcome=_HIT)
#: Requests but those of probes and scrapes: `/readyz` answers 503 while an instance shuts down, which refuses nobody.
_ASKED = Pattern("/healthz|/readyz|/metrics", matches=False)
REQUESTS = select(catalogue.HTTP_REQUESTS, route=_ASKED)
REFUSED_REQUESTS = select(catalogue.HTTP_REQUESTS, route=_ASKED, status="503")
#: A refusal is no error of the server's: it has an alert of its own.
SERVER_ERRORS = select(catalogue.HTTP_REQUESTS, route=_ASKED, status=Pattern("50[0-24-9]|5[1-9]."))
EVICTED = select(catalogue.EVICTIONS)
EVICTED_BY_MEMORY = select(catalogue.EVICTIONS, cause="memory")
EVICTED_BY_LIMITS = select(catalogue.EVICTIONS, cause=("size", "memory", "quota"))
EXPIRED = select(catalogue.EVICTIONS, cause="expired")


@dataclass(frozen=True)
class Record:
    """One recording rule."""

    name: str
    expression: str


@dataclass(frozen=True)
class Group:
    """Recording rules that are evaluated one after the other; a rule may use those before it.

    Attributes:
        name: Its name.
        records: The rules.
        interval: How often; empty: as often as Prometheus evaluates anything. Below five minutes, or what is recorded
            would be stale before it is recorded again.
    """

    name: str
    records: list[Record]
    interval: str = ""


def groups(thresholds: Thresholds) -> list[Group]:
    """The recording rules, in groups whose intervals fit their windows."""
    return [
        Group(
            "recoup-headlines",
            [
                *(record for level in ("pipeline", "job") for record in _headlines(level)),
                Record(signals.HIT_RATIO.at("instance"), hit_ratio("instance", "5m")),
                *(Record(name, expression) for name, expression in money.recorded().items()),
            ],
        ),
        Group("recoup-hour", _hour(), "1m"),
        Group("recoup-refusals", [*_recorded(signals.BYPASS_RATIO, bypass_ratio), *_refusals()], "1m"),
        Group("recoup-eviction", [*_regret("pipeline"), *_regret("job")], "1m"),
        Group("recoup-unused", [*_unused("pipeline"), *_unused("job")], "2m"),
        Group("recoup-generation-errors", burns(_ERRORS, thresholds, SHORT_WINDOWS)),
        Group("recoup-generation-errors-long", burns(_ERRORS, thresholds, LONG_WINDOWS), "2m"),
        Group("recoup-slow-hits", burns(_SLOW, thresholds, SHORT_WINDOWS)),
        Group("recoup-slow-hits-long", burns(_SLOW, thresholds, LONG_WINDOWS), "2m"),
        Group("recoup-generation-time", _generation_time(), "2m"),
        Group(
            "recoup-latency",
            [
                Record(signals.LATENCY.at("pipeline"), latency("pipeline", "5m")),
                Record(signals.FIRST_BYTE.at("pipeline"), streams.first_byte_buckets("pipeline", "5m")),
            ],
            "2m",
        ),
        Group(
            "recoup-streams",
            [
                *_recorded(signals.CUT_RATIO, streams.cut_ratio),
                *_recorded(signals.REFRESH_ERROR_RATIO, streams.refresh_error_ratio),
            ],
            "1m",
        ),
        Group("recoup-memory", _memory()),
        Group("recoup-memory-long", _memory_long(), "2m"),
        Group("recoup-targets", _targets()),
    ]


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


def server_error_ratio(level: str, window: str) -> str:
    """Requests that were answered 5xx, but for refusals, as a share of all requests."""
    return ratio(rate(level, SERVER_ERRORS, window), rate(level, REQUESTS, window))


def latency(level: str, window: str) -> str:
    """The buckets of what callers waited, by outcome: what dashboards make quantiles of."""
    return rate(level, select(catalogue.REQUEST_DURATION, "_bucket"), window, "outcome", "le")


@dataclass(frozen=True)
class _Burn:
    """What one kind of burn-rate alert is made of: some that are bad, of all, counted in a window."""

    ratio: Signal
    bad: Signal
    every: Signal
    count_bad: Callable[[str, str, Thresholds], str]
    count_every: Callable[[str, str], str]


def _failed(level: str, window: str, _: Thresholds) -> str:
    return increase(level, GENERATOR_ERRORS, window)


def _attempted(level: str, window: str) -> str:
    """Generations that gave a result, and those that failed: either may not have happened yet."""
    done, failed = increase(level, GENERATIONS, window), increase(level, GENERATOR_ERRORS, window)
    return f"{failed}\n+\n{done}"


def _slow(level: str, window: str, thresholds: Thresholds) -> str:
    return f"{increase(level, ANSWERED_HITS, window)}\n-\n{increase(level, quick_hits(thresholds), window)}"


def _answered(level: str, window: str) -> str:
    return increase(level, ANSWERED_HITS, window)


_ERRORS = _Burn(signals.ERROR_RATIO, signals.ERRORS, signals.ATTEMPTS, _failed, _attempted)
_SLOW = _Burn(signals.SLOW_HIT_RATIO, signals.SLOW_HITS, signals.ANSWERED_HITS, _slow, _answered)


def burns(burn: _Burn, thresholds: Thresholds, windows: tuple[str, ...]) -> list[Record]:
    """The counts of each window, once, and the ratio that is made of them; of the job over five minutes alone."""
    records = []
    for window in windows:
        bad, every = burn.bad.at("pipeline", window), burn.every.at("pipeline", window)
        records += [
            Record(bad, burn.count_bad("pipeline", window, thresholds)),
            Record(every, burn.count_every("pipeline", window)),
            Record(burn.ratio.at("pipeline", window), ratio(bad, every)),
        ]
        if window in burn.ratio.windows["job"]:
            job = by("job")
            records.append(
                Record(burn.ratio.at("job", window), ratio(f"sum by ({job}) ({bad})", f"sum by ({job}) ({every})"))
            )
    return records


def quick_hits(thresholds: Thresholds) -> str:
    """The hits that were not slow."""
    bound = number(thresholds.slow_hit_seconds)
    return select(catalogue.REQUEST_DURATION, "_bucket", outcome=_HIT, le=bound)


def _hour() -> list[Record]:
    """What the hit ratio and the speed-up are judged by: an hour, so that pauses and bursts do not hide them."""
    records = [Record(signals.HIT_RATIO.at("job", "1h"), hit_ratio("job", "1h"))]
    for level in ("pipeline", "instance"):
        counted, kept = signals.LOOKUPS_OF_HOUR.at(level), signals.KEPT_LOOKUPS.at(level)
        hits = increase(level, HITS, "1h")
        records += [
            Record(counted, increase(level, COUNTED_LOOKUPS, "1h")),
            Record(signals.HIT_RATIO.at(level, "1h"), ratio(hits, counted)),
            Record(kept, kept_lookups(level, "1h")),
            Record(signals.KEPT_HIT_RATIO.at(level), ratio(hits, kept)),
        ]
    speed, hit = signals.SPEEDUP.at("pipeline", "1h"), signals.HIT_RATIO.at("pipeline", "1h")
    # The limit is 1 / (1 - hit ratio). Where everything is a hit there is none, and the share is 0: the speed-up alone
    # is judged.
    share = Record(signals.SPEEDUP_SHARE.at("pipeline"), f"{speed} * (1 - {hit})")
    return [*records, Record(speed, speedup("pipeline", "1h")), share]


def kept_lookups(level: str, window: str) -> str:
    """Hits, and misses of what had been there: neither never seen, nor taken away on purpose.

    A start, a new pipeline, a scan and a refill after a clear make misses of the two other kinds alone.
    """
    hits, misses = increase(level, HITS, window), increase(level, MISSES, window)
    filling = increase(level, FILLING, window)
    return f"{hits}\n+\n{misses}\n-\n({filling} or 0 * {misses})"


def _refusals() -> list[Record]:
    return [
        *_recorded(signals.REFUSED_RATIO, refused_ratio),
        *_recorded(signals.SERVER_ERROR_RATIO, server_error_ratio),
        *_recorded(signals.QUEUE_FULL_RATIO, queue_full_ratio),
        Record(signals.REFUSALS_OF_HOUR.at("pipeline"), increase("pipeline", REFUSALS, "1h")),
    ]


def queue_full_ratio(level: str, window: str) -> str:
    """Generations that were refused for a full queue, as a share of all that were wanted."""
    refused, done = rate(level, REFUSALS, window), rate(level, GENERATIONS, window)
    return ratio(refused, f"{refused}\n+\n({done} or 0 * {refused})")


def _generation_time() -> list[Record]:
    mean, usual = signals.GENERATION_MEAN.at("pipeline"), signals.GENERATION_USUAL.at("pipeline")
    seconds = rate("pipeline", select(catalogue.GENERATION_DURATION, "_sum"), "1h")
    return [
        Record(mean, ratio(seconds, rate("pipeline", GENERATIONS, "1h"))),
        Record(usual, f"quantile_over_time(0.5, {mean}[1d] offset 1h)"),
        *(Record(name, expression) for name, expression in streams.first_byte_times().items()),
    ]


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
        Record(
            signals.LIMIT_EVICTION_RATIO.at("instance"),
            ratio(rate("instance", EVICTED_BY_LIMITS, "1h"), rate("instance", EVICTED, "1h")),
        ),
        Record(signals.LIMIT_EVICTIONS.at("instance"), increase("instance", EVICTED_BY_LIMITS, "1h")),
        # A comparison with 0 leaves out NaN: what the quantile of nothing is.
        Record(signals.EVICTION_AGE_MEDIAN.at("instance"), f"histogram_quantile(\n  0.5,\n  {ages}\n) >= 0"),
        Record(unaccounted, f"{resident}\n-\n{held}\n-\n{in_flight}"),
    ]


def _memory_long() -> list[Record]:
    instance = by("instance")
    held, unaccounted = signals.MEMORY_HELD.at("instance"), signals.UNACCOUNTED_MEMORY.at("instance")
    return [
        # Memory that was freed may stay with the process, so growth is held against the most that was accounted.
        Record(
            signals.MEMORY_DRIFT.at("instance"),
            f"{unaccounted}\n+\n{held}\n-\nmax_over_time({held}[3d])\n-\nmin_over_time({unaccounted}[3d])",
        ),
        Record(signals.MEMORY_FLOOR.at("instance"), f"min by ({instance}) (min_over_time({unaccounted}[1d]))"),
    ]


def _of_limit(held: str, limit: str) -> str:
    return f"{held}\n/\n(max by ({by('instance')}) ({limit}) > 0)"


def _targets() -> list[Record]:
    instance, job = by("instance"), by("job")
    build_info, up_state = select(catalogue.BUILD_INFO), signals.UP_STATE.at("instance")
    started = f"{PROCESS_START}\n    and on ({instance})\n    {build_info}"
    # A target is Recoup's by a label, because it has exported Recoup's metrics, or because it was Recoup's before: so
    # it is not forgotten for as long as it is a target.
    known = [f'{UP}{{job="recoup"}}', f'{UP}{{app="recoup"}}', f"max_over_time({build_info}[1d])"]
    recoup = "\n    or\n    ".join([*known, f"last_over_time({up_state}[1d])"])
    return [
        Record(up_state, f"max by ({instance}) (\n  {UP}\n  and on ({instance}) (\n    {recoup}\n  )\n)"),
        Record(signals.TARGETS.at("job"), f"count by ({job}) ({up_state})"),
        Record(signals.UP_TARGETS.at("job"), f"sum by ({job}) ({up_state})"),
        Record(
            signals.STARTS.at("instance"),
            f"max by ({instance}) (\n  changes({PROCESS_START}[1h])\n  and on ({instance})\n"
            f"  max_over_time({build_info}[1h])\n)",
        ),
        Record(
            signals.UPTIME.at("job"),
            f"quantile by ({job}) (\n  0.5,\n  time() - max by ({instance}) (\n    {started}\n  )\n)",
        ),
    ]
