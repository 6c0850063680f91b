"""The runbook has a section for every alert, and queries that can be run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tools import require_tool

from .rulefiles import ALERT_NAMES, ALERTS, KNOWN, METRICS_ROOM, ROOT, names, run

TEXT = (METRICS_ROOM / "runbook.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
PARTS = ("First", "Meaning", "Impact", "Diagnosis", "Remedy")
#: The runbook's queries, and those that the guides show.
PAGES = {
    path: re.findall(r"^```promql\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for path in [METRICS_ROOM / "runbook.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
}


def test_each_alert_has_its_section_and_no_other_thing_has_one() -> None:
    assert list(SECTIONS) == ALERT_NAMES


def test_each_alert_leads_to_its_section() -> None:
    assert [rule["alert"].lower() for rule in ALERTS] == [
        rule["annotations"]["runbook_url"].partition("#")[2] for rule in ALERTS
    ]


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_each_section_tells_meaning_impact_diagnosis_and_remedy(name: str) -> None:
    section = SECTIONS[name]

    assert PARTS == tuple(re.findall(r"^\*\*(\w+)\.\*\* \S", section, re.MULTILINE))
    diagnosis = section.partition("**Diagnosis.**")[2].partition("**Remedy.**")[0]
    assert "```promql" in diagnosis


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_each_section_begins_with_a_command_and_a_query_for_what_the_alert_is_about(name: str) -> None:
    first = SECTIONS[name].partition("**Meaning.**")[0]
    (command,) = re.findall(r"^```sh\n(.*?)\n```$", first, re.MULTILINE | re.DOTALL)
    (query,) = re.findall(r"^```promql\n(.*?)\n```$", first, re.MULTILINE | re.DOTALL)
    link = next(rule for rule in ALERTS if rule["alert"] == name)["annotations"]["runbook_url"]

    assert first.strip().startswith("**First.** ")
    assert command.startswith("curl -sS ")
    assert "http://$instance/" in command
    assert ("/api/" in command) == ('-H "Authorization: Bearer $RECOUP_ADMIN_TOKEN"' in command)
    assert 'job=~"$job"' in query
    assert set(re.findall(r"=~\"\\$(\w+)\"", query)) <= set(re.findall(r"(\w+)={{", link))


RUNBOOK = PAGES[METRICS_ROOM / "runbook.md"]


@pytest.mark.parametrize("query", RUNBOOK)
def test_no_query_adds_jobs_of_several_clusters_or_namespaces(query: str) -> None:
    kept = [set(labels.split(", ")) for labels in re.findall(r"\bby \(([^)]*)\)", query)]

    assert all({"cluster", "namespace"} <= labels for labels in kept)
    assert len(kept) == len(re.findall(r"(?<![:\w])(?:sum|max|min|count|avg|quantile)(?= by|\()", query))


@pytest.mark.parametrize("query", [query for query in RUNBOOK if "$" in query])
def test_a_query_about_an_alert_is_about_its_cluster_and_namespace(query: str) -> None:
    for matchers in re.findall(r"{([^}]*\$[^}]*)}", query):
        assert matchers.startswith('cluster=~"$cluster", namespace=~"$namespace", job=~"$job"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_queries_name_what_is_exported_or_recorded(page: Path) -> None:
    unknown = {name for query in PAGES[page] for name in names(query) - KNOWN}

    assert set() == unknown


def test_queries_are_valid(tmp_path: Path) -> None:
    queries = [query for queries_of_page in PAGES.values() for query in queries_of_page]
    rules = [{"record": f"runbook:query_{number}:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    done = run(require_tool("promtool"), "check", "rules", path)

    assert queries
    assert 0 == done.returncode, done.stdout + done.stderr
