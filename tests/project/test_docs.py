"""What is written agrees with what is there: links, routes, settings, metrics, versions, and Python that runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest
from metrics.loadtest_catalogue import METRICS as OF_LOADTEST

import recoup
from recoup.pipelines.relief.parameters import SPECIFICATION
from recoup.settings import SETTINGS, Settings
from recoup.telemetry import METRICS
from recoup.web import create_app
from recoup.web.problem_types import PROBLEM_TYPES

from .tree import PACKAGE, ROOT, anchors, commands, fences, files, links, name_of

PAGES = list(files(".md"))
DOCS = ROOT / "docs"
#: What a reader pastes is written for the defaults.
HOME = "http://127.0.0.1:8080"
#: Pages whose Python is one program.
PROGRAMS = [
    page for page in PAGES if fences(page.read_text(), "python") and (page.is_relative_to(DOCS) or page.parent == ROOT)
]
#: Names that look like a metric and are something else: modules and files.
_OTHER_NAMES = {"recoup_key", "recoup_management"}


@cache
def routes() -> frozenset[tuple[str, str]]:
    """Every route as the HTTP reference writes it: `GET /api/cache/entries/<key>`."""
    routes = create_app(Settings(), pipelines={}).routes()
    return frozenset(
        (method, re.sub(r"<\w+:", "<", path)) for method, path in routes if method in {"GET", "POST", "DELETE"}
    )


def asked(command: str) -> tuple[str, str] | None:
    """What a pasted command asks of the service: method and path; None: nothing."""
    address = re.search(re.escape(HOME) + r"([^\s'\"?]*)", command)
    if address is None or not command.startswith("curl"):
        return None
    named = re.search(r"-X (\w+)", command)
    posts = re.search(r" (-d|--data\S*|-F|--form|-T) ", command)
    return (named[1] if named else "POST" if posts else "GET"), address[1] or "/"


def test_there_are_pages_and_each_room_of_the_documentation_has_one() -> None:
    rooms = {page.parent.name for page in PAGES if page.is_relative_to(DOCS)}
    assert {"tutorial", "how-to", "reference", "explanation"} <= rooms


def pages_with(names: Callable[[str], Iterable[object]]) -> pytest.MarkDecorator:
    """Run a test for each page on which there is something to check."""
    pages = [page for page in PAGES if list(names(page.read_text()))]
    assert pages
    return pytest.mark.parametrize("page", pages, ids=name_of)


def internal_links(text: str) -> list[str]:
    return [link for link in links(text) if "://" not in link]


@pages_with(internal_links)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in internal_links(page.read_text()):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            broken.append(link)
    assert [] == broken


def test_the_index_names_every_page() -> None:
    index = {(DOCS / link.partition("#")[0]).resolve() for link in links((DOCS / "README.md").read_text())}
    pages = {page for page in PAGES if page.is_relative_to(DOCS) and page.name != "README.md"}
    assert set() == {name_of(page) for page in pages - index}


def requests(text: str) -> list[tuple[str, str]]:
    """What the pasted commands of a page ask of the service."""
    return [request for request in map(asked, commands(text)) if request is not None]


@pages_with(requests)
def test_the_routes_of_pasted_commands_exist(page: Path) -> None:
    pipelines = {f"/api/generate/{name}" for name in ("relief", "llm", "paint", "thumbnail")}
    missing = []
    for method, path in requests(page.read_text()):
        if path.startswith("/v1/"):
            continue  # of an upstream, behind `recoup serve --upstream`
        template = "/api/generate/<pipeline>" if path in pipelines else path
        template = re.sub(r"(?<=/api/cache/entries/).+", "<key>", template)
        if (method, template) not in routes():
            missing.append(f"{method} {path}")
    assert [] == missing


def targets_of_make(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z][\w-]*)", "\n".join(commands(text))))


@pages_with(targets_of_make)
def test_the_targets_of_make_that_a_page_names_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set() == targets_of_make(page.read_text()) - targets


def variables(text: str) -> set[str]:
    return set(re.findall(r"\b(?:RECOUP|CACHE|DISABLE)_[A-Z_]+[A-Z]\b", text))


@pages_with(variables)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = {setting.name for setting in SETTINGS}
    foreign = {"RECOUP_X", "RECOUP_SERVICE_HOST", "RECOUP_PRT"}  # examples of foreign and of mistyped names
    assert set() == variables(page.read_text()) - known - foreign


def metric_names(text: str) -> set[str]:
    """Names of metrics; not of recording rules (`job:recoup_hit_ratio:rate5m`), which have tests of their own."""
    return set(re.findall(r"(?<![\w:])recoup_[a-z_]+[a-z](?![\w:])", text)) - _OTHER_NAMES


@pages_with(metric_names)
def test_metrics_that_a_page_names_exist(page: Path) -> None:
    catalogued = (*METRICS, *OF_LOADTEST)
    known = {metric.name for metric in catalogued} | {series for metric in catalogued for series in metric.series}
    assert set() == metric_names(page.read_text()) - known


def test_the_http_reference_has_every_route_and_no_other() -> None:
    headings = re.findall(
        r"^### `(GET|POST|DELETE) (\S+)`$", (DOCS / "reference" / "http.md").read_text(), re.MULTILINE
    )
    assert routes() == set(headings)


def reference_tables() -> dict[str, list[str]]:
    """The rows of the HTTP reference's tables by the word in their first cell."""
    rows = re.findall(r"^\| (.+) \|$", (DOCS / "reference" / "http.md").read_text(), re.MULTILINE)
    return {cells[0]: cells[1:] for cells in (re.split(r" \| ", row) for row in rows)}


def test_the_http_reference_has_the_parameters_of_relief_as_they_are() -> None:
    table = reference_tables()
    for parameter in (described.describe() for described in SPECIFICATION):
        default, allowed = table[f"`{parameter['name']}`"][:2]
        if "minimum" in parameter:
            assert [f"{parameter['default']:g}", f"{parameter['minimum']:g} to {parameter['maximum']:g}"] == [
                default,
                allowed,
            ]
        else:
            choices = parameter.get("choices", ["true", "false"])
            assert [f"`{str(parameter['default']).lower()}`", ", ".join(f"`{word}`" for word in choices)] == [
                default,
                allowed,
            ]


def test_the_http_reference_has_every_figure_of_the_statistics() -> None:
    text = (DOCS / "reference" / "http.md").read_text()
    assert [] == [name for name in recoup.LRUCache().stats().as_dict() if f"`{name}`" not in text]


def test_the_http_reference_has_every_status_of_the_problems() -> None:
    statuses = {status for problem in PROBLEM_TYPES for status in re.findall(r"\b\d{3}\b", problem.statuses)}
    assert set() == (statuses | {"405"}) - set(reference_tables())


def test_the_readme_runs_within_its_first_25_lines() -> None:
    beginning = "\n".join((ROOT / "README.md").read_text().splitlines()[:25])
    assert ["make run", "make test"] == [word for word in ("make run", "make test") if word in beginning]
    assert any(asked(command) for command in commands(beginning))


def test_the_readme_shows_what_comes_out() -> None:
    assert "docs/images/relief.png" in links((ROOT / "README.md").read_text())


@pytest.mark.parametrize("page", PROGRAMS, ids=name_of)
def test_fenced_python_is_python_of_the_floor(page: Path) -> None:
    for block in fences(page.read_text(), "python"):
        ast.parse(block, feature_version=(3, 10))


@pytest.mark.parametrize("page", PROGRAMS, ids=name_of)
def test_the_python_of_a_page_runs_as_one_program(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "page.py"
    program.write_text("\n".join(fences(page.read_text(), "python")))
    done = subprocess.run(
        [sys.executable, "-W", "error", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ("", 0) == (done.stderr, done.returncode)


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert "Unreleased" == versions[0]
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(versions)
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert len(versions) == 1 or recoup.__version__ == versions[1]


def test_the_limits_of_the_speed_up_are_what_the_formula_gives() -> None:
    text = (DOCS / "explanation" / "counting.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) % \| ([\d.]+) \|$", text, re.MULTILINE)
    assert {"60", "66.7", "70"} <= {ratio for ratio, _ in rows}
    assert [] == [row for row in rows if abs(1 / (1 - float(row[0]) / 100) - float(row[1])) > 0.005]


def test_the_package_tells_what_it_is() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert re.fullmatch(r"\d+\.\d+\.\d+", recoup.__version__)
