"""Units, colours, targets and the words that stand where there is nothing to show.

Colours are Grafana's names, never numbers: each has a shade for the dark theme and one for the light one.
"""

from __future__ import annotations

from collections.abc import Mapping

from metrics.thresholds import HIT_RATIO_GOAL, SPEEDUP_FLOOR, Thresholds

from grafana.liveness import DOWN, IDLE, NO_ALERTS, NO_RULES

#: Grafana's names of units.
SHARE = "percentunit"
SECONDS = "s"
BYTES = "bytes"
COUNT = "short"
REQUESTS_A_SECOND = "reqps"
EVENTS_A_SECOND = "cps"
#: Grafana has no unit for a factor.
TIMES = "suffix:x"

NO_TRAFFIC = "no traffic"
#: What a figure says instead of a state, and the colour of that. None is green.
STATES: Mapping[int, tuple[str, str]] = {
    IDLE: (NO_TRAFFIC, "blue"),
    DOWN: ("no instance up", "red"),
    NO_RULES: ("no rules loaded", "orange"),
    NO_ALERTS: ("no alerts loaded", "orange"),
}
#: What a figure says where nothing at all is known.
ABSENT = ("nothing is known", "orange")

#: What the alerts compare with, as they are delivered.
TARGETS = Thresholds()

Steps = tuple[tuple[float | None, str], ...]
HIT_RATIO_STEPS: Steps = ((None, "red"), (TARGETS.hit_ratio, "yellow"), (HIT_RATIO_GOAL, "green"))
SPEEDUP_STEPS: Steps = ((None, "red"), (SPEEDUP_FLOOR, "yellow"), (TARGETS.speedup, "green"))
ERROR_STEPS: Steps = ((None, "green"), (TARGETS.error_budget, "red"))
SLOW_HIT_STEPS: Steps = ((None, "green"), (TARGETS.slow_hit_budget, "red"))
BYPASS_STEPS: Steps = ((None, "green"), (TARGETS.bypass_ratio, "red"))
REFUSED_STEPS: Steps = ((None, "green"), (TARGETS.refused_ratio, "red"))
REGRET_STEPS: Steps = ((None, "green"), (TARGETS.regret_ratio, "red"))
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
NEUTRAL: Steps = ((None, "blue"),)

Colours = Mapping[str, str]
OUTCOMES: Colours = {
    "hit": "green",
    "stale": "yellow",
    "coalesced": "blue",
    "miss": "orange",
    "bypass": "purple",
}
REASONS: Colours = {
    "cold": "blue",
    "expired": "yellow",
    "evicted": "red",
    "invalidated": "purple",
    "too_large": "orange",
    "uncacheable": "light-blue",
}
CAUSES: Colours = {"size": "orange", "memory": "red", "quota": "purple", "expired": "yellow"}
BYPASSES: Colours = {
    "request": "blue",
    "credentials": "orange",
    "disabled": "purple",
    "uncacheable": "yellow",
    "error": "red",
}
STATUSES: Colours = {"500": "purple", "502": "red", "503": "orange", "504": "yellow"}
INVALIDATIONS: Colours = {"cleared": "red", "deleted": "orange", "purged": "purple", "replaced": "blue"}
