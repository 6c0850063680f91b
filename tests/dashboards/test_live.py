"""Every query of every panel, variable and annotation, answered by a real Prometheus that scrapes real services."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana.preview.data import Source
from grafana.preview.page import THEMES, page
from grafana.queries import ALL, OPTIONAL, Query, View, panels, queries, substitute
from grafana.style import STATES

from dashboards.boards import BOARDS, MARKS, PANEL_QUERIES, of_the_load_test, provisioned
from dashboards.world import PHASE, TRACE, World, world

# One world for all of them: they stay on one worker.
pytestmark = [pytest.mark.xdist_group("dashboards-live"), pytest.mark.timeout(180)]

RANGE_SECONDS, SCRAPE_SECONDS = 300, 1
#: Prometheus extrapolates each counter to its window by itself: a part may seem more than the whole by a little.
EXTRAPOLATION = 0.02
EVERYTHING: dict[str, str] = {"job": ALL, "instance": ALL, "pipeline": ALL}

#: No pipeline of this world streams or refreshes, so there is no share of either; `test_clusters.py` has both.
NOTHING_ENDS = {"Streams cut", "Failed refreshes"}

each_query = pytest.mark.parametrize("name", PANEL_QUERIES)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as running:
        yield running


def shown(live: World, query: Query, **variables: Any) -> dict[str, list[float]]:
    """What a panel shows: its series that have a value, by their labels."""
    view = View(RANGE_SECONDS, SCRAPE_SECONDS, EVERYTHING | variables)
    text = substitute(query.expr, view)
    if query.instant:
        series = live.prometheus.values(text)
    else:
        series = live.prometheus.ranges(text, RANGE_SECONDS, view.interval_seconds)
    numbers = {str(labels): [value for value in values if not math.isnan(value)] for labels, values in series}
    return {labels: values for labels, values in numbers.items() if values}


@pytest.mark.parametrize(
    "name", [name for name in PANEL_QUERIES if PANEL_QUERIES[name][0]["title"] not in NOTHING_ENDS]
)
def test_a_panel_shows_what_the_traffic_made(live: World, name: str) -> None:
    panel, query = PANEL_QUERIES[name]

    # A figure of several queries is in one state at a time.
    asked = queries(panel) if panel["type"] == "stat" else [query]
    assert any(shown(live, query, job="busy") for query in asked)


@each_query
def test_an_idle_panel_shows_zeros_or_says_that_there_is_nothing(live: World, name: str) -> None:
    panel, query = PANEL_QUERIES[name]

    silent = panel["fieldConfig"]["defaults"]["noValue"].partition(", or not measured")[0]
    asked = queries(panel) if panel["type"] == "stat" else [query]
    assert any(shown(live, query, job="idle") for query in asked) or silent not in {"", "not measured"}


@each_query
def test_no_query_gives_infinity_or_no_number(live: World, name: str) -> None:
    view = View(RANGE_SECONDS, SCRAPE_SECONDS, EVERYTHING)
    series = live.prometheus.ranges(substitute(PANEL_QUERIES[name][1].expr, view), RANGE_SECONDS, 1)

    assert all(math.isfinite(value) for _, values in series for value in values)


@each_query
def test_chosen_values_leave_the_series_that_have_them(live: World, name: str) -> None:
    query = PANEL_QUERIES[name][1]
    chosen = shown(live, query, job=["busy"], instance=live.instance, pipeline=["alpha", "beta"])

    assert shown(live, query, job="busy").keys() == chosen.keys()


@each_query
def test_all_are_all_of_recoup(live: World, name: str) -> None:
    """`All` is any job, and Prometheus scrapes other processes, too."""
    query = PANEL_QUERIES[name][1]

    assert shown(live, query, job=["busy", "idle"]).keys() == shown(live, query).keys()


@pytest.mark.parametrize("label", OPTIONAL)
@each_query
def test_a_cluster_or_namespace_that_is_not_there_leaves_nothing_of_recoup(live: World, name: str, label: str) -> None:
    """And `All` of them, as in every other test, leaves targets that have neither."""
    query = PANEL_QUERIES[name][1]
    if not of_the_load_test(query.expr):
        assert {} == shown(live, query, job="busy", **{label: "elsewhere"})


@pytest.mark.parametrize("mark", MARKS)
def test_marks_are_those_of_recoup(live: World, mark: str) -> None:
    assert shown(live, MARKS[mark], job=["busy", "idle"]).keys() == shown(live, MARKS[mark]).keys()


@pytest.mark.parametrize("name", [name for name in PANEL_QUERIES if not of_the_load_test(PANEL_QUERIES[name][1].expr)])
def test_a_choice_that_fits_nothing_leaves_nothing(live: World, name: str) -> None:
    assert {} == shown(live, PANEL_QUERIES[name][1], job="another")


def is_share(name: str) -> bool:
    """Whether a query gives a part of a whole. Processor time may be more than one core."""
    panel, query = PANEL_QUERIES[name]
    return panel["fieldConfig"]["defaults"]["unit"] == "percentunit" and "process_cpu" not in query.expr


@pytest.mark.parametrize("name", [*filter(is_share, PANEL_QUERIES)])
def test_shares_are_shares(live: World, name: str) -> None:
    values = [value for values in shown(live, PANEL_QUERIES[name][1]).values() for value in values]

    # A negative figure is a state.
    assert all(0 <= value <= 1 + EXTRAPOLATION or value in STATES for value in values)


def test_the_first_failure_will_be_seen(live: World) -> None:
    """A rate needs two samples of a counter: one that begins at 1 would hide what it counted first."""
    query = 'recoup_http_requests_total{job="idle", method="POST", status=~"502|503|504"}'

    values_by_status = {labels["status"]: values for labels, values in live.prometheus.values(query)}
    assert {"502": [0], "503": [0], "504": [0]} == values_by_status


@pytest.mark.parametrize("mark", MARKS)
def test_an_annotation_marks_what_happened(live: World, mark: str) -> None:
    assert shown(live, MARKS[mark], job="busy")


@pytest.mark.parametrize("mark", ["Configuration changes", "Clears"])
def test_an_annotation_marks_nothing_where_nothing_happened(live: World, mark: str) -> None:
    assert {} == shown(live, MARKS[mark], job="idle")


def test_a_phase_is_marked_once_where_it_begins(live: World) -> None:
    (labels,) = shown(live, MARKS["Phases"])

    assert [1.0] == shown(live, MARKS["Phases"])[labels]
    assert str({"part": PHASE[1], "scenario": PHASE[0]}) == labels


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("cluster", set()),
        ("namespace", set()),
        ("job", {"busy", "idle"}),
        ("instance", {"<the service>"}),
        ("pipeline", {"alpha", "beta"}),
    ],
)
def test_a_variable_offers_what_there_is(live: World, variable: str, expected: set[str]) -> None:
    (query,) = (
        listed["query"]["query"] for listed in BOARDS["overview"]["templating"]["list"] if listed["name"] == variable
    )
    view = View(RANGE_SECONDS, SCRAPE_SECONDS, EVERYTHING | ({"job": "busy"} if variable == "instance" else {}))
    # `label_values(selector, label)`: Grafana asks for the values of the label among the selector's series.
    selector, _, label = substitute(query, view).removeprefix("label_values(").removesuffix(")").rpartition(", ")

    answered = live.prometheus.ask(f"label/{label}/values", **{"match[]": selector})

    assert {live.instance if value == "<the service>" else value for value in expected} == set(answered)


@pytest.mark.parametrize("name", [name for name, (_, query) in PANEL_QUERIES.items() if query.exemplars])
def test_a_request_can_be_looked_up_from_its_latency(live: World, name: str) -> None:
    view = View(RANGE_SECONDS, SCRAPE_SECONDS, EVERYTHING)
    text = substitute(PANEL_QUERIES[name][1].expr, view)
    (link,) = provisioned("datasources")["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]

    answered = live.prometheus.ask("query_exemplars", query=text, start="0", end="9999999999")

    traces = {exemplar["labels"][link["name"]] for series in answered for exemplar in series["exemplars"]}
    # Only the hits were sent with a traceparent; a miss is known by its request's id.
    assert traces
    assert TRACE in traces or 'outcome="miss"' in text


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", BOARDS)
def test_the_preview_draws_every_panel(live: World, name: str, theme: str) -> None:
    view = View(RANGE_SECONDS, SCRAPE_SECONDS, EVERYTHING | {"job": "busy"})

    drawn = page(BOARDS[name], Source(live.prometheus.url, view), theme)

    assert [html.escape(panel["title"]) for panel in panels(BOARDS[name])] == re.findall("<h2>(.*?)</h2>", drawn)
    assert "No data" not in drawn
    assert drawn.count('<figure class="chart"') == sum(
        panel["type"] in {"timeseries", "heatmap"} and panel["title"] not in NOTHING_ENDS
        for panel in panels(BOARDS[name])
    )
