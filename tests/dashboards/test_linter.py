"""The rules of Grafana's dashboard linter hold, but for the exclusions below, each with its reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from grafana.queries import DASHBOARDS, read

from dashboards.boards import of_the_load_test
from dashboards.linter import RULES, Complaint, Dashboard

NAMES = sorted(path.stem for path in DASHBOARDS.glob("*.json"))


def _over_all_instances(complaint: Complaint) -> bool:
    return complaint.what.startswith(("job:", "pipeline:"))


def _of_alerts(complaint: Complaint) -> bool:
    return complaint.what == "ALERTS"


def _of_locust(complaint: Complaint) -> bool:
    return of_the_load_test(complaint.what)


def _factor(complaint: Complaint) -> bool:
    return complaint.what == "suffix:x"


#: Rule, what is excluded from it, and why.
EXCLUSIONS: list[tuple[str, Callable[[Complaint], bool], str]] = [
    ("target-instance-rule", _over_all_instances, "recorded over all instances of a job: a mean of ratios is no ratio"),
    ("target-instance-rule", _of_alerts, "an alert on a pipeline, or on a job, belongs to no instance"),
    ("target-job-rule", _of_locust, "Locust is a job of its own, and the variables choose the service's"),
    ("target-instance-rule", _of_locust, "Locust is an instance of its own, and the variables choose the service's"),
    ("panel-units-rule", _factor, "Grafana has no unit for a factor; a suffix is its own way to write one"),
]


def excluded(rule: str, complaint: Complaint) -> bool:
    return any(rule == name and concerns(complaint) for name, concerns, _ in EXCLUSIONS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_keeps_the_rule(name: str, rule: str) -> None:
    complaints = RULES[rule](read(DASHBOARDS / f"{name}.json"))

    assert [] == [complaint for complaint in complaints if not excluded(rule, complaint)]


@pytest.mark.parametrize("exclusion", EXCLUSIONS, ids=[reason for _, _, reason in EXCLUSIONS])
def test_an_exclusion_is_needed(exclusion: tuple[str, Callable[[Complaint], bool], str]) -> None:
    rule, concerns, _ = exclusion
    complaints = [complaint for name in NAMES for complaint in RULES[rule](read(DASHBOARDS / f"{name}.json"))]

    assert any(concerns(complaint) for complaint in complaints)


def _panel(change: Callable[[dict[str, Any]], None]) -> Callable[[Dashboard], None]:
    return lambda dashboard: change(dashboard["panels"][0])


def _expression(expression: str) -> Callable[[Dashboard], None]:
    return _panel(lambda panel: panel["targets"][0].update(expr=expression))


def _variable(number: int, **members: Any) -> Callable[[Dashboard], None]:
    return lambda dashboard: dashboard["templating"]["list"][number].update(members)


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("template-datasource-rule", _variable(0, name="source")),
        ("template-job-rule", _variable(3, allValue=".*")),
        ("template-job-rule", _variable(3, datasource={"uid": "mine"})),
        ("template-instance-rule", _variable(4, name="node")),
        ("template-label-promql-rule", _variable(5, query={"query": "query_result(up)"})),
        ("template-on-time-change-reload-rule", _variable(1, refresh=1)),
        ("panel-datasource-rule", _panel(lambda panel: panel.update(datasource={"uid": "mine"}))),
        ("panel-datasource-rule", _panel(lambda panel: panel["targets"][0].pop("datasource"))),
        ("panel-title-description-rule", _panel(lambda panel: panel.update(description=""))),
        ("panel-units-rule", _panel(lambda panel: panel["fieldConfig"]["defaults"].pop("unit"))),
        ("panel-no-targets-rule", _panel(lambda panel: panel.update(targets=[]))),
        ("target-rate-interval-rule", _expression("rate(recoup_misses_total[5m])")),
        ("target-job-rule", _expression('up{job="recoup"}')),
        ("target-instance-rule", _expression('up{job=~"$job"}')),
        ("target-counter-agg-rule", _expression("recoup_misses_total")),
        ("uneditable-dashboard-rule", lambda dashboard: dashboard.update(editable=True)),
    ],
)
def test_a_rule_sees_what_it_is_there_for(rule: str, spoil: Callable[[Dashboard], None]) -> None:
    dashboard = copy.deepcopy(read(DASHBOARDS / "misses.json"))
    assert not [complaint for complaint in RULES[rule](dashboard) if not excluded(rule, complaint)]

    spoil(dashboard)

    assert [complaint for complaint in RULES[rule](dashboard) if not excluded(rule, complaint)]


def test_every_rule_is_seen_to_fail() -> None:
    """A rule that is added to the list and to no case above would be believed unseen."""
    (mark,) = test_a_rule_sees_what_it_is_there_for.pytestmark  # type: ignore[attr-defined]
    assert set(RULES) == {case[0] for case in mark.args[1]}
