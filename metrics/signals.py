"""The recorded series, by name: what rules record, and what alerts, dashboards and the load test's verdict read.

A name is `level:signal:operation`. The level says which labels a rule keeps, `LEVELS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: What one job is known by. `cluster` and `namespace` keep jobs of one name apart in a shared Prometheus, and change
#: nothing where no target has them.
JOB = ("cluster", "namespace", "job")
#: The levels that signals are recorded at, and the labels that each keeps.
LEVELS: Mapping[str, tuple[str, ...]] = {
    "job": JOB,
    "pipeline": (*JOB, "pipeline"),
    "instance": (*JOB, "instance"),
}
#: The windows of the burn-rate alerts.
BURN_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True)
class Signal:
    """A figure that is recorded.

    Attributes:
        name: The middle of the series' names.
        operation: What follows, without its window.
        windows: By level, the windows that it is recorded over; `""` where it is of one moment.
    """

    name: str
    operation: str
    windows: Mapping[str, tuple[str, ...]]

    def at(self, level: str, window: str | None = None) -> str:
        """The name of the recorded series.

        Args:
            level: One of `LEVELS`.
            window: Such as `1h`; left out: the first that is recorded at that level.

        Raises:
            ValueError: The signal is not recorded so.
        """
        windows = self.windows.get(level, ())
        chosen = windows[0] if window is None and windows else window
        if chosen not in windows:
            raise ValueError(f"{self.name} is not recorded at {level} over {window}; it is over {dict(self.windows)}")
        return f"{level}:{self.name}:{self.operation}{chosen}"

    @property
    def series(self) -> tuple[str, ...]:
        """The names of all its series."""
        return tuple(self.at(level, window) for level, windows in self.windows.items() for window in windows)


def _both(*windows: str) -> dict[str, tuple[str, ...]]:
    return {"pipeline": windows, "job": windows}


_BURN = {"pipeline": BURN_WINDOWS, "job": ("5m",)}
_NOW = {"instance": ("",)}

_ACROSS = {"pipeline": ("1h",), "instance": ("1h",)}

HIT_RATIO = Signal(
    "recoup_hit_ratio", "rate", {"pipeline": ("5m", "1h"), "job": ("5m", "1h"), "instance": ("5m", "1h")}
)
#: Of the lookups for what had been there and was not taken away on purpose: what an empty cache cannot lower.
KEPT_HIT_RATIO = Signal("recoup_kept_hit_ratio", "rate", _ACROSS)
KEPT_LOOKUPS = Signal("recoup_kept_lookups", "increase", _ACROSS)
LOOKUPS_OF_HOUR = Signal("recoup_counted_lookups", "increase", _ACROSS)
SPEEDUP = Signal("recoup_speedup", "rate", {"pipeline": ("5m", "1h"), "job": ("5m",)})
SPEEDUP_SHARE = Signal("recoup_speedup_share", "rate", {"pipeline": ("1h",)})
SPEEDUP_LIMIT = Signal("recoup_speedup_limit", "ratio", _both(""))
COUNTED_LOOKUPS = Signal("recoup_counted_lookups", "rate", _both("5m"))
BYPASS_RATIO = Signal("recoup_bypass_ratio", "rate", _both("5m", "1h"))
REFUSED_RATIO = Signal("recoup_refused_ratio", "rate", {"job": ("5m", "30m", "1h")})
SERVER_ERROR_RATIO = Signal("recoup_server_error_ratio", "rate", {"job": ("30m", "1h")})
QUEUE_FULL_RATIO = Signal("recoup_queue_full_ratio", "rate", {"pipeline": ("30m", "1h")})
REFUSALS_OF_HOUR = Signal("recoup_queue_full", "increase", {"pipeline": ("1h",)})
REGRET_RATIO = Signal("recoup_regret_ratio", "rate", _both("5m", "1h"))
UNUSED_RATIO = Signal("recoup_unused_eviction_ratio", "rate", _both("1d"))
EXPIRED_RATIO = Signal("recoup_expired_eviction_ratio", "rate", _both("1d"))
ERROR_RATIO = Signal("recoup_generation_error_ratio", "rate", _BURN)
SLOW_HIT_RATIO = Signal("recoup_slow_hit_ratio", "rate", _BURN)
ERRORS = Signal("recoup_generation_errors", "increase", {"pipeline": BURN_WINDOWS})
ATTEMPTS = Signal("recoup_generation_attempts", "increase", {"pipeline": BURN_WINDOWS})
SLOW_HITS = Signal("recoup_slow_hits", "increase", {"pipeline": BURN_WINDOWS})
ANSWERED_HITS = Signal("recoup_answered_hits", "increase", {"pipeline": BURN_WINDOWS})
GENERATION_MEAN = Signal("recoup_generation_seconds", "mean", {"pipeline": ("1h",)})
GENERATION_USUAL = Signal("recoup_generation_seconds", "median", {"pipeline": ("1d",)})
LATENCY = Signal("recoup_request_duration_seconds_bucket", "rate", {"pipeline": ("5m",)})
MEMORY_HELD = Signal("recoup_memory_bytes", "sum", _NOW)
MEMORY_UTILISATION = Signal("recoup_memory_utilisation", "ratio", _NOW)
ENTRIES_UTILISATION = Signal("recoup_entries_utilisation", "ratio", _NOW)
MEMORY_EVICTION_RATIO = Signal("recoup_memory_eviction_ratio", "rate", {"instance": ("1h",)})
LIMIT_EVICTION_RATIO = Signal("recoup_limit_eviction_ratio", "rate", {"instance": ("1h",)})
LIMIT_EVICTIONS = Signal("recoup_limit_evictions", "increase", {"instance": ("1h",)})
EVICTION_AGE_MEDIAN = Signal("recoup_eviction_age_seconds", "p50_", {"instance": ("1h",)})
UNACCOUNTED_MEMORY = Signal("recoup_unaccounted_memory_bytes", "diff", _NOW)
MEMORY_DRIFT = Signal("recoup_memory_drift_bytes", "delta", {"instance": ("3d",)})
MEMORY_FLOOR = Signal("recoup_unaccounted_memory_bytes", "min", {"instance": ("1d",)})
STARTS = Signal("recoup_starts", "changes", {"instance": ("1h",)})
UP_STATE = Signal("recoup_up", "max", _NOW)
TARGETS = Signal("recoup_targets", "count", {"job": ("",)})
UP_TARGETS = Signal("recoup_up_targets", "sum", {"job": ("",)})
UPTIME = Signal("recoup_uptime_seconds", "median", {"job": ("",)})
#: Recorded beside the alerts, for each job that they could be raised for: without it, nothing fires for want of rules.
ALERTS_LOADED = Signal("recoup_alerts_loaded", "bool", {"job": ("",)})
NET_SECONDS = Signal("recoup_net_seconds", "rate", _both("5m", "1h"))
GENERATED_COST = Signal("recoup_generated_cost", "rate", _both("5m"))
RECOUPED_COST = Signal("recoup_recouped_cost", "rate", _both("5m"))
REGRETTED_COST = Signal("recoup_regretted_cost", "rate", _both("5m"))

#: Every signal.
SIGNALS = (
    HIT_RATIO,
    KEPT_HIT_RATIO,
    KEPT_LOOKUPS,
    LOOKUPS_OF_HOUR,
    SPEEDUP,
    SPEEDUP_SHARE,
    SPEEDUP_LIMIT,
    COUNTED_LOOKUPS,
    BYPASS_RATIO,
    REFUSED_RATIO,
    SERVER_ERROR_RATIO,
    QUEUE_FULL_RATIO,
    REFUSALS_OF_HOUR,
    REGRET_RATIO,
    UNUSED_RATIO,
    EXPIRED_RATIO,
    ERROR_RATIO,
    SLOW_HIT_RATIO,
    ERRORS,
    ATTEMPTS,
    SLOW_HITS,
    ANSWERED_HITS,
    GENERATION_MEAN,
    GENERATION_USUAL,
    LATENCY,
    MEMORY_HELD,
    MEMORY_UTILISATION,
    ENTRIES_UTILISATION,
    MEMORY_EVICTION_RATIO,
    LIMIT_EVICTION_RATIO,
    LIMIT_EVICTIONS,
    EVICTION_AGE_MEDIAN,
    UNACCOUNTED_MEMORY,
    MEMORY_DRIFT,
    MEMORY_FLOOR,
    STARTS,
    UP_STATE,
    TARGETS,
    UP_TARGETS,
    UPTIME,
    ALERTS_LOADED,
    NET_SECONDS,
    GENERATED_COST,
    RECOUPED_COST,
    REGRETTED_COST,
)
