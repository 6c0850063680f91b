"""Does the cache pay? The answer is on the first screen."""

from __future__ import annotations

from metrics.signals import HIT_RATIO, LATENCY, SLOW_HIT_RATIO, SPEEDUP, SPEEDUP_LIMIT

from grafana import style
from grafana.board import Board, Strip, link_to
from grafana.boards.process import scraped
from grafana.expressions import (
    ASKED,
    JOB,
    alerts,
    failures,
    hourly,
    increase,
    or_zero,
    rate,
    recorded,
    recorded_quantile,
    select,
    total,
)
from grafana.liveness import judged, unless_down, with_alerts, without_alerts
from grafana.panels import LIMIT, Line, Panel, coloured, dashed, figure, listing, series
from recoup.telemetry.catalogue import (
    ENABLED,
    ENTRIES,
    ENTRIES_LIMIT,
    HTTP_REQUESTS,
    LOOKUPS,
    MEMORY,
    MEMORY_LIMIT,
    RECOUPED,
    REQUEST_DURATION,
)

#: The severities that somebody must act on.
URGENT = "critical|warning"
OVER_ALL = "Over all pipelines and instances of the job, in the last five minutes; bypassed lookups do not count."


def _hit_ratio_now() -> Panel:
    return figure(
        "Hit ratio",
        f"Share of lookups that the cache answered. Green from 70 %, yellow from 60 %. {OVER_ALL}",
        style.SHARE,
        Line(judged(HIT_RATIO), "{{job}}"),
        steps=style.HIT_RATIO_STEPS,
        decimals=1,
        links=[link_to("misses", "Why did it miss?")],
    )


def _speedup_now() -> Panel:
    return figure(
        "Speed-up",
        "How many times longer callers would have waited without the cache: a ratio of means. Green from 3x, yellow "
        f"from 2x. A hit ratio allows about 1 / (1 - hit ratio): 3x needs two thirds of hits. {OVER_ALL}",
        style.TIMES,
        Line(judged(SPEEDUP), "{{job}}"),
        steps=style.SPEEDUP_STEPS,
        decimals=1,
        links=[link_to("generation", "Is the generator healthy?")],
    )


def _recouped_today() -> Panel:
    return figure(
        "Recouped today",
        "Generation time that callers were spared since midnight: the cost of each result that answered a hit or a "
        "coalesced lookup.",
        style.SECONDS,
        Line(increase(RECOUPED, JOB), "{{job}}"),
        steps=style.NEUTRAL,
        time_from="now/d",
        decimals=1,
    )


def _recouped_an_hour() -> Panel:
    return figure(
        "Recouped per hour",
        "Generation time that callers are spared in each hour, at the present rate.",
        style.SECONDS,
        Line(unless_down(hourly(RECOUPED, JOB)), "{{job}}"),
        steps=style.NEUTRAL,
        decimals=1,
    )


def _alerts_now() -> Panel:
    return figure(
        "Alerts firing",
        "Warnings and critical alerts on these jobs that fire now: those of the list at the bottom of this dashboard. "
        "Where Prometheus has no rules or no alerts for a job, it says so: then nothing could fire.",
        style.COUNT,
        Line(with_alerts(f"count by ({JOB}) ({alerts(severity=URGENT)})"), "{{job}}"),
        steps=style.NONE_IS_GOOD,
    )


def _errors_now() -> Panel:
    return figure(
        "Errors",
        "Within the last five minutes: requests that were answered with 500 and above, probes and scrapes left out, "
        "and generations that took too long. 504 is not counted by itself: it is also the answer to only-if-cached "
        "where there is nothing.",
        style.COUNT,
        Line(unless_down(or_zero(failures(JOB), JOB)), "{{job}}"),
        steps=style.NONE_IS_GOOD,
        decimals=0,
        links=[link_to("generation", "Is the generator healthy?")],
    )


def _failed_requests() -> Panel:
    return series(
        "Failed requests",
        "Requests a second that were answered with 500 and above, by status, probes and scrapes left out. 504 is also "
        "the answer to only-if-cached where there is nothing.",
        style.REQUESTS_A_SECOND,
        Line(rate(HTTP_REQUESTS, "status", status="5..", route=ASKED), "{{status}}"),
        stacked=True,
        colours=style.STATUSES,
    )


def _switched_off_now() -> Panel:
    return figure(
        "Instances with the cache off",
        "Instances whose cache is switched off: every lookup there is a bypass, and every request is generated.",
        style.COUNT,
        Line(unless_down(f"count by ({JOB}) ({select(ENABLED)} == 0) or 0 * {total(ENABLED, JOB)}"), "{{job}}"),
        steps=style.NONE_IS_GOOD,
    )


def _hit_ratio_over_time() -> Panel:
    return series(
        "Hit ratio by pipeline",
        "Share of lookups that the cache answered, over all instances, in windows of five minutes. The dashed lines "
        "are the targets, 60 and 70 %. A gap is a time without traffic or measurements.",
        style.SHARE,
        Line(recorded(HIT_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.HIT_RATIO_STEPS,
        maximum=1,
        no_value=style.NO_TRAFFIC,
    )


def _speedup_over_time() -> Panel:
    return series(
        "Speed-up by pipeline",
        "How many times longer callers would have waited without the cache, over all instances, in windows of five "
        "minutes. The dashed line at 3x is the target. Dotted: what the hit ratio allows where hits "
        "and misses cost alike, 1 / (1 - hit ratio); dear hits and coalesced lookups can lead above it. A gap is a "
        "time without traffic or measurements.",
        style.TIMES,
        Line(recorded(SPEEDUP, "pipeline"), "{{job}} {{pipeline}}"),
        Line(recorded(SPEEDUP_LIMIT, "pipeline"), "{{job}} {{pipeline}} at most"),
        steps=style.SPEEDUP_STEPS,
        styles={"/ at most$/": [dashed(2, 6)]},
        no_value=style.NO_TRAFFIC,
    )


def _requests_by_outcome() -> Panel:
    return series(
        "Requests by outcome",
        "Lookups a second, by the one outcome that each had.",
        style.REQUESTS_A_SECOND,
        Line(rate(LOOKUPS, "outcome"), "{{outcome}}"),
        stacked=True,
        colours=style.OUTCOMES,
    )


def _latency_by_outcome() -> Panel:
    shares = ((0.99, "p99", REQUEST_DURATION), (0.95, "p95", None), (0.5, "p50", None))
    lines = [
        Line(recorded_quantile(share, LATENCY, "outcome", of), f"{{{{outcome}}}} {name}", exemplars=of is not None)
        for share, name, of in shares
    ]
    return series(
        "Latency by outcome",
        "What callers waited, over all instances, in windows of five minutes: half of them no longer than p50 "
        "(dotted), 95 % than p95 (dashed), 99 % than p99. Logarithmic: a hit and a miss are orders of magnitude apart. "
        "Each dot is one request; click it for its trace.",
        style.SECONDS,
        *lines,
        logarithmic=True,
        many=True,
        styles=coloured(style.OUTCOMES) | {"/ p95$/": [dashed(10, 6)], "/ p50$/": [dashed(2, 6)]},
        no_value=style.NO_TRAFFIC,
    )


def _memory_against_limit() -> Panel:
    return series(
        "Memory against its limit",
        "Memory that the cache accounts for, below the limit of all chosen instances of a namespace together. A full "
        "cache is normal; what it costs is on the dashboard Capacity.",
        style.BYTES,
        Line(total(MEMORY), "held"),
        Line(total(MEMORY_LIMIT), "limit", look=LIMIT),
    )


def _entries_against_limit() -> Panel:
    return series(
        "Entries against their limit",
        "Entries held, below the limit of all chosen instances of a namespace together.",
        style.COUNT,
        Line(total(ENTRIES), "held"),
        Line(total(ENTRIES_LIMIT), "limit", look=LIMIT),
    )


def _slow_hits() -> Panel:
    return series(
        "Slow hits",
        "Share of the hits that took longer than 50 ms, over all instances, in windows of five minutes; the objective, "
        "99 % without, is the dashed line. A gap is a time without hits or measurements.",
        style.SHARE,
        Line(recorded(SLOW_HIT_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.SLOW_HIT_STEPS,
        no_value="no hits",
    )


def _alerts_list() -> Panel:
    return listing(
        "Firing alerts",
        "The warnings and critical alerts that fire now, with their labels. Each has a section in the runbook. A job "
        "that Prometheus has no alerts for stands here, too.",
        Line(f"{alerts(severity=URGENT)} or {_no_alerts()}", "{{alertname}}"),
        hidden=("Time", "Value", "__name__", "alertstate"),
        no_value="no alert fires",
    )


def _no_alerts() -> str:
    return f'label_replace({without_alerts()}, "alertname", "no alerts loaded", "", "")'


def _notices_list() -> Panel:
    return listing(
        "Notices",
        "What somebody may want to know, such as a changed configuration. Nothing is wrong, and no figure counts them.",
        Line(alerts(severity="info"), "{{alertname}}"),
        hidden=("Time", "Value", "__name__", "alertstate", "severity"),
        no_value="nothing to tell",
    )


BOARD = Board(
    "overview",
    "Overview",
    "Does the cache pay?",
    (
        Strip(
            5,
            (
                (3, scraped()),
                (4, _hit_ratio_now()),
                (4, _speedup_now()),
                (3, _errors_now()),
                (3, _alerts_now()),
                (4, _recouped_today()),
                (3, _recouped_an_hour()),
            ),
        ),
        Strip(8, ((8, _hit_ratio_over_time()), (8, _speedup_over_time()), (8, _requests_by_outcome()))),
        Strip(8, ((12, _latency_by_outcome()), (6, _memory_against_limit()), (6, _entries_against_limit()))),
        Strip(6, ((12, _alerts_list()), (12, _notices_list()))),
        Strip(6, ((10, _failed_requests()), (10, _slow_hits()), (4, _switched_off_now()))),
    ),
)
