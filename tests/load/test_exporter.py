"""What the load test exports of itself."""

from __future__ import annotations

import urllib.request

import pytest
from loadtest.exporter import Exporter
from loadtest.journal import Request
from loadtest.service import counters
from metrics import loadtest_catalogue as catalogue
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from recoup.telemetry.catalogue import Metric

HIT = Request(at=0.0, seconds=0.002, kind="generate", item="a", status=200, outcome="hit")
LOST = Request(at=0.0, seconds=1.0, kind="generate", item="a", status=0, allowed=False)


def text(exporter: Exporter) -> str:
    return generate_latest(exporter.registry).decode()


def begun(users: int = 2) -> Exporter:
    exporter = Exporter(lambda: users)
    exporter.begin("typical", "cached")
    return exporter


def test_a_phase_that_begins_has_all_its_series_at_zero() -> None:
    exported = counters(text(begun()))
    for outcome in catalogue.ANSWER_OUTCOMES:
        labels = f'outcome="{outcome}",part="cached",scenario="typical"'
        assert 0.0 == exported[f"recoup_loadtest_requests_total{{{labels}}}"]
    assert 0.0 == exported['recoup_loadtest_failures_total{part="cached",scenario="typical"}']
    assert 0.0 == exported['recoup_loadtest_offered_requests_total{part="cached",scenario="typical"}']
    assert 0.0 == exported['recoup_loadtest_response_duration_seconds_count{outcome="hit",scenario="typical"}']


def test_requests_are_counted_by_outcome_and_failures_beside_them() -> None:
    exporter = begun()
    exporter.offer("typical", "cached", 3)
    exporter.count("typical", "cached", HIT)
    exporter.count("typical", "cached", LOST)
    exported = counters(text(exporter))
    assert 3.0 == exported['recoup_loadtest_offered_requests_total{part="cached",scenario="typical"}']
    assert 1.0 == exported['recoup_loadtest_requests_total{outcome="hit",part="cached",scenario="typical"}']
    assert 1.0 == exported['recoup_loadtest_requests_total{outcome="none",part="cached",scenario="typical"}']
    assert 1.0 == exported['recoup_loadtest_failures_total{part="cached",scenario="typical"}']
    assert 0.002 == exported['recoup_loadtest_response_duration_seconds_sum{outcome="hit",scenario="typical"}']


def test_users_and_the_phase_that_runs_are_as_they_are_now() -> None:
    exporter = begun(users=7)
    running = counters(text(exporter))
    exporter.end("typical", "cached")
    ended = counters(text(exporter))
    name = 'recoup_loadtest_phase{part="cached",scenario="typical"}'
    assert (7.0, 1.0, 0.0) == (running["recoup_loadtest_users"], running[name], ended[name])


def test_a_scenario_that_is_played_again_counts_on() -> None:
    exporter = begun()
    exporter.count("typical", "cached", HIT)
    exporter.begin("typical", "cached")
    exported = counters(text(exporter))
    assert 1.0 == exported['recoup_loadtest_requests_total{outcome="hit",part="cached",scenario="typical"}']


def test_it_exports_what_the_catalogue_defines_and_nothing_else() -> None:
    exported = {
        (family.name + "_total" if family.type == "counter" else family.name): (family.type, family.documentation)
        for family in text_string_to_metric_families(text(begun()))
    }
    assert {metric.name: (metric.kind, metric.help) for metric in catalogue.METRICS} == exported


@pytest.mark.parametrize("metric", catalogue.METRICS, ids=lambda metric: metric.name)
def test_every_series_has_the_labels_that_the_catalogue_names(metric: Metric) -> None:
    families = text_string_to_metric_families(text(begun()))
    (family,) = (family for family in families if family.name == metric.name.removesuffix("_total"))
    assert {metric.labels} == {
        tuple(label for label in metric.labels if label in sample.labels) for sample in family.samples
    }
    assert set() == {label for sample in family.samples for label in sample.labels} - {*metric.labels, "le"}


def test_prometheus_can_scrape_it() -> None:
    server = begun().serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=10) as answer:
            assert 2.0 == counters(answer.read().decode())["recoup_loadtest_users"]
    finally:
        server.shutdown()
        server.server_close()
