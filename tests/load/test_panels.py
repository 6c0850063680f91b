"""Panels: what is asked are the dashboards' own queries, filled in, and a chart looks as its panel does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from grafana.queries import DASHBOARDS, load, panel, panels, queries
from loadtest.panels import (
    FAILED,
    HIT_LATENCY,
    HIT_RATIO,
    LOAD_TEST,
    MEMORY,
    MEMORY_LIMIT,
    MISS_REASONS,
    SLOW_HITS,
    SPEEDUP,
    VERSIONS,
    Panels,
)
from loadtest.prometheus import Prometheus, QueryError

BEGIN = 1_800_000_000.0
NAMES = (FAILED, HIT_LATENCY, HIT_RATIO, MEMORY, MEMORY_LIMIT, MISS_REASONS, SLOW_HITS, SPEEDUP, VERSIONS)


@dataclass(frozen=True)
class Asked(Prometheus):
    """Answers with one value, and keeps what it is asked."""

    value: float = 0.5
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
        self.asked.append((path, parameters))
        if path == "query":
            return {"result": [{"metric": {"job": "a"}, "value": [float(parameters["time"]), str(self.value)]}]}
        points = [[float(parameters["start"]), "NaN"], [float(parameters["end"]), str(self.value)]]
        return {"result": [{"metric": {"job": "a"}, "values": points}]}

    @property
    def queries(self) -> list[str]:
        return [parameters["query"] for _, parameters in self.asked]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[1])
def test_every_panel_that_is_asked_for_is_there(name: tuple[str, str]) -> None:
    assert queries(panel(load(name[0]), name[1]))


def test_a_figure_is_asked_with_the_panel_s_own_query() -> None:
    source = Asked()
    figure = Panels(source, 1.0).at(HIT_RATIO, BEGIN)
    assert (0.5, "Load test: Hit ratio") == (figure.value, figure.source)
    own = queries(panel(load(LOAD_TEST), "Hit ratio"))[0].expr
    expected = own.replace("$job", ".+").replace("$cluster", ".*").replace("$namespace", ".*")
    assert [expected] == source.queries


def test_variables_can_be_chosen() -> None:
    source = Asked()
    Panels(source, 1.0, {"job": "recoup", "instance": "a:1", "pipeline": "relief"}).at(HIT_RATIO, BEGIN)
    assert ['job:recoup_hit_ratio:rate5m{cluster=~".*", namespace=~".*", job=~"recoup"}'] == source.queries


def test_a_panel_of_one_point_looks_back_over_all_of_its_range() -> None:
    source = Asked()
    Panels(source, 1.0).at(HIT_LATENCY, BEGIN, "p99", range_seconds=20)
    assert all("[21s]" in query for query in source.queries)
    assert "$" not in "".join(source.queries)


def test_a_usual_panel_looks_back_over_four_scrapes() -> None:
    source = Asked()
    chosen = Panels(source, 1.0)
    chosen.over(FAILED, BEGIN, BEGIN + 60)
    assert 4 == chosen.rate_seconds(60)
    assert all("[4s]" in query for query in source.queries)


def test_a_panel_that_is_missing_gives_no_figure_and_says_so() -> None:
    figure = Panels(Asked(), 1.0).at((LOAD_TEST, "Nothing"), BEGIN)
    assert (None, "Load test: Nothing") == (figure.value, figure.source)
    assert "cannot be asked: Recoup: Load test: no panel 'Nothing'" == figure.problem


def test_a_board_that_is_missing_gives_no_figure_and_says_so(tmp_path: Path) -> None:
    figure = Panels(Asked(), 1.0, folder=tmp_path).at(HIT_RATIO, BEGIN)
    assert (None, "Load test: Hit ratio") == (figure.value, figure.source)
    assert "load-test.json" in figure.problem


def test_a_variable_that_nobody_chose_is_told(tmp_path: Path) -> None:
    figure = Panels(Asked(), 1.0, {}).at(HIT_RATIO, BEGIN)
    assert "cannot be asked: job" == figure.problem


@pytest.mark.parametrize(("value", "why"), [(math.nan, "NaN"), (math.inf, "infinity")])
def test_what_is_no_number_is_no_figure(value: float, why: str) -> None:
    figure = Panels(Asked(value), 1.0).at(HIT_RATIO, BEGIN)
    assert (None, f"it shows {why}, which is no figure") == (figure.value, figure.problem)


def test_charts_are_all_of_the_board_the_miss_reasons_and_the_memory() -> None:
    charts = Panels(Asked(), 1.0).charts(BEGIN, BEGIN + 60)
    titles = [shown["title"] for shown in panels(load(LOAD_TEST)) if shown["type"] == "timeseries"]
    assert [*titles, "Misses by reason", "Memory: accounted and resident"] == [chart.plot.title for chart in charts]
    assert {"Recoup: Load test", "Recoup: Misses", "Recoup: Process"} == {chart.board for chart in charts}
    assert "$" not in "".join(query for chart in charts for query in chart.queries)


def test_a_chart_looks_as_its_panel_does() -> None:
    chart = Panels(Asked(), 1.0).chart(HIT_RATIO, BEGIN + 0.4, BEGIN + 59.7)
    assert ("percentunit", False, False) == (chart.plot.unit, chart.plot.stacked, chart.plot.logarithmic)
    assert [0.6, 0.7] == [target.value for target in chart.plot.targets]
    assert ('job:recoup_hit_ratio:rate5m{cluster=~".*", namespace=~".*", job=~".+"}',) == chart.queries
    (line,) = chart.plot.lines
    # On whole steps; and NaN is a gap.
    assert ("a", ((BEGIN + 60, 0.5),)) == (line.name, line.points)


def test_a_chart_is_stacked_or_logarithmic_as_its_panel_is() -> None:
    chosen = Panels(Asked(), 1.0)
    assert chosen.chart(MISS_REASONS, BEGIN, BEGIN + 60).plot.stacked
    assert chosen.chart(HIT_LATENCY, BEGIN, BEGIN + 60).plot.logarithmic
    assert () == chosen.chart(HIT_LATENCY, BEGIN, BEGIN + 60).plot.targets


def test_a_changed_dashboard_is_asked_as_it_is(tmp_path: Path) -> None:
    board = json.loads((DASHBOARDS / "load-test.json").read_text(encoding="utf-8"))
    panel(board, "Hit ratio")["targets"][0]["expr"] = "another"
    (tmp_path / "load-test.json").write_text(json.dumps(board))
    source = Asked()
    Panels(source, 1.0, folder=tmp_path).at(HIT_RATIO, BEGIN)
    assert ["another"] == source.queries


def test_charts_of_a_prometheus_that_is_gone_are_an_error() -> None:
    class Gone(Asked):
        def ask(self, path: str, parameters: Mapping[str, str]) -> Any:
            raise QueryError("gone")

    with pytest.raises(QueryError, match="gone"):
        Panels(Gone(), 1.0).charts(BEGIN, BEGIN + 60)


def test_no_query_stands_in_the_verdict() -> None:
    """The dashboards and the rules are the only places that say how a figure is computed."""
    room = Path(__file__).parents[2] / "loadtest"
    words = re.compile(r"\b(rate|increase|histogram_quantile|\w+_over_time)\(|\bsum by\b|\[\d+m\]")
    for path in (*(room / "checks").glob("*.py"), room / "panels.py", room / "prometheus.py", room / "verdict.py"):
        assert None is words.search(path.read_text(encoding="utf-8")), path
