"""Did it hold? For the time range of one run. The verdict on a run reads these panels' queries by their titles."""

from __future__ import annotations

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import or_zero, quantile, rate, recorded, total
from grafana.panels import Line, Panel, coloured, dashed, limit_line, series
from recoup.telemetry.catalogue import (
    GENERATIONS_IN_PROGRESS,
    GENERATIONS_WAITING,
    HTTP_REQUESTS,
    LOOKUPS,
    MEMORY,
    MEMORY_LIMIT,
    REQUEST_DURATION,
)


def _hit_ratio() -> Panel:
    return series(
        "Hit ratio",
        "Share of lookups that the cache answered, over all pipelines, in windows of five minutes. The dashed lines "
        "are the targets, 60 and 70 %. A gap is a time without traffic.",
        style.SHARE,
        Line(recorded("job:recoup_hit_ratio:rate5m"), "{{job}}"),
        steps=style.HIT_RATIO_STEPS,
        maximum=1,
        no_value=style.NO_TRAFFIC,
    )


def _speedup() -> Panel:
    return series(
        "Speed-up",
        "How many times longer callers would have waited without the cache, over all pipelines, in windows of five "
        "minutes. The dashed line at 3x is the target. A gap is a time without traffic.",
        style.TIMES,
        Line(recorded("job:recoup_speedup:rate5m"), "{{job}}"),
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
    shares = ((0.99, "p99"), (0.95, "p95"), (0.5, "p50"))
    return [
        Line(quantile(share, REQUEST_DURATION, outcome=outcome), f"{outcome} {name}", exemplars=share == 0.99)
        for share, name in shares
    ]


def _dashes() -> dict[str, list[object]]:
    return {"/ p95$/": [dashed(10, 6)], "/ p50$/": [dashed(2, 6)]}


def _slow_hits() -> Panel:
    return series(
        "Slow hits",
        "Share of the hits that took longer than 50 ms, over all pipelines, in windows of five minutes; the objective, "
        "99 % without, is the dashed line. A gap is a time without hits.",
        style.SHARE,
        Line(recorded("job:recoup_slow_hit_ratio:rate5m"), "{{job}}"),
        steps=style.SLOW_HIT_STEPS,
        no_value="no hits",
    )


def _failed() -> Panel:
    return series(
        "Failed requests",
        "Requests a second that the service answered with a status of 500 and above.",
        style.REQUESTS_A_SECOND,
        Line(or_zero(rate(HTTP_REQUESTS, status="5..")), "failed"),
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
        "Memory that the cache accounts for, below the limit of all chosen instances together.",
        style.BYTES,
        Line(total(MEMORY), "held"),
        Line(total(MEMORY_LIMIT), "limit"),
        styles=limit_line(),
    )


def _processor() -> Panel:
    return series(
        "Processor time",
        "Share of one core that each instance keeps busy; its worker processes are not counted here.",
        style.SHARE,
        Line(rate("process_cpu_seconds_total", "instance"), "{{instance}}"),
    )


BOARD = Board(
    "load-test",
    "Load test",
    "Did it hold?",
    (
        Strip(8, ((6, _hit_ratio()), (6, _speedup()), (6, _slow_hits()), (6, _failed()))),
        Strip(8, ((8, _lookups()), (8, _hit_latency()), (8, _miss_latency()))),
        Strip(8, ((8, _generations()), (8, _memory()), (8, _processor()))),
    ),
    since="now-30m",
)
