"""Every number that an alert compares with, once: expressions and texts are made from it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields

#: Where a hit may begin to be slow: upper bounds of buckets of `recoup_request_duration_seconds`, from those that a hit
#: may reach. All are fractions: in the label `le`, Prometheus 3 writes whole numbers another way than 2 does.
SLOW_HIT_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
#: The fastest burn rate of an alert, see `metrics.rulebook.burn`. A budget above its inverse could never burn so.
FASTEST_BURN = 14.4
#: The product's goal for the hit ratio; the alert is for what is below `Thresholds.hit_ratio`.
HIT_RATIO_GOAL = 0.7
#: The speed-up from which on a figure is not red: half of the hits must come from the cache for it.
SPEEDUP_FLOOR = 2.0


@dataclass(frozen=True)
class Bounds:
    """The values that a threshold can take and still mean something: above `low`, below `high`.

    Attributes:
        low: The lower bound; it is one of the values where `closed`.
        high: The upper bound, which is none of the values.
        closed: Whether the lower bound is a value.
    """

    low: float
    high: float = math.inf
    closed: bool = False

    def hold(self, value: float) -> bool:
        """Whether a value is within them; NaN and infinity never are."""
        above = value >= self.low if self.closed else value > self.low
        return math.isfinite(value) and above and value < self.high

    def __str__(self) -> str:
        """As an error says it: `a number above 0 and below 1`."""
        above = f"{'of at least' if self.closed else 'above'} {self.low:g}"
        return f"a number {above}" + (f" and below {self.high:.4g}" if math.isfinite(self.high) else "")


_SHARE = Bounds(0, 1)
_BUDGET = Bounds(0, 1 / FASTEST_BURN)
_COUNT = Bounds(0, closed=True)
_POSITIVE = Bounds(0)


def _threshold(default: float, bounds: Bounds) -> float:
    value: float = field(default=default, metadata={"bounds": bounds})
    return value


@dataclass(frozen=True)
class Thresholds:
    """What is too much, too little, or too long.

    Attributes:
        hit_ratio: The least hit ratio, from 0 to 1.
        lookups: Lookups in an hour, bypasses left out, from which on hit ratio and speed-up are judged.
        instance_share: The least hit ratio of one instance, as a share of its job's.
        speedup: The least speed-up.
        speedup_share: The least speed-up as a share of what the hit ratio allows, 1 / (1 - hit ratio).
        restarts: Starts of one instance in an hour that are not worth an alert.
        bypass_ratio: The largest share of a pipeline's lookups that may go past the cache while it is enabled.
        bypasses: Bypasses in an hour that are not worth an alert.
        regret_ratio: The most regretted seconds, as a share of the generation seconds of misses.
        regret_seconds: Regretted seconds in an hour that are not worth an alert.
        young_seconds: Age in seconds under which an eviction can be too early.
        young_share: Age under which it can, as a share of the TTL; both must hold.
        limit_eviction_ratio: Share of all evictions that limits must have caused, for them to be the reason.
        turnover: Evictions in an hour, as a share of the entries held, that are not worth an alert.
        drift_ratio: The most unaccounted growth of the process, as a share of the most that the cache held.
        drift_bytes: Unaccounted growth in bytes that any process may show.
        leak_bytes: Unaccounted growth in bytes over three days, a part of it on each, that is not worth an alert.
        error_budget: Share of generations that may fail: the objective is 1 less this.
        always_ratio: Share of failed generations in two hours from which on few of them are enough for an alert.
        always_failures: Failed generations in two hours that are not worth an alert even then.
        slow_hit_budget: Share of hits that may be slow.
        slow_hit_seconds: A hit that takes longer is slow; one of `SLOW_HIT_BOUNDS`.
        burn_events: Failures (or slow hits) in the long window that are not worth an alert, whatever their share.
        slower_factor: How many times slower than on the day before generations may become.
        slower_generations: Generations in an hour from which on that is judged.
        cut_ratio: The largest share of streams that may break off, over an hour.
        cuts: Streams that broke off in an hour that are not worth an alert.
        refresh_error_ratio: The largest share of refreshes that may fail, over an hour.
        refresh_errors: Failed refreshes in an hour that are not worth an alert.
        first_byte_factor: How many times later than on the day before the first byte of a miss may come.
        first_byte_seconds: Until this many seconds it may always take.
        first_byte_streams: Streams in an hour from which on that is judged.
        queue_full_ratio: The largest share of generations that may be refused, over an hour.
        refusals: Refused generations in an hour that are not worth an alert.
        refused_ratio: The largest share of requests that may be answered 503, over an hour.
        refused_requests: Requests answered 503 in an hour that are not worth an alert.
        server_error_ratio: The largest share of requests that may be answered 5xx but for 503, over an hour.
        server_error_critical: The share of them that is critical.
        server_errors: Requests answered so in an hour that are not worth an alert.
        internal_errors: Failures of one part in an hour that are not worth an alert.
        unused_ratio: The most evicted or expired entries that never answered, as a share of all.
        expired_ratio: Share of all evictions that age must have caused, for expiry to be the reason.
        expirations: Expired entries in a day that are not worth an alert.

    Raises:
        ValueError: A value that its threshold cannot have.
    """

    hit_ratio: float = _threshold(0.6, _SHARE)
    lookups: float = _threshold(50, _COUNT)
    instance_share: float = _threshold(0.5, _SHARE)
    speedup: float = _threshold(3, Bounds(1))
    speedup_share: float = _threshold(0.8, _SHARE)
    restarts: float = _threshold(3, _COUNT)
    bypass_ratio: float = _threshold(0.5, _SHARE)
    bypasses: float = _threshold(20, _COUNT)
    regret_ratio: float = _threshold(0.1, _SHARE)
    regret_seconds: float = _threshold(60, _COUNT)
    young_seconds: float = _threshold(900, _POSITIVE)
    young_share: float = _threshold(0.25, _SHARE)
    limit_eviction_ratio: float = _threshold(0.5, _SHARE)
    turnover: float = _threshold(0.5, _POSITIVE)
    drift_ratio: float = _threshold(0.25, _POSITIVE)
    drift_bytes: float = _threshold(48 * 2**20, _COUNT)
    leak_bytes: float = _threshold(64 * 2**20, _POSITIVE)
    error_budget: float = _threshold(0.005, _BUDGET)
    always_ratio: float = _threshold(0.9, _SHARE)
    always_failures: float = _threshold(2, _COUNT)
    slow_hit_budget: float = _threshold(0.01, _BUDGET)
    slow_hit_seconds: float = _threshold(0.05, _POSITIVE)
    burn_events: float = _threshold(5, _COUNT)
    slower_factor: float = _threshold(3, Bounds(1))
    slower_generations: float = _threshold(5, _COUNT)
    cut_ratio: float = _threshold(0.02, _SHARE)
    cuts: float = _threshold(5, _COUNT)
    refresh_error_ratio: float = _threshold(0.2, _SHARE)
    refresh_errors: float = _threshold(5, _COUNT)
    first_byte_factor: float = _threshold(3, Bounds(1))
    first_byte_seconds: float = _threshold(0.5, _COUNT)
    first_byte_streams: float = _threshold(5, _COUNT)
    queue_full_ratio: float = _threshold(0.05, _SHARE)
    refusals: float = _threshold(5, _COUNT)
    refused_ratio: float = _threshold(0.01, _SHARE)
    refused_requests: float = _threshold(20, _COUNT)
    server_error_ratio: float = _threshold(0.02, _SHARE)
    server_error_critical: float = _threshold(0.25, _SHARE)
    server_errors: float = _threshold(5, _COUNT)
    internal_errors: float = _threshold(5, _COUNT)
    unused_ratio: float = _threshold(0.9, _SHARE)
    expired_ratio: float = _threshold(0.5, _SHARE)
    expirations: float = _threshold(100, _COUNT)

    def __post_init__(self) -> None:
        for threshold in fields(self):
            _check(threshold, getattr(self, threshold.name))
        if self.slow_hit_seconds not in SLOW_HIT_BOUNDS:
            allowed = ", ".join(f"{bound:g}" for bound in SLOW_HIT_BOUNDS)
            raise ValueError(f"slow_hit_seconds={self.slow_hit_seconds:g}: expected one of {allowed}")


def _check(threshold: Field[float], value: float) -> None:
    bounds: Bounds = threshold.metadata["bounds"]
    if not bounds.hold(value):
        raise ValueError(f"{threshold.name}={value:g}: expected {bounds}")


def with_changes(changes: Iterable[str]) -> Thresholds:
    """The thresholds with some changed.

    Args:
        changes: Each as `NAME=NUMBER`.

    Raises:
        ValueError: No such threshold, no number, or a number that the threshold cannot have.
    """
    known = [threshold.name for threshold in fields(Thresholds)]
    chosen: dict[str, float] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if name not in known:
            raise ValueError(f"Unknown threshold {name!r}{_suggestion(name, known)}")
        try:
            chosen[name] = float(text)
        except ValueError:
            got = f"{text!r}" if equals else "nothing"
            raise ValueError(f"{name}: expected a number, got {got}") from None
    return Thresholds(**chosen)


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
