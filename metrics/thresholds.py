"""Every number that an alert compares with, once: expressions and texts are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

#: Where a hit may begin to be slow: upper bounds of buckets of `recoup_request_duration_seconds`, from those that a hit
#: may reach. All are fractions: in the label `le`, Prometheus 3 writes whole numbers another way than 2 does.
SLOW_HIT_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)

#: The product's goal for the hit ratio; the alert is for what is below `Thresholds.hit_ratio`.
HIT_RATIO_GOAL = 0.7
#: The speed-up from which on a figure is not red: half of the hits must come from the cache for it.
SPEEDUP_FLOOR = 2.0


@dataclass(frozen=True)
class Thresholds:
    """What is too much, too little, or too long.

    Attributes:
        hit_ratio: The least hit ratio, from 0 to 1.
        speedup: The least speed-up.
        lookups_per_second: Traffic from which on those two are judged: lookups a second, bypasses left out.
        warm_up_seconds: Those two are judged only when half of the instances have been up for longer.
        regret_ratio: The most regretted seconds, as a share of all generation seconds.
        regret_seconds: Regretted seconds in an hour that are not worth an alert.
        memory_utilisation: Share of the memory limit from which on a cache counts as full.
        young_seconds: Age in seconds under which an eviction is too early.
        memory_eviction_ratio: Share of all evictions that the memory limit must have caused, for it to be the reason.
        memory_evictions: Evictions in an hour that are not worth an alert.
        drift_ratio: The most unaccounted growth of the process, as a share of the memory limit.
        drift_bytes: Unaccounted growth in bytes that any process may show.
        error_budget: Share of generations that may fail: the objective is 1 less this.
        slow_hit_budget: Share of hits that may be slow.
        slow_hit_seconds: A hit that takes longer is slow; one of `SLOW_HIT_BOUNDS`.
        burn_events: Failures (or slow hits) in the long window that are not worth an alert, whatever their share.
        refusals: Refused generations in five minutes that are not worth an alert.
        unused_ratio: The most evicted or expired entries that never answered, as a share of all.
        expired_ratio: Share of all evictions that age must have caused, for expiry to be the reason.
        expirations: Expired entries in a day that are not worth an alert.
    """

    hit_ratio: float = 0.6
    speedup: float = 3
    lookups_per_second: float = 0.1
    warm_up_seconds: float = 1800
    regret_ratio: float = 0.1
    regret_seconds: float = 60
    memory_utilisation: float = 0.9
    young_seconds: float = 900
    memory_eviction_ratio: float = 0.5
    memory_evictions: float = 10
    drift_ratio: float = 0.25
    drift_bytes: float = 64 * 2**20
    error_budget: float = 0.005
    slow_hit_budget: float = 0.01
    slow_hit_seconds: float = 0.05
    burn_events: float = 5
    refusals: float = 5
    unused_ratio: float = 0.9
    expired_ratio: float = 0.5
    expirations: float = 100

    def __post_init__(self) -> None:
        if self.slow_hit_seconds not in SLOW_HIT_BOUNDS:
            raise ValueError(f"slow_hit_seconds is {self.slow_hit_seconds}: allowed is one of {SLOW_HIT_BOUNDS}")


def with_changes(changes: Iterable[str]) -> Thresholds:
    """The thresholds with some changed.

    Args:
        changes: Each as `NAME=NUMBER`.

    Raises:
        ValueError: A name that is none of the thresholds', or something that is no number.
    """
    known = [field.name for field in fields(Thresholds)]
    chosen: dict[str, float] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise ValueError(f"{change!r}: no such threshold; there are {', '.join(known)}")
        try:
            chosen[name] = float(text)
        except ValueError:
            raise ValueError(f"{change!r}: {text!r} is no number") from None
    return replace(Thresholds(), **chosen)
