"""PromQL for the panels, made of the catalogue's metrics and of the recorded series. Nothing is divided here.

A ratio has one definition, its recording rule; a panel that shows one shows the recorded series.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from metrics.loadtest_catalogue import METRICS as OF_LOADTEST
from metrics.selectors import Pattern
from metrics.signals import LEVELS, Signal
from metrics.standard import ALERTS, PROCESS_START

from recoup.telemetry.catalogue import BUILD_INFO, ENTRIES, GENERATION_FAILURES, HTTP_REQUESTS, Metric

#: Labels that a dashboard's variables choose values of; `pipeline` where a metric has it. Locust is a job of its own,
#: which they do not choose.
_CHOSEN = LEVELS["instance"]
#: What tells one instance from another, as an aggregation names it; and one job from another.
INSTANCE, JOB = ", ".join(LEVELS["instance"]), ", ".join(LEVELS["job"])
#: What every aggregation keeps: clusters may have equal names and addresses in them, and are never added.
_KEPT = ("cluster", "namespace")
_PATTERN = re.compile(r"[.|]")
#: Requests but those of probes and scrapes: `/readyz` answers 503 while an instance shuts down, which fails nobody.
ASKED = Pattern("/healthz|/readyz|/metrics", matches=False)
#: Statuses that say that something is broken. 504 is also the answer to only-if-cached where there is nothing.
_BROKEN = Pattern("50[^4]|5[^0].")


def _selector(name: str, labels: tuple[str, ...], matchers: Mapping[str, str | Pattern]) -> str:
    chosen = [f'{label}=~"${label}"' for label in labels]
    further = [f"{label}{_condition(value)}" for label, value in matchers.items()]
    matched = ", ".join(chosen + further)
    return f"{name}{{{matched}}}" if matched else name


def _condition(value: str | Pattern) -> str:
    if isinstance(value, Pattern):
        return f'{"=" if value.matches else "!"}~"{value.expression}"'
    return f'{"=~" if _PATTERN.search(value) else "="}"{value}"'


def named(legend: str) -> str:
    """A legend with the cluster and the namespace before it, where targets have them."""
    return f"{{{{cluster}}}} {{{{namespace}}}} {legend}"


def offered(label: str) -> str:
    """What a variable's query asks for: the values of a label that the variables before it leave."""
    metric = ENTRIES if label == "pipeline" else BUILD_INFO
    order = (*_CHOSEN, "pipeline")
    return f"label_values({_selector(metric.name, order[: order.index(label)], {})}, {label})"


def select(metric: Metric | str, suffix: str = "", **matchers: str | Pattern) -> str:
    """The series of a metric that the variables choose; a name alone is a metric of the process or of Prometheus.

    A matcher's value is a pattern where it has `.` or `|` in it.
    """
    if isinstance(metric, str):
        return _selector(metric, _CHOSEN, matchers)
    chosen = () if metric in OF_LOADTEST else _CHOSEN
    labels = chosen + (("pipeline",) if "pipeline" in metric.labels else ())
    return _selector(metric.name + suffix, labels, matchers)


def recorded(signal: Signal, level: str, window: str | None = None, **matchers: str | Pattern) -> str:
    """A recorded signal at a level, over the first window that it is recorded for, or another one."""
    return _selector(signal.at(level, window), LEVELS[level], matchers)


def total(metric: Metric | str, by: str = "", **matchers: str | Pattern) -> str:
    """The sum of a gauge."""
    return f"{_sum(by)} ({_ours(metric, select(metric, '', **matchers))})"


def largest(metric: Metric) -> str:
    """The largest value of a gauge that is not 0."""
    return f"max by ({_grouping()}) ({select(metric)} > 0)"


def rate(metric: Metric | str, by: str = "", suffix: str = "", **matchers: str | Pattern) -> str:
    """What a counter grows by each second, summed."""
    growth = f"rate({select(metric, suffix, **matchers)}[$__rate_interval])"
    return f"{_sum(by)} ({_ours(metric, growth)})"


def started() -> str:
    """When each instance began, in seconds since the epoch."""
    return _ours(PROCESS_START, select(PROCESS_START))


def scrapes() -> str:
    """How many scrapes of each instance Prometheus has, within the window that rates are taken over."""
    return f"{_sum(INSTANCE)} (count_over_time({select(BUILD_INFO)}[$__rate_interval]))"


def begins(metric: Metric, by: str) -> str:
    """A gauge that is 1 for a while, where it was not a step before."""
    before = select(metric) + " offset $__interval"
    return f"{total(metric, by)} > 0 unless {_sum(by)} ({before}) > 0"


def alerts(**matchers: str | Pattern) -> str:
    """Recoup's alerts that fire."""
    return _selector(ALERTS, LEVELS["job"], {"alertname": "Recoup.+", "alertstate": "firing"} | matchers)


def _ours(metric: Metric | str, expression: str) -> str:
    # Every process has these metrics, and `All` is any job.
    known = f" and on ({INSTANCE}) {select(BUILD_INFO)}"
    return expression + known if isinstance(metric, str) else expression


def hourly(metric: Metric, by: str = "", **matchers: str | Pattern) -> str:
    """What a counter of seconds grows by each hour, summed."""
    return f"3600 * {rate(metric, by, '', **matchers)}"


def increase(
    metric: Metric, by: str = "", window: str = "$__range", suffix: str = "", **matchers: str | Pattern
) -> str:
    """What a counter grew by within a window, summed."""
    return f"{_sum(by)} (increase({select(metric, suffix, **matchers)}[{window}]))"


def failures(by: str = "", window: str = "5m") -> str:
    """Requests that were answered 500 and above, and generations that took too long, within a window."""
    requests = select(HTTP_REQUESTS, route=ASKED, status=_BROKEN)
    too_late = select(GENERATION_FAILURES, error="timeout")
    return f"{_sum(by)} (increase({requests}[{window}]) or increase({too_late}[{window}]))"


def quantile(share: float, metric: Metric, by: str = "", **matchers: str | Pattern) -> str:
    """A quantile of a histogram; no series where nothing was observed, rather than NaN."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(metric, labels, '_bucket', **matchers)}) >= 0"


def recorded_quantile(share: float, signal: Signal, by: str, exemplars_of: Metric | None = None) -> str:
    """A quantile of a histogram whose buckets' rates are recorded: what a range of weeks can be asked for.

    Args:
        share: From 0 to 1.
        signal: What is recorded, by pipeline.
        by: The labels that are kept.
        exemplars_of: The histogram itself. Prometheus gives the exemplars of the series that a query names, and what is
            recorded has none. It is named in a condition that always holds and is evaluated once, not at each step.
    """
    value = f"histogram_quantile({share}, {_sum(f'{by}, le')} ({recorded(signal, 'pipeline')})) >= 0"
    if exemplars_of is None:
        return value
    named_once = f"count by ({_grouping()}) ({select(exemplars_of, '_bucket')} @ end()) < 0"
    return f"{value} unless on ({_grouping()}) ({named_once})"


def buckets(metric: Metric) -> str:
    """What a histogram's buckets grew by in each step, for a heat map, which can draw those of one cluster alone."""
    grown = increase(metric, "le", "$__rate_interval", "_bucket")
    return f"{grown} and on () (count(count by ({_grouping()}) ({select(BUILD_INFO)})) == 1)"


def or_zero(expression: str, by: str = "") -> str:
    """A sum, or 0 where an instance is scraped and the series has not begun; `by` is the sum's."""
    return f"{expression} or 0 * {total(BUILD_INFO, by)}"


def _sum(by: str) -> str:
    return f"sum by ({_grouping(by)})"


def _grouping(by: str = "") -> str:
    """The labels that an aggregation keeps: the cluster and the namespace, and those that are asked for."""
    return ", ".join(dict.fromkeys((*_KEPT, *by.split(", ")) if by else _KEPT))
