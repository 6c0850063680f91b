"""A panel's unit is the one that its queries give: the metric's unit in the catalogue, and what is done with it."""

from __future__ import annotations

import pytest
from metrics.signals import ALERTS_LOADED, UP_STATE
from metrics.standard import UP

from dashboards.boards import METRICS, PANEL_QUERIES
from dashboards.promql import Selector, selectors
from recoup.telemetry.catalogue import BUILD_INFO, Metric

SERIES: dict[str, Metric] = {series: metric for metric in METRICS for series in metric.series}
#: Recorded series, by what their names hold.
RECORDED = {
    "_ratio:": {"percentunit"},
    "_utilisation:ratio": {"percentunit"},
    "_speedup:": {"suffix:x"},
    "_speedup_limit:": {"suffix:x"},
    "_bytes:": {"bytes"},
    "_seconds_bucket:": {"s"},  # a quantile of them
    "_up:max": {"short"},
}
#: Metrics of the process and of Prometheus, as they are used.
OTHERS = {
    "ALERTS": {"short"},
    "up": {"short"},
    "process_cpu_seconds_total": {"percentunit"},  # seconds of processor time in each second
    "process_max_fds": {"short"},
    "process_open_fds": {"short"},
    "process_resident_memory_bytes": {"bytes"},
    "process_threads": {"short"},
    "python_gc_collections_total": {"cps"},
    "python_gc_objects_collected_total": {"cps"},
}
PRESENCE = {BUILD_INFO.name, UP, *UP_STATE.series, *ALERTS_LOADED.series}
OF_UNIT = {"seconds": {"s"}, "bytes": {"bytes"}, "": {"short"}}
A_SECOND = {"reqps", "cps"}


def fitting(selector: Selector, expression: str) -> set[str]:
    """The units that fit a selector as its expression uses it."""
    if ":" in selector.name:
        return next(units for part, units in RECORDED.items() if part in selector.name)
    if selector.name in OTHERS:
        return OTHERS[selector.name]
    metric = SERIES[selector.name]
    if selector.name.endswith("_bucket"):
        return OF_UNIT[metric.unit]
    if selector.function == "rate" and metric.unit == "seconds" and metric.kind == "counter":
        # Seconds in each second are no unit; they are shown as seconds in each hour.
        return {"s"} if "3600 * " in expression else set()
    return A_SECOND if selector.function == "rate" else OF_UNIT[metric.unit]


@pytest.mark.parametrize("name", PANEL_QUERIES)
def test_the_unit_fits(name: str) -> None:
    panel, query = PANEL_QUERIES[name]
    selected = selectors(query.expr)
    # That an instance is there is what makes a zero true, or says a state; it is not what is shown.
    measuring = [selector for selector in selected if selector.name not in PRESENCE] or selected

    assert [] == [
        selector.name
        for selector in measuring
        if panel["fieldConfig"]["defaults"]["unit"] not in fitting(selector, query.expr)
    ]


@pytest.mark.parametrize(
    ("units", "expression"),
    [
        ({"s"}, "histogram_quantile(0.5, sum by (le) (rate(recoup_hit_age_seconds_bucket[5m])))"),
        ({"bytes"}, "sum (recoup_memory_bytes)"),
        ({"short"}, "sum (recoup_entries)"),
        ({"reqps", "cps"}, "rate(recoup_lookups_total[5m])"),
        ({"reqps", "cps"}, "rate(recoup_generation_duration_seconds_count[5m])"),
        ({"s"}, "increase(recoup_recouped_seconds_total[1d])"),
        ({"s"}, "3600 * sum (rate(recoup_recouped_seconds_total[5m]))"),
        (set(), "rate(recoup_recouped_seconds_total[5m])"),
        ({"short"}, "count_over_time(recoup_build_info[5m])"),
        ({"reqps", "cps"}, "rate(recoup_loadtest_requests_total[5m])"),
        ({"suffix:x"}, "job:recoup_speedup:rate5m"),
    ],
)
def test_units_follow_from_what_is_done(units: set[str], expression: str) -> None:
    assert units == fitting(selectors(expression)[0], expression)
