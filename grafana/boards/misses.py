"""Why did it miss?"""

from __future__ import annotations

from metrics.signals import BYPASS_RATIO, HIT_RATIO, REGRET_RATIO, UNUSED_RATIO

from grafana import style
from grafana.board import Board, Strip
from grafana.expressions import hourly, quantile, rate, recorded
from grafana.panels import Line, Panel, series
from recoup.telemetry.catalogue import (
    BYPASSES,
    EVICTION_AGE,
    EVICTIONS,
    INVALIDATIONS,
    LOOKUPS,
    MISSES,
    REGRETTED,
    UNUSED_EVICTIONS,
)


def _misses_by_reason() -> Panel:
    return series(
        "Misses by reason",
        "Lookups that found nothing, by why: cold was never seen; expired, evicted and invalidated were there once; "
        "too_large was seen and never kept. Cold misses are the generator's work, the others are the cache's.",
        style.REQUESTS_A_SECOND,
        Line(rate(MISSES, "reason"), "{{reason}}"),
        stacked=True,
        colours=style.REASONS,
    )


def _misses_by_pipeline() -> Panel:
    return series(
        "Misses by pipeline",
        "Lookups that found nothing, by pipeline.",
        style.REQUESTS_A_SECOND,
        Line(rate(MISSES, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _avoidable_by_pipeline() -> Panel:
    return series(
        "Misses after eviction by pipeline",
        "Lookups of what was there and had to make room. More memory, or more entries, would have answered these.",
        style.REQUESTS_A_SECOND,
        Line(rate(MISSES, "pipeline", reason="evicted"), "{{pipeline}}"),
        stacked=True,
    )


def _evictions_by_cause() -> Panel:
    return series(
        "Evictions by cause",
        "Entries that left by themselves: size is the limit of entries, memory the limit of bytes, quota that of their "
        "own pipeline, expired their age.",
        style.EVENTS_A_SECOND,
        Line(rate(EVICTIONS, "cause"), "{{cause}}"),
        stacked=True,
        colours=style.CAUSES,
    )


def _eviction_age() -> Panel:
    return series(
        "Age at eviction",
        "How old entries were when they were evicted or expired. Young evictions mean a cache too small for its "
        "traffic; at the time to live, entries leave by age alone.",
        style.SECONDS,
        *(
            Line(quantile(share, EVICTION_AGE, "pipeline"), f"{{{{pipeline}}}} {name}")
            for share, name in ((0.5, "p50"), (0.9, "p90"))
        ),
        logarithmic=True,
        no_value="nothing was evicted",
    )


def _regret() -> Panel:
    return series(
        "Regret",
        "Share of the misses' generation time that went into generating again what had been evicted, in windows of "
        "five minutes. From the dashed line on it is worth a larger cache. A gap is a time without generations or "
        "measurements.",
        style.SHARE,
        Line(recorded(REGRET_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.REGRET_STEPS,
        no_value="nothing was generated",
    )


def _regretted_an_hour() -> Panel:
    return series(
        "Regretted per hour",
        "Time spent, in each hour, on generating again what had been evicted.",
        style.SECONDS,
        Line(hourly(REGRETTED, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _unused_evictions() -> Panel:
    return series(
        "Unused evictions",
        "Entries that were evicted or expired without having answered one lookup: memory that earned nothing.",
        style.EVENTS_A_SECOND,
        Line(rate(UNUSED_EVICTIONS, "pipeline"), "{{pipeline}}"),
        stacked=True,
    )


def _unused_share() -> Panel:
    return series(
        "Share of evictions unused",
        "Share of the evicted and expired entries that had not answered one lookup, in windows of a day.",
        style.SHARE,
        Line(recorded(UNUSED_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        maximum=1,
        no_value="nothing was evicted",
    )


def _invalidations() -> Panel:
    return series(
        "Invalidations by cause",
        "Entries that somebody removed: cleared all at once, deleted one by one, purged with their group, or replaced "
        "by a newer result.",
        style.EVENTS_A_SECOND,
        Line(rate(INVALIDATIONS, "cause"), "{{cause}}"),
        stacked=True,
        colours=style.INVALIDATIONS,
    )


def _bypasses() -> Panel:
    return series(
        "Bypassed lookups",
        "Lookups that were not to be answered from the cache, by pipeline; beside it, why. They are no misses.",
        style.REQUESTS_A_SECOND,
        Line(rate(LOOKUPS, "pipeline", outcome="bypass"), "{{pipeline}}"),
        stacked=True,
    )


def _bypasses_by_reason() -> Panel:
    return series(
        "Bypasses by reason",
        "Lookups that went past the cache, by why: request, it said no-store; credentials, the pipeline names neither "
        "Authorization nor Cookie; disabled, the cache is off; uncacheable, the upstream forbids it; error, the cache "
        "failed and the caller was served all the same.",
        style.REQUESTS_A_SECOND,
        Line(rate(BYPASSES, "reason"), "{{reason}}"),
        stacked=True,
        colours=style.BYPASSES,
    )


def _bypass_share() -> Panel:
    return series(
        "Bypassed share",
        "Share of each pipeline's lookups that went past the cache while it was enabled, in windows of five minutes. "
        "No hit ratio counts them. Above the dashed line most of the pipeline's callers gain nothing.",
        style.SHARE,
        Line(recorded(BYPASS_RATIO, "pipeline"), "{{job}} {{pipeline}}"),
        steps=style.BYPASS_STEPS,
        maximum=1,
        no_value=style.NO_TRAFFIC,
    )


def _hit_ratio_by_instance() -> Panel:
    return series(
        "Hit ratio by instance",
        "Share of lookups that each instance's cache answered, in windows of five minutes; the dashed lines are the "
        "targets, 60 and 70 %. One line far below the others is an instance that is new, or that is asked for other "
        "things. A gap is a time without traffic or measurements.",
        style.SHARE,
        Line(recorded(HIT_RATIO, "instance"), "{{job}} {{instance}}"),
        steps=style.HIT_RATIO_STEPS,
        maximum=1,
        no_value=style.NO_TRAFFIC,
    )


BOARD = Board(
    "misses",
    "Misses",
    "Why did it miss?",
    (
        Strip(9, ((8, _misses_by_reason()), (8, _misses_by_pipeline()), (8, _hit_ratio_by_instance()))),
        Strip(8, ((8, _evictions_by_cause()), (8, _eviction_age()), (8, _avoidable_by_pipeline()))),
        Strip(8, ((8, _regret()), (8, _regretted_an_hour()), (8, _unused_evictions()))),
        Strip(8, ((12, _unused_share()), (12, _invalidations()))),
        Strip(8, ((8, _bypasses_by_reason()), (8, _bypasses()), (8, _bypass_share()))),
    ),
)
