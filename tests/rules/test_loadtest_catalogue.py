"""The page on the load test's metrics is the code's, and its metrics have the habits of the service's."""

from __future__ import annotations

import re

import pytest
from metrics.loadtest_catalogue import METRICS
from metrics.loadtest_catalogue_page import page

from project.tree import ROOT
from recoup.telemetry.catalogue import METRICS as OF_SERVICE
from recoup.telemetry.catalogue import Metric


def test_the_page_is_the_code_s() -> None:
    assert page() == (ROOT / "metrics" / "loadtest-catalogue.md").read_text(encoding="utf-8")


def test_no_name_is_the_service_s_or_stands_twice() -> None:
    names = [metric.name for metric in (*METRICS, *OF_SERVICE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_follows_the_habits_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"recoup_loadtest_[a-z_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.name.removesuffix("_total").endswith(metric.unit)
    assert metric.help.endswith(".")
