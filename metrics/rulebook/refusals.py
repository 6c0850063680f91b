"""Callers who got no answer: full queues, refusals, and answers 5xx."""

from __future__ import annotations

from metrics import signals
from metrics.rulebook.alert import JOB, PIPELINE, PIPELINE_OF_JOB, PLACE, Alert, Severity, percent
from metrics.rulebook.promql import increase, number
from metrics.rulebook.recordings import REFUSED_REQUESTS, SERVER_ERRORS
from metrics.thresholds import Thresholds


def queue_full(thresholds: Thresholds) -> Alert:
    """Callers are refused, because nobody may even wait any more."""
    limit = number(thresholds.queue_full_ratio)
    return Alert(
        name="RecoupGenerationQueueFull",
        expression=(
            f"{signals.QUEUE_FULL_RATIO.at('pipeline', '1h')} > {limit}\n"
            f"and {signals.QUEUE_FULL_RATIO.at('pipeline', '30m')} > {limit}\n"
            f"and {signals.REFUSALS_OF_HOUR.at('pipeline')} > {number(thresholds.refusals)}"
        ),
        hold="2m",
        lasts="30m",
        severity="warning",
        summary=f"The generation queue is full: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.queue_full_ratio)}) of the "
            f"generations that {PIPELINE_OF_JOB} was asked for over the last 1h were refused, and too many still are. "
            "Its queue was full."
        ),
        dashboard="generation",
        keeps=PIPELINE,
    )


def requests_refused(thresholds: Thresholds) -> Alert:
    """Callers are answered 503, whoever refuses them: a generator's queue, or the service for want of room."""
    return Alert(
        name="RecoupRequestsRefused",
        expression=(
            f"{signals.REFUSED_RATIO.at('job', '1h')} > {number(thresholds.refused_ratio)}\n"
            f"and {signals.REFUSED_RATIO.at('job', '30m')} > {number(thresholds.refused_ratio)}\n"
            f"and {increase('job', REFUSED_REQUESTS, '1h')} > {number(thresholds.refused_requests)}"
        ),
        hold="2m",
        lasts="30m",
        severity="warning",
        summary=f"Requests are refused: {PLACE}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.refused_ratio)}) of the requests to "
            f"{PLACE} were answered 503 over the last 1h, and too many still are."
        ),
        dashboard="generation",
        keeps=JOB,
    )


def server_errors(thresholds: Thresholds) -> list[Alert]:
    """Callers are answered 5xx, whatever failed: the generator, its upstream, or the service itself."""
    return [
        _server_errors("critical", thresholds.server_error_critical, thresholds),
        _server_errors("warning", thresholds.server_error_ratio, thresholds),
    ]


def _server_errors(severity: Severity, share: float, thresholds: Thresholds) -> Alert:
    return Alert(
        name="RecoupServerErrors",
        expression=(
            f"{signals.SERVER_ERROR_RATIO.at('job', '1h')} > {number(share)}\n"
            f"and {signals.SERVER_ERROR_RATIO.at('job', '30m')} > {number(share)}\n"
            f"and {increase('job', SERVER_ERRORS, '1h')} > {number(thresholds.server_errors)}"
        ),
        hold="2m",
        lasts="30m",
        severity=severity,
        summary=f"Requests end in errors: {PLACE}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(share)}) of the requests to {PLACE} were "
            "answered 5xx over the last 1h, refusals left out, and too many still are."
        ),
        dashboard="generation",
        keeps=JOB,
    )
