"""The committed JSON is what the code makes, and holds together."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from grafana.queries import marks, panel, panels
from grafana.style import BYPASSES as BYPASS_COLOURS
from grafana.style import CAUSES, OUTCOMES, REASONS, TARGETS
from grafana.style import INVALIDATIONS as INVALIDATION_COLOURS
from metrics.standard import STANDARD

from dashboards.boards import BOARDS, MARKS, METRICS, PANEL_QUERIES, recorded
from dashboards.promql import selectors
from project.tree import ROOT
from recoup.telemetry.catalogue import BYPASSES, EVICTIONS, INVALIDATIONS, LOOKUPS, MISSES

#: The dashboards of the contract, and the question that each answers.
QUESTIONS = {
    "overview": "Does the cache pay?",
    "misses": "Why did it miss?",
    "capacity": "Should it be bigger?",
    "generation": "Is the generator healthy?",
    "load-test": "Did it hold?",
    "process": "Is the process well?",
}


def listed_marks(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [mark for mark in board["annotations"]["list"] if "expr" in mark.get("target", {})]


#: Rows of the grid that a full HD screen shows below Grafana's own bars.
SCREEN_ROWS = 22

each_board = pytest.mark.parametrize("name", BOARDS)


def build(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "grafana.build", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


needs_sdk = pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's SDK needs Python 3.11; the JSON does not")


@needs_sdk
def test_the_committed_files_are_what_the_code_makes() -> None:
    done = build("--check")

    assert ("", 0) == (done.stderr, done.returncode)


@needs_sdk
def test_check_tells_what_differs_is_missing_and_is_left_over(tmp_path: Path) -> None:
    build("--folder", str(tmp_path))
    (tmp_path / "overview.json").write_text("{}")
    (tmp_path / "misses.json").unlink()
    (tmp_path / "older.json").write_text("{}")

    done = build("--check", "--folder", str(tmp_path))

    named = [line.partition(" ")[0] for line in done.stderr.splitlines()]
    assert (["misses.json", "older.json", "overview.json"], 1) == (named, done.returncode)


@needs_sdk
def test_building_mends_them(tmp_path: Path) -> None:
    (tmp_path / "older.json").write_text("{}")

    assert 0 == build("--folder", str(tmp_path)).returncode

    assert {f"{name}.json" for name in QUESTIONS} == {path.name for path in tmp_path.iterdir()}


def test_every_question_has_its_dashboard() -> None:
    assert QUESTIONS == {name: board["description"] for name, board in BOARDS.items()}


@each_board
def test_it_is_classic_json_under_its_own_uid(name: str) -> None:
    assert (42, f"recoup-{name}") == (BOARDS[name]["schemaVersion"], BOARDS[name]["uid"])


@each_board
def test_panels_are_told_apart_by_number_and_by_title(name: str) -> None:
    shown = list(panels(BOARDS[name]))

    assert len(shown) == len({panel["id"] for panel in shown}) == len({panel["title"] for panel in shown})


def cells(shown: dict[str, Any]) -> set[tuple[int, int]]:
    place = shown["gridPos"]
    columns, rows = (range(place[at], place[at] + place[length]) for at, length in (("x", "w"), ("y", "h")))
    return set(itertools.product(columns, rows))


@each_board
def test_panels_fill_the_grid_and_do_not_overlap(name: str) -> None:
    covered = [cell for panel in BOARDS[name]["panels"] for cell in cells(panel)]
    rows = max(row for _, row in covered) + 1

    assert sorted(itertools.product(range(24), range(rows))) == sorted(covered)


def test_the_answer_is_on_the_first_screen() -> None:
    wanted = {
        "Instances scraped", "Hit ratio", "Speed-up", "Errors", "Recouped today", "Recouped per hour", "Alerts firing",
        "Hit ratio by pipeline", "Speed-up by pipeline", "Requests by outcome", "Latency by outcome",
        "Memory against its limit", "Entries against their limit",
    }  # fmt: skip
    seen = {
        panel["title"]
        for panel in panels(BOARDS["overview"])
        if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= SCREEN_ROWS
    }

    assert set() == wanted - seen


def test_latency_is_logarithmic_and_carries_exemplars() -> None:
    latency = panel(BOARDS["overview"], "Latency by outcome")

    scale = latency["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]
    assert {"type": "log", "log": 10} == scale
    assert any(target.get("exemplar") for target in latency["targets"])


@pytest.mark.parametrize(
    ("name", "title", "steps"),
    [
        ("overview", "Hit ratio", [0.6, 0.7]),
        ("overview", "Hit ratio by pipeline", [0.6, 0.7]),
        ("load-test", "Hit ratio", [0.6, 0.7]),
        ("overview", "Speed-up", [2, 3]),
        ("overview", "Speed-up by pipeline", [2, 3]),
        ("load-test", "Speed-up", [2, 3]),
        ("overview", "Slow hits", [0.01]),
        ("load-test", "Slow hits", [0.01]),
        ("generation", "Failed generations", [0.005]),
        ("misses", "Regret", [0.1]),
    ],
)
def test_the_targets_are_thresholds(name: str, title: str, steps: list[float]) -> None:
    steps_shown = panel(BOARDS[name], title)["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps == [step["value"] for step in steps_shown if step["value"] is not None]


@pytest.mark.parametrize(
    "shown", [shown for board in BOARDS.values() for shown in panels(board) if shown["type"] == "stat"]
)
def test_a_figure_without_a_value_is_never_green(shown: dict[str, Any]) -> None:
    """Without a mapping Grafana takes the colour of the least threshold."""
    states, absent = shown["fieldConfig"]["defaults"]["mappings"]

    words = {value: (result["text"], result["color"]) for value, result in states["options"].items()}
    assert {
        "-1": ("no traffic", "blue"),
        "-2": ("no instance up", "red"),
        "-3": ("no rules loaded", "orange"),
        "-4": ("no alerts loaded", "orange"),
    } == words
    assert ("special", "null+nan") == (absent["type"], absent["options"]["match"])
    assert absent["options"]["result"]["color"] in {"red", "orange"}


def test_texts_name_the_targets_of_the_alerts() -> None:
    assert f"{1000 * TARGETS.slow_hit_seconds:g} ms" in description("overview", "Slow hits")
    assert f"{100 * (1 - TARGETS.slow_hit_budget):g} %" in description("overview", "Slow hits")
    assert f"{100 * (1 - TARGETS.error_budget):g} %" in description("generation", "Failed generations")


def description(name: str, title: str) -> str:
    return str(panel(BOARDS[name], title)["description"])


@each_board
def test_every_legend_tells_clusters_and_namespaces_apart(name: str) -> None:
    legends = {
        panel["title"]: [target["legendFormat"] for target in panel["targets"]]
        for panel in panels(BOARDS[name])
        if panel["type"] != "heatmap"
    }

    told_apart = re.compile(r"\{\{cluster\}\} \{\{namespace\}\} \S")
    assert [] == [title for title, formats in legends.items() if not all(map(told_apart.match, formats))]


@pytest.mark.parametrize("mark", [mark["textFormat"] for board in BOARDS.values() for mark in listed_marks(board)])
def test_a_mark_says_its_cluster_and_namespace(mark: str) -> None:
    assert mark.startswith("{{cluster}} {{namespace}} ")


@each_board
def test_colours_and_looks_hold_whatever_stands_before_a_name(name: str) -> None:
    """Grafana writes blanks for a cluster and a namespace that are not there, so no override may ask for a name."""
    matchers = [override["matcher"] for panel in panels(BOARDS[name]) for override in panel["fieldConfig"]["overrides"]]

    assert {"byRegexp", "byFrameRefID"} >= {matcher["id"] for matcher in matchers}
    assert all(matcher["options"].endswith("$/") for matcher in matchers if matcher["id"] == "byRegexp")


@pytest.mark.parametrize(
    ("values", "colours"),
    [
        (LOOKUPS.values["outcome"], OUTCOMES),
        (MISSES.values["reason"], REASONS),
        (BYPASSES.values["reason"], BYPASS_COLOURS),
        (EVICTIONS.values["cause"], CAUSES),
        (INVALIDATIONS.values["cause"], INVALIDATION_COLOURS),
    ],
    ids=["outcomes", "miss reasons", "bypass reasons", "eviction causes", "invalidations"],
)
def test_every_value_of_the_catalogue_has_its_own_colour(values: tuple[str, ...], colours: Mapping[str, str]) -> None:
    assert set(values) == set(colours)
    assert len(colours) == len(set(colours.values()))


@each_board
def test_colours_are_named_so_that_both_themes_are_readable(name: str) -> None:
    assert [] == re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(", str(BOARDS[name]))


def names(expression: str) -> set[str]:
    return {selector.name for selector in selectors(expression)}


#: A heat map draws one distribution: it asks that there is one cluster with one namespace.
ONE_CLUSTER = (
    'and on () (count(count by (cluster, namespace) (recoup_build_info{cluster=~"$cluster", namespace=~"$namespace", '
    'job=~"$job", instance=~"$instance"})) == 1)'
)
KNOWN = {series for metric in METRICS for series in metric.series} | set(STANDARD) | recorded()


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_a_panel_uses_what_is_catalogued_or_recorded(query: str) -> None:
    assert set() == names(PANEL_QUERIES[query][1].expr) - KNOWN


@pytest.mark.parametrize("mark", MARKS)
def test_an_annotation_uses_what_is_catalogued_or_recorded(mark: str) -> None:
    assert set() == names(MARKS[mark].expr) - KNOWN


@each_board
def test_a_variable_uses_what_is_catalogued(name: str) -> None:
    asked = [
        variable["query"]["query"] for variable in BOARDS[name]["templating"]["list"] if variable["type"] == "query"
    ]

    assert set() == {selectors(query)[0].name for query in asked} - KNOWN


#: What the variables choose, and Grafana's own, which are numbers.
CHOICE = re.compile(r'(\w+)=~"\$(\w+)"')


@pytest.mark.parametrize("query", [*PANEL_QUERIES, *MARKS])
def test_variables_are_whole_patterns_that_grafana_escapes(query: str) -> None:
    """A format, or a variable beside other letters or in an exact matcher, would break names with `.`, `-` or `+`."""
    expression = PANEL_QUERIES[query][1].expr if query in PANEL_QUERIES else MARKS[query].expr

    assert all(label == variable for label, variable in CHOICE.findall(expression))
    rest = re.sub(r"\$__(rate_interval|interval|range)\b", "", CHOICE.sub("", expression))
    assert "$" not in rest
    assert "[[" not in rest


def test_every_standard_name_is_used() -> None:
    asked = [*(query for _, query in PANEL_QUERIES.values()), *MARKS.values()]

    assert set() == set(STANDARD) - set().union(*(names(query.expr) for query in asked))


#: An aggregation, and the labels that it keeps.
AGGREGATION = re.compile(r"\b(?:sum|max|min|count|avg|group|quantile|stddev|topk|bottomk)\s*(?:by\s*\(([^)]*)\)|\()")


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_no_aggregation_adds_clusters_or_namespaces(query: str) -> None:
    expression = PANEL_QUERIES[query][1].expr.replace(ONE_CLUSTER, "")

    kept = [set((match[1] or "").split(", ")) for match in AGGREGATION.finditer(expression)]
    assert all({"cluster", "namespace"} <= labels for labels in kept)


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_no_join_joins_clusters_or_namespaces(query: str) -> None:
    expression = PANEL_QUERIES[query][1].expr.replace(ONE_CLUSTER, "")

    joined = [set(labels.split(", ")) for labels in re.findall(r"\bon \(([^)]*)\)", expression)]
    assert "ignoring" not in expression
    assert all({"cluster", "namespace"} <= labels for labels in joined)


@pytest.mark.parametrize("query", PANEL_QUERIES)
def test_no_panel_divides(query: str) -> None:
    """A ratio is defined once, by its recording rule."""
    assert "/" not in re.sub(r'"[^"]*"', "", PANEL_QUERIES[query][1].expr)


@each_board
def test_every_dashboard_has_the_variables_the_annotations_and_the_links(name: str) -> None:
    board, first = BOARDS[name], BOARDS["overview"]

    names = [variable["name"] for variable in board["templating"]["list"]]
    assert ["datasource", "cluster", "namespace", "job", "instance", "pipeline"] == names
    assert first["templating"] == board["templating"]
    shared = first["annotations"]["list"]
    assert shared == board["annotations"]["list"][: len(shared)]
    (link,) = board["links"]
    assert (["recoup"], True, True) == (link["tags"], link["keepTime"], link["includeVars"])
    assert board["tags"] == link["tags"]


def test_the_load_test_alone_marks_its_phases_beside_what_all_mark() -> None:
    shared = ["Configuration changes", "Clears", "Restarts"]
    titles = {name: [title for title, _ in marks(board)] for name, board in BOARDS.items()}

    assert dict.fromkeys(QUESTIONS, shared) | {"load-test": [*shared, "Phases"]} == titles


def test_a_link_from_a_panel_leads_to_a_dashboard() -> None:
    links = [link["url"] for board in BOARDS.values() for panel in panels(board) for link in panel.get("links", [])]

    assert links
    assert set() == {link.split("?")[0] for link in links} - {f"/d/recoup-{name}" for name in QUESTIONS}


def test_the_page_on_the_dashboards_names_panels_that_are_there() -> None:
    text = (ROOT / "docs" / "how-to" / "read-the-dashboards.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", text))

    assert named
    assert set() == named - {panel["title"] for board in BOARDS.values() for panel in panels(board)}


@each_board
def test_the_page_on_the_dashboards_has_a_section_for_each(name: str) -> None:
    text = (ROOT / "docs" / "how-to" / "read-the-dashboards.md").read_text(encoding="utf-8")

    assert f"## {BOARDS[name]['title'].removeprefix('Recoup: ')}\n" in text
    assert f"| {QUESTIONS[name]} | `/d/{BOARDS[name]['uid']}` |" in text
