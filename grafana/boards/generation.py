"""Is the generator healthy?"""

from __future__ import annotations

from metrics.signals import ERROR_RATIO, REFUSED_RATIO

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import ASKED, buckets, or_zero, quantile, rate, recorded, total
from grafana.panels import Line, Panel, heat, series
from recoup.telemetry.catalogue import (
    GENERATION_DURATION,
    GENERATION_FAILURES,
    GENERATIONS_IN_PROGRESS,
    GENERATIONS_WAITING,
    HTTP_REQUESTS,
    INTERNAL_ERRORS,
    LOOKUPS,
)

#: What the service answers where a generator gives no result.
STATUSES = (("502", "502 generator failed"), ("503", "503 no room"), ("504", "504 too late"))


def _generations() -> Panel:
    return series(
        "Generations",
        "Generations that gave a result, a second.",
        style.EVENTS_A_SECOND,
        Line(rate(GENERATION_DURATION, "pipeline", "_count"), "{{pipeline}}"),
        stacked=True,
    )


def _failures() -> Panel:
    return series(
        "Failures by error",
        "Generations that gave no result, a second, by the kind of error. `rejected` is a request that cannot be "
        "generated: the caller's error, not the generator's; `refused` is an upstream's 401 or 429.",
        style.EVENTS_A_SECOND,
        Line(rate(GENERATION_FAILURES, "error"), "{{error}}"),
        stacked=True,
    )


def _failure_share() -> Panel:
    return series(
        "Failed generations",
        "Share of the generations that failed, in windows of five minutes; the objective, 99.5 % without failure, is "
        "the dashed line. A gap is a time without generations or measurements.",
        style.SHARE,
        Line(recorded(ERROR_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.ERROR_STEPS,
        no_value="nothing was generated",
    )


def _durations() -> Panel:
    return series(
        "Generation time",
        "How long generations took: half of them no longer than p50, 95 % than p95, 99 % than p99.",
        style.SECONDS,
        *(
            Line(quantile(share, GENERATION_DURATION, "pipeline"), f"{{{{pipeline}}}} {name}")
            for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        logarithmic=True,
        many=True,
        no_value="nothing was generated",
    )


def _spread() -> Panel:
    return heat(
        "Spread of generation times",
        "How many generations took how long; the stronger the colour, the more. Two bands are two kinds of request.",
        style.SECONDS,
        Line(buckets(GENERATION_DURATION), "{{le}}"),
        no_value="nothing was generated",
    )


def _in_progress() -> Panel:
    return series(
        "In progress",
        "Generations that run now. A flat top is the pipeline's limit.",
        style.COUNT,
        Line(total(GENERATIONS_IN_PROGRESS, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _waiting() -> Panel:
    return series(
        "Waiting",
        "Generations that wait for their turn now. Where the queue is full, the next one is answered with 503.",
        style.COUNT,
        Line(total(GENERATIONS_WAITING, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _coalesced() -> Panel:
    return series(
        "Coalesced",
        "Lookups that waited for a generation that another one had begun: work done once instead of many times.",
        style.REQUESTS_A_SECOND,
        Line(rate(LOOKUPS, "pipeline", outcome="coalesced"), "{{pipeline}}"),
        stacked=True,
    )


def _answers() -> Panel:
    return series(
        "Answers 502, 503 and 504",
        "Requests a second that got no result: the generator failed, there was no room, or it was too late. 504 is "
        "also the answer to only-if-cached where there is nothing. Probes and scrapes are left out.",
        style.REQUESTS_A_SECOND,
        *(Line(or_zero(rate(HTTP_REQUESTS, status=status, route=ASKED)), legend) for status, legend in STATUSES),
        stacked=True,
        colours={"502 generator failed": "red", "503 no room": "orange", "504 too late": "yellow"},
    )


def _internal_errors() -> Panel:
    return series(
        "Internal errors",
        "Failures inside the cache that no caller noticed, a second, by what failed: the generator answered instead.",
        style.EVENTS_A_SECOND,
        Line(rate(INTERNAL_ERRORS, "part"), "{{part}}"),
        stacked=True,
    )


def _refused_share() -> Panel:
    return series(
        "Refused requests",
        "Share of the requests that were answered 503, in windows of five minutes, probes and scrapes left out; the "
        "dashed line is what the alert allows over an hour.",
        style.SHARE,
        Line(recorded(REFUSED_RATIO, "job"), "{{job}}"),
        steps=style.REFUSED_STEPS,
        no_value=style.NO_TRAFFIC,
    )


BOARD = Board(
    "generation",
    "Generation",
    "Is the generator healthy?",
    (
        Strip(8, ((8, _generations()), (8, _failures()), (8, _failure_share()))),
        Strip(8, ((12, _durations()), (12, _spread()))),
        Strip(8, ((8, _in_progress()), (8, _waiting()), (8, _coalesced()))),
        Strip(8, ((8, _answers()), (8, _refused_share()), (8, _internal_errors()))),
    ),
)
