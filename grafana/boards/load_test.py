"""Did it hold? For the time range of one run: what Locust offered, and what the service made of it.

The verdict on a run reads these panels' queries by their titles.
"""

from __future__ import annotations

from metrics.loadtest_catalogue import FAILURES, OFFERED_REQUESTS, REQUESTS, RESPONSE_DURATION, USERS
from metrics.signals import HIT_RATIO, SLOW_HIT_RATIO, SPEEDUP
from metrics.standard import PROCESS_CPU

from grafana import style
from grafana.annotations import phases
from grafana.board import Board, Strip
from grafana.expressions import ASKED, INSTANCE, or_zero, quantile, rate, recorded, scrapes, total
from grafana.panels import LIMIT, Line, Panel, coloured, dashed, series
from recoup.telemetry.catalogue import (
    GENERATIONS_IN_PROGRESS,
    GENERATIONS_WAITING,
    HTTP_REQUESTS,
    LOOKUPS,
    MEMORY,
    MEMORY_LIMIT,
    REQUEST_DURATION,
)

_QUANTILES = ((0.99, "p99"), (0.95, "p95"), (0.5, "p50"))
_NO_LOCUST = "no load test"


def _hit_ratio() -> Panel:
    return series(
        "Hit ratio",
        "Share of lookups that the cache answered, over all pipelines, in windows of five minutes. The dashed lines "
        "are the targets, 60 and 70 %. A gap is a time without traffic or measurements.",
        style.SHARE,
        Line(recorded(HIT_RATIO, "job"), "{{job}}"),
        steps=style.HIT_RATIO_STEPS,
        maximum=1,
        no_value=style.NO_TRAFFIC,
    )


def _speedup() -> Panel:
    return series(
        "Speed-up",
        "How many times longer callers would have waited without the cache, over all pipelines, in windows of five "
        "minutes. The dashed line at 3x is the target. A gap is a time without traffic or measurements.",
        style.TIMES,
        Line(recorded(SPEEDUP, "job"), "{{job}}"),
        steps=style.SPEEDUP_STEPS,
        no_value=style.NO_TRAFFIC,
    )


def _lookups() -> Panel:
    return series(
        "Lookups by outcome",
        "Lookups a second that the service made, by the one outcome that each had.",
        style.REQUESTS_A_SECOND,
        Line(rate(LOOKUPS, "outcome"), "{{outcome}}"),
        stacked=True,
        colours=style.OUTCOMES,
    )


def _hit_latency() -> Panel:
    return series(
        "Hit latency",
        "What callers waited for a hit, as the service measures it: half of them no longer than p50 (dotted), 95 % "
        "than p95 (dashed), 99 % than p99.",
        style.SECONDS,
        *_quantiles("hit"),
        logarithmic=True,
        styles=_dashes() | coloured(style.OUTCOMES),
        no_value="no hits",
    )


def _miss_latency() -> Panel:
    return series(
        "Miss latency",
        "What callers waited for a miss, as the service measures it: the generation, and the wait for its turn.",
        style.SECONDS,
        *_quantiles("miss"),
        logarithmic=True,
        styles=_dashes() | coloured(style.OUTCOMES),
        no_value="no misses",
    )


def _quantiles(outcome: str) -> list[Line]:
    return [
        Line(quantile(share, REQUEST_DURATION, outcome=outcome), f"{outcome} {name}", exemplars=share == 0.99)
        for share, name in _QUANTILES
    ]


def _dashes() -> dict[str, list[object]]:
    return {"/ p95$/": [dashed(10, 6)], "/ p50$/": [dashed(2, 6)]}


def _slow_hits() -> Panel:
    return series(
        "Slow hits",
        "Share of the hits that took longer than 50 ms, over all pipelines, in windows of five minutes; the objective, "
        "99 % without, is the dashed line. A gap is a time without hits or measurements.",
        style.SHARE,
        Line(recorded(SLOW_HIT_RATIO, "job"), "{{job}}"),
        steps=style.SLOW_HIT_STEPS,
        no_value="no hits",
    )


def _failed() -> Panel:
    return series(
        "Failed requests",
        "Requests a second that the service answered with a status of 500 and above, probes and scrapes left out.",
        style.REQUESTS_A_SECOND,
        Line(or_zero(rate(HTTP_REQUESTS, status="5..", route=ASKED)), "failed"),
        colours={"failed": "red"},
    )


def _generations() -> Panel:
    return series(
        "Generations in progress and waiting",
        "Generations that run, and that wait for their turn.",
        style.COUNT,
        Line(total(GENERATIONS_IN_PROGRESS), "in progress"),
        Line(total(GENERATIONS_WAITING), "waiting"),
        stacked=True,
        colours={"in progress": "blue", "waiting": "orange"},
    )


def _memory() -> Panel:
    return series(
        "Memory against its limit",
        "Memory that the cache accounts for, below the limit of all chosen instances of a namespace together.",
        style.BYTES,
        Line(total(MEMORY), "held"),
        Line(total(MEMORY_LIMIT), "limit", look=LIMIT),
    )


def _processor() -> Panel:
    return series(
        "Processor time",
        "Share of one core that each instance keeps busy; its worker processes are not counted here.",
        style.SHARE,
        Line(rate(PROCESS_CPU, INSTANCE), "{{job}} {{instance}}"),
    )


def _offered() -> Panel:
    return series(
        "Load offered and answered",
        "Requests a second that were due (offered) and that ended, as Locust counts them, beside the lookups that the "
        "service made of them. Offered above ended: the service, or Locust, did not keep up. Ended above lookups: "
        "requests that ask for no generation, or that were refused before their lookup.",
        style.REQUESTS_A_SECOND,
        Line(rate(OFFERED_REQUESTS), "offered"),
        Line(rate(REQUESTS), "ended"),
        Line(rate(LOOKUPS), "lookups"),
        colours={"offered": "purple", "ended": "blue", "lookups": "green"},
        styles={"/^offered$/": [dashed(10, 6)]},
        no_value=_NO_LOCUST,
    )


def _users() -> Panel:
    return series(
        "Users",
        "Users that Locust plays: no more than so many requests are under way at one time.",
        style.COUNT,
        Line(total(USERS), "users"),
        no_value=_NO_LOCUST,
    )


def _failures() -> Panel:
    return series(
        "Failures as Locust saw them",
        "Requests a second without an answer, with a broken one, or with one that the contract does not have there. "
        "A 503 where more is asked than can be generated is no failure.",
        style.REQUESTS_A_SECOND,
        Line(rate(FAILURES, "scenario"), "{{scenario}}"),
        no_value=_NO_LOCUST,
    )


def _response_times() -> Panel:
    return series(
        "Response times as Locust saw them",
        "From before a request was sent until all of its answer was there, by outcome and scenario: half of them no "
        "longer than p50 (dotted), 95 % than p95 (dashed), 99 % than p99. Sending, receiving and Locust's own work are "
        "in them, so they stand above what the service measures.",
        style.SECONDS,
        *(
            Line(quantile(share, RESPONSE_DURATION, "outcome, scenario"), f"{{{{outcome}}}} {{{{scenario}}}} {name}")
            for share, name in _QUANTILES
        ),
        logarithmic=True,
        many=True,
        styles=_dashes() | coloured(style.OUTCOMES, " [^ ]+"),
        no_value=_NO_LOCUST,
    )


def _scrapes() -> Panel:
    return series(
        "Scrapes",
        "Scrapes of each instance that Prometheus has, within the window that rates are taken over. A dip or a gap is "
        "a time when Prometheus or the instance was away: the other panels know little of it.",
        style.COUNT,
        Line(scrapes(), "{{job}} {{instance}}"),
    )


BOARD = Board(
    "load-test",
    "Load test",
    "Did it hold?",
    (
        Strip(8, ((6, _hit_ratio()), (6, _speedup()), (6, _slow_hits()), (6, _failed()))),
        Strip(8, ((12, _offered()), (6, _users()), (6, _failures()))),
        Strip(8, ((8, _lookups()), (8, _hit_latency()), (8, _miss_latency()))),
        Strip(8, ((8, _generations()), (8, _memory()), (8, _processor()))),
        Strip(8, ((18, _response_times()), (6, _scrapes()))),
    ),
    since="now-30m",
    marks=(phases(),),
)
