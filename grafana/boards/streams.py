"""What passes through: streams, those who join them, the upstream, refreshes, and what generation time is spent on."""

from __future__ import annotations

from metrics.signals import CUT_RATIO, FIRST_BYTE, NET_SECONDS, REFRESH_ERROR_RATIO

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import hourly, rate, recorded, recorded_quantile, total
from grafana.panels import Line, Panel, coloured, dashed, series
from recoup.telemetry.catalogue import (
    GENERATION_FAILURES,
    GENERATIONS_IN_PROGRESS,
    IN_FLIGHT,
    LOOKUPS,
    REFRESHES,
    SPENT,
    STREAMS,
)


def _first_byte() -> Panel:
    shares = ((0.95, "p95"), (0.5, "p50"))
    return series(
        "First byte by outcome",
        "What callers waited for the first byte, over all instances, in windows of five minutes: half of them no "
        "longer than p50 (dotted), 95 % than p95. A miss' first byte is the upstream's; a hit's is the cache's own. "
        "Logarithmic.",
        style.SECONDS,
        *(Line(recorded_quantile(share, FIRST_BYTE, "outcome"), f"{{{{outcome}}}} {name}") for share, name in shares),
        logarithmic=True,
        many=True,
        styles=coloured(style.OUTCOMES) | {"/ p50$/": [dashed(2, 6)]},
        no_value=style.NO_TRAFFIC,
    )


def _open() -> Panel:
    return series(
        "Open streams and generations",
        "Generations that run now: a stream is one until its last byte, however many callers read it. A flat top is "
        "the pipeline's limit.",
        style.COUNT,
        Line(total(GENERATIONS_IN_PROGRESS, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _held() -> Panel:
    return series(
        "Held for streams",
        "Memory for what upstreams have sent and the cache has not stored yet. The limit of all that is on its way, "
        "and its other parts, are on the dashboard Process.",
        style.BYTES,
        Line(total(IN_FLIGHT, part="answers"), "answers"),
    )


def _ends() -> Panel:
    return series(
        "Ends of streams",
        "Streams that ended, a second: `complete` was stored; `cut` broke off; `too_large` was over a limit; "
        "`not_stored` ended otherwise, such as a bypass.",
        style.EVENTS_A_SECOND,
        Line(rate(STREAMS, "end"), "{{end}}"),
        stacked=True,
        colours=style.STREAM_ENDS,
    )


def _cut_share() -> Panel:
    return series(
        "Streams cut",
        "Share of the streams that broke off, in windows of five minutes; the dashed line is what the alert allows "
        "over an hour. A gap is a time without streams or measurements.",
        style.SHARE,
        Line(recorded(CUT_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.CUT_STEPS,
        no_value="no stream ended",
    )


def _followers() -> Panel:
    return series(
        "Followers",
        "Lookups a second that joined a generation, or a stream in its middle, which another one had begun.",
        style.REQUESTS_A_SECOND,
        Line(rate(LOOKUPS, "pipeline", outcome="coalesced"), "{{pipeline}}"),
        stacked=True,
    )


def _upstream_errors() -> Panel:
    return series(
        "Upstream errors",
        "Generations a second that an upstream failed: `upstream` is a connection or an answer 5xx, streams that broke "
        "off included; `timeout` came too late; `refused` is its 401 or 429, the caller's own fault.",
        style.EVENTS_A_SECOND,
        Line(rate(GENERATION_FAILURES, "error", error="upstream|timeout|refused"), "{{error}}"),
        stacked=True,
        colours={"upstream": "red", "timeout": "yellow", "refused": "blue"},
    )


def _refreshes() -> Panel:
    return series(
        "Refreshes",
        "Results that were generated anew behind an answer, a second: because they were `stale`, or `ahead` of that.",
        style.EVENTS_A_SECOND,
        Line(rate(REFRESHES, "cause, result"), "{{cause}} {{result}}"),
        stacked=True,
        colours=style.REFRESHES,
    )


def _failed_refreshes() -> Panel:
    return series(
        "Failed refreshes",
        "Share of the refreshes that failed, in windows of five minutes; the dashed line is what the alert allows over "
        "an hour. A gap is a time without refreshes or measurements.",
        style.SHARE,
        Line(recorded(REFRESH_ERROR_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.REFRESH_STEPS,
        no_value="no refresh ended",
    )


def _spent() -> Panel:
    return series(
        "Spent per hour by purpose",
        "Generation time in each hour, by what it was spent on: for callers who waited (`miss`, `bypass`), or behind "
        "answers (`refresh`, `verification`).",
        style.SECONDS,
        Line(hourly(SPENT, "purpose"), "{{purpose}}"),
        stacked=True,
        colours=style.PURPOSES,
    )


def _net() -> Panel:
    return series(
        "Net benefit per hour",
        "What callers of a pipeline were spared in each hour, less what the cache itself made them wait, in windows of "
        "five minutes. Below 0, they would be served sooner without it.",
        style.SECONDS,
        Line(f"3600 * {recorded(NET_SECONDS, 'pipeline')}", "{{job}} {{pipeline}}"),
        minimum=None,
        no_value=style.NO_TRAFFIC,
    )


BOARD = Board(
    "streams",
    "Streams and upstream",
    "What passes through, and does it end well?",
    (
        Strip(8, ((12, _first_byte()), (6, _open()), (6, _held()))),
        Strip(8, ((8, _ends()), (8, _cut_share()), (8, _followers()))),
        Strip(8, ((8, _upstream_errors()), (8, _refreshes()), (8, _failed_refreshes()))),
        Strip(8, ((12, _spent()), (12, _net()))),
    ),
)
