"""What is not there: instances that are down, vanished, or start again and again."""

from __future__ import annotations

from metrics import signals
from metrics.rulebook.alert import INSTANCE, INSTANCE_OF_JOB, JOB, PLACE, Alert, Severity
from metrics.rulebook.promql import by, number
from metrics.thresholds import Thresholds


def down() -> list[Alert]:
    """A target of Recoup's is there and cannot be scraped. Critical where no other one of its job answers."""
    state, none = signals.UP_STATE.at("instance"), f"on ({by('job')}) {signals.UP_TARGETS.at('job')} == 0"
    return [
        _down("critical", f"{state} == 0\nand {none}", "No instance of its job answers."),
        _down("warning", f"{state} == 0\nunless {none}", "Other instances of its job answer."),
    ]


def _down(severity: Severity, expression: str, others: str) -> Alert:
    return Alert(
        name="RecoupDown",
        expression=expression,
        hold="5m",
        severity=severity,
        summary=f"Recoup is down: {INSTANCE_OF_JOB}",
        description=(
            f"Prometheus cannot scrape {INSTANCE_OF_JOB}: up is {{{{ $value }}}} (threshold 1) for 5m. {others}"
        ),
        dashboard="process",
        keeps=INSTANCE,
    )


def target_vanished() -> list[Alert]:
    """Targets that were there are no targets any more: what is gone cannot be down.

    One that answered until it went was taken away on purpose. One that was down before it went is lost, until as many
    answer as usual.
    """
    count, up = signals.TARGETS.at("job"), signals.UP_STATE.at("instance")
    lost = f"count by ({by('job')}) (\n    last_over_time({up}[1d]) == 0\n    unless {up}\n  )"
    usual = f"{signals.UP_TARGETS.at('job')} >= quantile_over_time(0.5, {signals.UP_TARGETS.at('job')}[1d])"
    return [
        Alert(
            name="RecoupTargetVanished",
            expression=f"(\n  max_over_time({count}[2h])\n  or\n  {lost}\n)\nunless\n{count}",
            hold="5m",
            severity="critical",
            summary=f"Every target of {PLACE} has vanished",
            description=(
                f"Prometheus knows no target of {PLACE} any more (threshold 1): service discovery does not "
                "find it. There were {{ $value }}."
            ),
            dashboard="process",
            keeps=JOB,
        ),
        Alert(
            name="RecoupTargetVanished",
            expression=f"(\n  {lost} > 0\n  and {count}\n)\nunless {usual}",
            hold="10m",
            severity="warning",
            summary=f"A target of {PLACE} has vanished",
            description=(
                f"Targets of {PLACE} that were down before they vanished within 1d: {{{{ $value }}}} (threshold 0), "
                "and fewer answer than usual."
            ),
            dashboard="process",
            keeps=JOB,
        ),
    ]


def restarting(thresholds: Thresholds) -> Alert:
    """An instance starts again and again: its cache never fills."""
    return Alert(
        name="RecoupRestarting",
        expression=f"{signals.STARTS.at('instance')} > {number(thresholds.restarts)}",
        hold="0s",
        lasts="30m",
        severity="warning",
        summary=f"Recoup starts again and again: {INSTANCE_OF_JOB}",
        description=(
            f"{INSTANCE_OF_JOB} started {{{{ $value }}}} times within 1h (threshold {number(thresholds.restarts)}). "
            "Each time, it begins with an empty cache."
        ),
        dashboard="process",
        keeps=INSTANCE,
    )
