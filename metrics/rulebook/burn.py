"""Multi-window, multi-burn-rate alerts, as chapter 5 of Google's SRE workbook gives them.

An objective of 99.5 % leaves a budget of 0.5 % for 30 days. A burn rate is how many times faster than that it is used
up. Each alert needs a long window, which tells that it matters, and a short one, which tells that it still goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from metrics.rulebook.alert import Alert, Severity, percent, place
from metrics.rulebook.promql import number
from metrics.signals import ERROR_RATIO, ERRORS, SLOW_HIT_RATIO, SLOW_HITS, Signal
from metrics.thresholds import FASTEST_BURN, Thresholds


@dataclass(frozen=True)
class Burn:
    """One pair of windows, how fast the budget burns in both, for how long before it fires, and how long it goes on."""

    rate: float
    long: str
    short: str
    hold: str
    severity: Severity
    lasts: str


_PIPELINE = f"pipeline {{{{ $labels.pipeline }}}} of {place()}"
#: The workbook's recommended parameters: 2 %, 5 %, 10 % and 10 % of the budget are gone when the long window is full.
BURNS = (
    Burn(FASTEST_BURN, "1h", "5m", "2m", "critical", "30m"),
    Burn(6, "6h", "30m", "15m", "critical", "1h"),
    Burn(3, "1d", "2h", "1h", "warning", "1h"),
    Burn(1, "3d", "6h", "3h", "warning", "1h"),
)


def generation_failures(thresholds: Thresholds) -> list[Alert]:
    """Generations fail faster than the objective allows."""
    return [
        Alert(
            name="RecoupGenerationFailures",
            expression=_expression(ERROR_RATIO, ERRORS, burn, thresholds.error_budget, thresholds.burn_events),
            hold=burn.hold,
            lasts=burn.lasts,
            severity=burn.severity,
            labels={"long": burn.long, "short": burn.short},
            summary=f"Generations fail: {_PIPELINE}",
            description=(
                "{{ $value | humanizePercentage }} "
                f"(threshold {percent(burn.rate * thresholds.error_budget)}) of the generations of {_PIPELINE} "
                f"failed over the last {burn.long}, and too many "
                f"still do: {number(burn.rate)} times the budget of the objective of "
                f"{percent(1 - thresholds.error_budget)}."
            ),
            dashboard="generation",
            keeps=("job", "pipeline"),
        )
        for burn in BURNS
    ]


def always_fails(thresholds: Thresholds) -> Alert:
    """Nearly every generation fails: told after a few, for pipelines with little traffic."""
    window = "2h"
    return Alert(
        name="RecoupGenerationFailures",
        expression=(
            f"{ERROR_RATIO.at('pipeline', window)} > {number(thresholds.always_ratio)}\n"
            f"and {ERRORS.at('pipeline', window)} > {number(thresholds.always_failures)}"
        ),
        hold="0s",
        lasts="1h",
        severity="critical",
        labels={"long": window, "short": window},
        summary=f"Generations fail: {_PIPELINE}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.always_ratio)}) of the generations "
            f"of {_PIPELINE} failed over the last {window}."
        ),
        dashboard="generation",
        keeps=("job", "pipeline"),
    )


def slow_hits(thresholds: Thresholds) -> list[Alert]:
    """Hits take too long, more of them than the objective allows."""
    return [
        Alert(
            name="RecoupSlowHits",
            expression=_expression(SLOW_HIT_RATIO, SLOW_HITS, burn, thresholds.slow_hit_budget, thresholds.burn_events),
            hold=burn.hold,
            lasts=burn.lasts,
            severity=burn.severity,
            labels={"long": burn.long, "short": burn.short},
            summary=f"Hits are slow: {_PIPELINE}",
            description=(
                "{{ $value | humanizePercentage }} "
                f"(threshold {percent(burn.rate * thresholds.slow_hit_budget)}) of the hits of {_PIPELINE} took longer "
                f"than {number(thresholds.slow_hit_seconds * 1000)}ms over the last {burn.long}, and too many still "
                f"do: {number(burn.rate)} times the budget of the objective of "
                f"{percent(1 - thresholds.slow_hit_budget)}."
            ),
            dashboard="overview",
            keeps=("job", "pipeline"),
        )
        for burn in BURNS
    ]


def _expression(signal: Signal, bad: Signal, burn: Burn, budget: float, least: float) -> str:
    allowed = f"({number(burn.rate)} * {number(budget)})"
    return (
        f"{signal.at('pipeline', burn.long)} > {allowed}\n"
        f"and {signal.at('pipeline', burn.short)} > {allowed}\n"
        f"and {bad.at('pipeline', burn.long)} > {number(least)}"
    )
