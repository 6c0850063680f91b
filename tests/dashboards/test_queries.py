"""Variables are replaced as Grafana replaces them."""

from __future__ import annotations

import json
import re

import pytest
from grafana import queries
from grafana.queries import ALL, View, duration, substitute


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [("15s", 15), ("1m", 60), ("75s", 75), ("2h", 7200), ("1d", 86400), ("500ms", 0.5), ("0ms", 0), ("1500ms", 1.5)],
)
def test_a_duration_is_what_prometheus_reads(expected: str, seconds: float) -> None:
    assert expected == duration(seconds)


@pytest.mark.parametrize(
    ("step", "range_seconds", "scrape"),
    [
        pytest.param(15, 3600, 15, id="an hour has fewer scrapes than pixels"),
        pytest.param(20, 6 * 3600, 15, id="six hours: 21.6 s, rounded"),
        pytest.param(60, 86400, 15, id="a day: 86.4 s, rounded"),
        pytest.param(600, 7 * 86400, 15, id="a week: 604.8 s, rounded"),
        pytest.param(21600, 365 * 86400, 60, id="a year: 31,536 s, rounded"),
        pytest.param(0.5, 500, 0.1, id="500 s of ten scrapes a second"),
    ],
)
def test_the_step_is_that_of_a_pixel_rounded_and_never_shorter_than_a_scrape(
    step: float, range_seconds: float, scrape: float
) -> None:
    assert step == View(range_seconds, scrape).interval_seconds


def test_rate_interval_is_four_scrapes_where_steps_are_short() -> None:
    assert "rate(x[1m])" == substitute("rate(x[$__rate_interval])", View(3600, 15))


def test_rate_interval_is_a_step_and_a_scrape_where_steps_are_long() -> None:
    assert "rate(x[615s])" == substitute("rate(x[$__rate_interval])", View(7 * 86400, 15))


def test_the_range_is_told_in_seconds_and_milliseconds() -> None:
    assert "3600s 3600 3600000" == substitute("$__range $__range_s $__range_ms", View(3600))


def test_the_step_is_told_as_a_duration_and_in_milliseconds() -> None:
    assert "15s 15000" == substitute("$__interval ${__interval_ms}", View(3600))


def test_a_value_is_escaped_for_the_expression_and_for_the_string_around_it() -> None:
    view = View(60, variables={"instance": "127.0.0.1:8080"})

    assert r'up{instance=~"127\\.0\\.0\\.1:8080"}' == substitute('up{instance=~"$instance"}', view)


def test_several_values_become_a_choice() -> None:
    assert 'up{job=~"(a|b\\\\.c)"}' == substitute('up{job=~"$job"}', View(60, variables={"job": ["a", "b.c"]}))


def test_one_of_several_stands_alone() -> None:
    assert 'up{job=~"a"}' == substitute('up{job=~"$job"}', View(60, variables={"job": ["a"]}))


def test_a_backslash_survives_both() -> None:
    assert r'{x=~"a\\\\b"}' == substitute('{x=~"$x"}', View(60, variables={"x": r"a\b"}))


def test_all_is_any_value_but_none() -> None:
    assert 'up{job=~".+"}' == substitute('up{job=~"$job"}', View(60, variables={"job": ALL}))


@pytest.mark.parametrize("written", ["$job", "${job}", "${job:regex}", "[[job]]"])
def test_every_way_to_write_a_variable_is_read(written: str) -> None:
    assert 'up{job=~"a"}' == substitute(f'up{{job=~"{written}"}}', View(60, variables={"job": "a"}))


@pytest.mark.parametrize("name", ["a.b", "a-b", "a+b", "a.b+c-d(e)|f", "x*[y]", "^$?"])
def test_a_chosen_name_matches_itself_alone(name: str) -> None:
    """As Prometheus reads it: the string first, then the pattern."""
    written = substitute("$pipeline", View(60, variables={"pipeline": [name, "other"]}))
    pattern = json.loads(f'"{written}"')

    assert re.fullmatch(pattern, name)
    assert not re.fullmatch(pattern, name.replace(".", "X") + "+")


def test_the_format_for_patterns_alone_escapes_once() -> None:
    """Within the string of a query that is no escape: Prometheus refuses it, and so would a panel."""
    view = View(60, variables={"job": "a.b"})

    assert r'up{job=~"a\.b"}' == substitute('up{job=~"${job:regex}"}', view)


def test_a_longer_name_is_not_taken_for_a_shorter_one() -> None:
    assert "b" == substitute("$jobs", View(60, variables={"job": "a", "jobs": "b"}))


def test_a_variable_that_nobody_chose_is_an_error() -> None:
    with pytest.raises(KeyError, match="job"):
        substitute("$job", View(60))


def test_a_panel_is_found_by_its_title_with_its_queries() -> None:
    (query,) = queries.queries(queries.panel(queries.load("load-test"), "Hit ratio"))

    expression = 'job:recoup_hit_ratio:rate5m{cluster=~"$cluster", namespace=~"$namespace", job=~"$job"}'
    assert ("A", expression, False) == (query.ref, query.expr, query.instant)


def test_a_title_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="no panel 'Hits'"):
        queries.panel(queries.load("overview"), "Hits")


def test_panels_of_collapsed_rows_are_panels_too() -> None:
    inner = {"type": "stat", "title": "inner"}
    dashboard = {"panels": [{"type": "row", "title": "row", "panels": [inner]}, {"type": "stat", "title": "outer"}]}

    assert ["inner", "outer"] == [panel["title"] for panel in queries.panels(dashboard)]
