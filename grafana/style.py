"""Units, colours, targets and the words that stand where there is nothing to show.

Colours are Grafana's names, never numbers: each has a shade for the dark theme and one for the light one.
"""

from __future__ import annotations

from collections.abc import Mapping

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

#: The product's targets: hits, and how many times sooner callers are answered.
HIT_RATIO_TARGET, HIT_RATIO_GOAL = 0.6, 0.7
SPEEDUP_TARGET = 3.0
#: What the alerts allow: failed generations, slow hits, and generation time spent again, each as a share of all.
ERROR_BUDGET, SLOW_HIT_BUDGET, REGRET_LIMIT = 0.005, 0.01, 0.1

Steps = tuple[tuple[float | None, str], ...]
HIT_RATIO_STEPS: Steps = ((None, "red"), (HIT_RATIO_TARGET, "yellow"), (HIT_RATIO_GOAL, "green"))
SPEEDUP_STEPS: Steps = ((None, "red"), (2.0, "yellow"), (SPEEDUP_TARGET, "green"))
ERROR_STEPS: Steps = ((None, "green"), (ERROR_BUDGET, "red"))
SLOW_HIT_STEPS: Steps = ((None, "green"), (SLOW_HIT_BUDGET, "red"))
REGRET_STEPS: Steps = ((None, "green"), (REGRET_LIMIT, "red"))
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
}
CAUSES: Colours = {"size": "orange", "memory": "red", "expired": "yellow"}
INVALIDATIONS: Colours = {"cleared": "red", "deleted": "orange", "replaced": "blue"}
