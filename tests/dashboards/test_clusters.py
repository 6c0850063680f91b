"""Every panel beside the truth: two clusters with equal addresses, three instances, dead ones, one without rules."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from grafana.preview.charts import shown
from grafana.preview.data import Series, legend
from grafana.queries import ALL, View, panel, panels, queries, substitute

from dashboards.boards import BOARDS, of_the_load_test
from dashboards.clusters import (
    ALERTS,
    END,
    INSTANCES,
    LOOKED_AT,
    OBSERVED,
    ONE,
    PIPELINES,
    SPREAD,
    TRAFFIC,
    TWO,
    clusters,
)
from dashboards.truth import EXPECTED, FIGURES, Lines
from dashboards.world import Prometheus
from recoup.telemetry.catalogue import ENTRY_SIZE, GENERATION_DURATION, Metric

# One Prometheus for all of them: they stay on one worker.
pytestmark = [pytest.mark.xdist_group("dashboards-clusters"), pytest.mark.timeout(180)]

EVERYTHING: dict[str, Any] = {"job": ALL, "instance": ALL, "pipeline": ALL}
#: Where a series ends, Prometheus extrapolates by half of what lies between its samples, here 30 seconds of an hour.
TOLERANCE = 0.01
TABLES = {("overview", "Firing alerts"), ("overview", "Notices"), ("process", "Versions")}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with clusters(tmp_path_factory.mktemp("clusters")) as server:
        yield server


def seen(two: Prometheus, shown_panel: dict[str, Any], at: int = END, **variables: Any) -> list[Series]:
    """What a panel shows at a moment: every line of every query."""
    seconds = 3600.0
    if shown_panel.get("timeFrom") == "now/d":
        now = datetime.fromtimestamp(END, timezone.utc)
        seconds = (now - now.replace(hour=0, minute=0, second=0)).total_seconds()
    view = View(seconds, variables=EVERYTHING | variables)
    return [
        Series(legend(query.legend, labels), labels, [(at, value)], query.ref)
        for query in queries(shown_panel)
        for labels, (value,) in two.values(substitute(query.expr, view), time=str(at))
    ]


def values(lines: list[Series]) -> Lines:
    return {line.name: line.last for line in lines}


def of(name: tuple[str, str]) -> dict[str, Any]:
    return panel(BOARDS[name[0]], name[1])


def test_every_panel_has_its_truth() -> None:
    there = {(name, shown_panel["title"]) for name, board in BOARDS.items() for shown_panel in panels(board)}

    assert there == EXPECTED.keys() | FIGURES.keys() | TABLES


@pytest.mark.parametrize("name", EXPECTED, ids=": ".join)
def test_a_panel_shows_what_is_true(two: Prometheus, name: tuple[str, str]) -> None:
    lines = seen(two, of(name))

    assert EXPECTED[name] == pytest.approx(values(lines), rel=TOLERANCE)
    assert len(lines) == len(values(lines)), "lines of one name cannot be told apart"


@pytest.mark.parametrize("name", FIGURES, ids=": ".join)
def test_a_tile_says_what_is_true(two: Prometheus, name: tuple[str, str]) -> None:
    lines = seen(two, of(name))

    assert FIGURES[name] == {line.name: shown(of(name), line) for line in lines}
    assert len(lines) == len(FIGURES[name]), "tiles of one name cannot be told apart"


@pytest.mark.parametrize("name", FIGURES, ids=": ".join)
def test_what_is_dead_vanished_or_without_rules_is_nowhere_green(two: Prometheus, name: tuple[str, str]) -> None:
    for job in ("renders", "nowhere"):
        lines = seen(two, of(name), job=job)
        colours = {shown(of(name), line)[1] for line in lines} or {shown(of(name), None)[1]}

        assert colours <= {"red", "orange"}


@pytest.mark.parametrize("title", ["Hit ratio", "Speed-up"])
def test_a_job_that_has_just_died_is_not_told_by_its_last_minutes(two: Prometheus, title: str) -> None:
    """Its ratio is still recorded, from what the last five minutes have of it."""
    at, _ = LOOKED_AT
    tile = panel(BOARDS["overview"], title)
    (recorded,) = seen(two, panel(BOARDS["load-test"], title), at, cluster="eu", job="renders")

    assert recorded.last > 0
    assert [("no instance up", "red")] == [
        shown(tile, line) for line in seen(two, tile, at, cluster="eu", job="renders")
    ]


@pytest.mark.parametrize("name", FIGURES, ids=": ".join)
def test_what_is_well_and_idle_is_nowhere_red(two: Prometheus, name: tuple[str, str]) -> None:
    (said,) = (shown(of(name), line) for line in seen(two, of(name), job="quiet"))

    assert said[1] in {"green", "blue"}


def by_label(two: Prometheus, title: str, label: str) -> list[tuple[str, str]]:
    lines = seen(two, panel(BOARDS["overview"], title))
    return sorted((line.labels["cluster"], line.labels[label]) for line in lines)


def test_the_list_of_alerts_is_what_fires_and_says_where_nothing_can(two: Prometheus) -> None:
    urgent = [("eu", alert["alertname"]) for alert in ALERTS[:3]]

    unguarded = [(cluster, "no alerts loaded") for cluster in ("eu", "us")]
    assert sorted([*urgent, *unguarded]) == by_label(two, "Firing alerts", "alertname")
    assert [("eu", "RecoupConfigChanged")] == by_label(two, "Notices", "alertname")


def test_versions_are_of_the_instances_that_answer(two: Prometheus) -> None:
    lines = seen(two, panel(BOARDS["process"], "Versions"))

    alive = sorted((i.cluster, i.job, i.address) for i in INSTANCES if i.end == "alive")
    assert alive == sorted((line.labels["cluster"], line.labels["job"], line.labels["instance"]) for line in lines)


#: Locust's figures are told apart by cluster, and the variables choose the service's.
CHOSEN = [name for name in EXPECTED if EXPECTED[name] and not of_the_load_test(str(of(name)))]


@pytest.mark.parametrize("cluster", ["eu", "us"])
@pytest.mark.parametrize("name", CHOSEN, ids=": ".join)
def test_a_chosen_cluster_leaves_its_own_lines(two: Prometheus, name: tuple[str, str], cluster: str) -> None:
    own = {line: value for line, value in EXPECTED[name].items() if line.startswith(f"{cluster} ")}

    assert own == pytest.approx(values(seen(two, of(name), cluster=cluster)), rel=TOLERANCE)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", CHOSEN, ids=": ".join)
def test_a_chosen_pipeline_is_taken_by_its_letters(two: Prometheus, name: tuple[str, str], pipeline: str) -> None:
    """And never as the pattern that it also is."""

    def of_pipelines(lines: Lines) -> Lines:
        return {line: value for line, value in lines.items() if any(other in line for other in PIPELINES)}

    expected = {line: value for line, value in of_pipelines(EXPECTED[name]).items() if pipeline in line}
    assert expected == pytest.approx(of_pipelines(values(seen(two, of(name), pipeline=[pipeline]))), rel=TOLERANCE)


@pytest.mark.parametrize("name", CHOSEN, ids=": ".join)
def test_all_chosen_one_by_one_are_all(two: Prometheus, name: tuple[str, str]) -> None:
    addresses = sorted({instance.address for instance in INSTANCES})
    chosen = seen(two, of(name), cluster=["eu", "us"], instance=addresses, pipeline=list(PIPELINES))

    assert EXPECTED[name] == pytest.approx(values(chosen), rel=TOLERANCE)


@pytest.mark.parametrize(("cluster", "scale"), [("eu", 3), ("us", 7)])
@pytest.mark.parametrize(
    ("name", "metric"),
    [(("capacity", "Entry sizes"), ENTRY_SIZE), (("generation", "Spread of generation times"), GENERATION_DURATION)],
    ids=["sizes", "times"],
)
def test_a_heat_map_draws_one_cluster(
    two: Prometheus, name: tuple[str, str], metric: Metric, cluster: str, scale: int
) -> None:
    minute = 60 * OBSERVED * scale * TRAFFIC
    (bound,) = SPREAD[metric.name]

    lines = values(seen(two, of(name), cluster=cluster))
    assert {str(le): minute if le >= bound else 0 for le in metric.buckets} | {"+Inf": minute} == pytest.approx(lines)


@pytest.mark.parametrize(
    ("variable", "chosen", "expected"),
    [
        ("cluster", {}, {"eu", "us"}),
        ("namespace", {"cluster": "us"}, {"prod"}),
        ("job", {"cluster": "us"}, {"recoup", "renders"}),
        ("instance", {"cluster": "us", "job": "recoup"}, {ONE, TWO}),
        ("pipeline", {"cluster": "us", "job": ["recoup", "renders"], "instance": [ONE]}, set(PIPELINES)),
    ],
)
def test_a_variable_offers_what_the_choice_before_it_leaves(
    two: Prometheus, variable: str, chosen: dict[str, Any], expected: set[str]
) -> None:
    (query,) = (
        listed["query"]["query"] for listed in BOARDS["overview"]["templating"]["list"] if listed["name"] == variable
    )
    asked = substitute(query, View(3600, variables=EVERYTHING | chosen))
    selector, _, label = asked.removeprefix("label_values(").removesuffix(")").rpartition(", ")

    assert expected == set(two.ask(f"label/{label}/values", **{"match[]": selector}))
