"""The committed dashboards, for the tests."""

from __future__ import annotations

from typing import Any

import yaml
from grafana.queries import DASHBOARDS, Query, marks, panels, queries, read
from metrics.loadtest_catalogue import METRICS as OF_LOADTEST

from project.tree import ROOT
from recoup.telemetry.catalogue import METRICS as OF_SERVICE

BOARDS: dict[str, dict[str, Any]] = {path.stem: read(path) for path in sorted(DASHBOARDS.glob("*.json"))}
PROVISIONING = ROOT / "grafana" / "provisioning"
RULES = ROOT / "metrics" / "rules"

#: Every query of every panel, by `dashboard: panel, letter`.
PANEL_QUERIES: dict[str, tuple[dict[str, Any], Query]] = {
    f"{name}: {panel['title']}, {query.ref}": (panel, query)
    for name, board in BOARDS.items()
    for panel in panels(board)
    for query in queries(panel)
}
#: Every annotation; which dashboard has which, `test_build.py` holds.
MARKS: dict[str, Query] = dict(mark for board in BOARDS.values() for mark in marks(board))
#: All that is catalogued: what the service exports, and what the load test does.
METRICS = (*OF_SERVICE, *OF_LOADTEST)


def recorded() -> set[str]:
    """The names of the recorded series."""
    return {rule["record"] for rule in recording_rules()}


def recording_rules() -> list[dict[str, Any]]:
    """The recording rules of both files: that of the alerts records that it is loaded."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if "record" in rule]


def provisioned(name: str) -> dict[str, Any]:
    """What one provisioning file says."""
    document: dict[str, Any] = yaml.safe_load((PROVISIONING / name / "recoup.yml").read_text(encoding="utf-8"))
    return document


def of_the_load_test(expression: str) -> bool:
    """Whether an expression asks for Locust's figures, which the variables do not choose among."""
    return any(metric.name in expression for metric in OF_LOADTEST)
