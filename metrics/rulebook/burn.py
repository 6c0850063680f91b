"""Multi-window, multi-burn-rate alerts, as chapter 5 of Google's SRE workbook gives them.

An objective of 99.5 % leaves a budget of 0.5 % for 30 days. A burn rate is how many times faster than that it is used
up. Each alert needs a long window, which tells that it matters, and a short one, which tells that it still goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from metrics.rulebook.alert import Alert, Severity, percent
from metrics.rulebook.promql import increase, number
from metrics.rulebook.recordings import ANSWERED_HITS, GENERATOR_ERRORS, quick_hits
from metrics.signals import ERROR_RATIO, SLOW_HIT_RATIO, Signal
from metrics.thresholds import FASTEST_BURN, Thresholds


@dataclass(frozen=True)
class Burn:
    """One pair of windows, how fast the budget burns in both, and for how long before somebody is told."""

    rate: float
    long: str
    short: str
    hold: str
    severity: Severity


#: The workbook's recommended parameters: 2 %, 5 %, 10 % and 10 % of the budget are gone when the long window is full.
BURNS = (
    Burn(FASTEST_BURN, "1h", "5m", "2m", "critical"),
    Burn(6, "6h", "30m", "15m", "critical"),
    Burn(3, "1d", "2h", "1h", "warning"),
    Burn(1, "3d", "6h", "3h", "warning"),
)


def generation_failures(thresholds: Thresholds) -> list[Alert]:
    """Generations fail faster than the objective allows."""
    return [
        Alert(
            name="RecoupGenerationFailures",
            expression=_expression(
                ERROR_RATIO,
                burn,
                thresholds.error_budget,
                lambda window: increase("pipeline", GENERATOR_ERRORS, window),
                thresholds.burn_events,
            ),
            hold=burn.hold,
            severity=burn.severity,
            labels={"long": burn.long, "short": burn.short},
            summary="Generations fail: pipeline {{ $labels.pipeline }} of {{ $labels.job }}",
            description=(
                "{{ $value | humanizePercentage }} "
                f"(threshold {percent(burn.rate * thresholds.error_budget)}) of the generations of pipeline "
                f"{{{{ $labels.pipeline }}}} of {{{{ $labels.job }}}} failed over the last {burn.long}, and too many "
                f"still do: {number(burn.rate)} times the budget of the objective of "
                f"{percent(1 - thresholds.error_budget)}."
            ),
            dashboard="generation",
            keeps=("job", "pipeline"),
        )
        for burn in BURNS
    ]


def slow_hits(thresholds: Thresholds) -> list[Alert]:
    """Hits take too long, more of them than the objective allows."""
    quick = quick_hits(thresholds)
    return [
        Alert(
            name="RecoupSlowHits",
            expression=_expression(
                SLOW_HIT_RATIO,
                burn,
                thresholds.slow_hit_budget,
                lambda window: f"{increase('pipeline', ANSWERED_HITS, window)} - {increase('pipeline', quick, window)}",
                thresholds.burn_events,
            ),
            hold=burn.hold,
            severity=burn.severity,
            labels={"long": burn.long, "short": burn.short},
            summary="Hits are slow: pipeline {{ $labels.pipeline }} of {{ $labels.job }}",
            description=(
                "{{ $value | humanizePercentage }} "
                f"(threshold {percent(burn.rate * thresholds.slow_hit_budget)}) of the hits of pipeline "
                f"{{{{ $labels.pipeline }}}} of {{{{ $labels.job }}}} took longer than "
                f"{number(thresholds.slow_hit_seconds * 1000)}ms over the last {burn.long}, and too many still do: "
                f"{number(burn.rate)} times the budget of the objective of {percent(1 - thresholds.slow_hit_budget)}."
            ),
            dashboard="overview",
            keeps=("job", "pipeline"),
        )
        for burn in BURNS
    ]


def _expression(signal: Signal, burn: Burn, budget: float, events: Callable[[str], str], least: float) -> str:
    allowed = f"({number(burn.rate)} * {number(budget)})"
    return (
        f"{signal.at('pipeline', burn.long)} > {allowed}\n"
        f"and {signal.at('pipeline', burn.short)} > {allowed}\n"
        f"and {events(burn.long)} > {number(least)}"
    )
