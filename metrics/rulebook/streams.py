"""Streams and refreshes: how streams end, when they begin, and whether what is stale is generated anew."""

from __future__ import annotations

from metrics import signals
from metrics.rulebook.alert import PIPELINE, PIPELINE_OF_JOB, Alert, percent
from metrics.rulebook.promql import increase, number, rate, ratio
from metrics.selectors import select
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue

_STREAMS = select(catalogue.STREAMS)
_CUT = select(catalogue.STREAMS, end="cut")
_REFRESHES = select(catalogue.REFRESHES)
_FAILED = select(catalogue.REFRESHES, result="failed")
#: Whose first byte is the generator's: a hit's is the cache's own, and RecoupSlowHits is for that.
_MISS_SUM = select(catalogue.FIRST_BYTE, "_sum", outcome="miss")
_MISS_COUNT = select(catalogue.FIRST_BYTE, "_count", outcome="miss")


def cut_ratio(level: str, window: str) -> str:
    """Streams that broke off, as a share of all that ended."""
    return ratio(rate(level, _CUT, window), rate(level, _STREAMS, window))


def refresh_error_ratio(level: str, window: str) -> str:
    """Refreshes that failed, as a share of all."""
    return ratio(rate(level, _FAILED, window), rate(level, _REFRESHES, window))


def first_byte_buckets(level: str, window: str) -> str:
    """The buckets of what callers waited for the first byte, by outcome: what dashboards make quantiles of."""
    return rate(level, select(catalogue.FIRST_BYTE, "_bucket"), window, "outcome", "le")


def first_byte_times() -> dict[str, str]:
    """What a miss' first byte takes on average within an hour, and what that usually was on the day before."""
    mean, usual = signals.FIRST_BYTE_MEAN.at("pipeline"), signals.FIRST_BYTE_USUAL.at("pipeline")
    return {
        mean: ratio(rate("pipeline", _MISS_SUM, "1h"), rate("pipeline", _MISS_COUNT, "1h")),
        usual: f"quantile_over_time(0.5, {mean}[1d] offset 1h)",
    }


def streams_cut(thresholds: Thresholds) -> Alert:
    """Streams begin, and break off before their end."""
    limit = number(thresholds.cut_ratio)
    return Alert(
        name="RecoupStreamsCut",
        expression=(
            f"{signals.CUT_RATIO.at('pipeline', '1h')} > {limit}\n"
            f"and {signals.CUT_RATIO.at('pipeline', '30m')} > {limit}\n"
            f"and {increase('pipeline', _CUT, '1h')} > {number(thresholds.cuts)}"
        ),
        hold="2m",
        lasts="30m",
        severity="warning",
        summary=f"Streams break off: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.cut_ratio)}) of the streams of "
            f"{PIPELINE_OF_JOB} broke off over the last 1h, and too many still do. Their callers got a part, and "
            "nothing was stored."
        ),
        dashboard="streams",
        keeps=PIPELINE,
    )


def refreshes_failing(thresholds: Thresholds) -> Alert:
    """What is stale, or nearly, cannot be generated anew: callers are answered with what gets older."""
    limit = number(thresholds.refresh_error_ratio)
    return Alert(
        name="RecoupRefreshesFailing",
        expression=(
            f"{signals.REFRESH_ERROR_RATIO.at('pipeline', '1h')} > {limit}\n"
            f"and {signals.REFRESH_ERROR_RATIO.at('pipeline', '30m')} > {limit}\n"
            f"and {increase('pipeline', _FAILED, '1h')} > {number(thresholds.refresh_errors)}"
        ),
        hold="2m",
        lasts="30m",
        severity="warning",
        summary=f"Refreshes fail: {PIPELINE_OF_JOB}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} (threshold {percent(thresholds.refresh_error_ratio)}) of the "
            f"refreshes of {PIPELINE_OF_JOB} failed over the last 1h, and too many still do. Callers are answered with "
            "what gets older, as long as it may be used."
        ),
        dashboard="streams",
        keeps=PIPELINE,
    )


def slow_first_byte(thresholds: Thresholds) -> Alert:
    """Streams begin far later than on the day before. Pipelines without streams have RecoupGenerationSlower alone."""
    mean, usual = signals.FIRST_BYTE_MEAN.at("pipeline"), signals.FIRST_BYTE_USUAL.at("pipeline")
    return Alert(
        name="RecoupSlowFirstByte",
        expression=(
            f"{mean} / {usual} > {number(thresholds.first_byte_factor)}\n"
            f"and {mean} > {number(thresholds.first_byte_seconds)}\n"
            f"and {increase('pipeline', _STREAMS, '1h')} > {number(thresholds.first_byte_streams)}"
        ),
        hold="15m",
        lasts="1h",
        severity="warning",
        summary=f"Streams begin late: {PIPELINE_OF_JOB}",
        description=(
            f"Callers whose request is a miss of {PIPELINE_OF_JOB} waited for the first byte over the last 1h "
            '{{ $value | printf "%.1f" }} times as long as usual within 1d before '
            f"(threshold {number(thresholds.first_byte_factor)})."
        ),
        dashboard="streams",
        keeps=PIPELINE,
    )
