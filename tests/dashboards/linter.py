"""The rules of Grafana's dashboard linter, each a function that tells what is wrong with a dashboard.

They follow github.com/grafana/dashboard-linter, which cannot be run here. Two of its rules are about Loki, which no
dashboard uses. One, target-promql-rule, asks whether Prometheus can read a query: `test_live.py` asks Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from grafana.queries import panels, queries

from dashboards.promql import selectors

Dashboard = dict[str, Any]
SOURCE = "${datasource}"
#: Of Grafana's units (`valueFormats/categories.ts`), those that fit something here.
UNITS = {"none", "short", "percentunit", "s", "bytes", "reqps", "cps", "ops", "bool_on_off"}


class Complaint(NamedTuple):
    """What is wrong: the panel's title (or a variable's name), what was found there, and why it is wrong."""

    where: str
    what: str
    why: str


Rule = Callable[[Dashboard], Iterator[Complaint]]


def _variables(dashboard: Dashboard, kind: str) -> list[dict[str, Any]]:
    return [variable for variable in dashboard["templating"]["list"] if variable["type"] == kind]


def template_datasource_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """There is a variable for the data source, under its usual name."""
    sources = [
        (variable["name"], variable["label"], variable["query"]) for variable in _variables(dashboard, "datasource")
    ]
    if sources != [("datasource", "Data source", "prometheus")]:
        yield Complaint("datasource", str(sources), "is not the variable for the data source")


def template_job_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """There is a variable for the job, with several choices and All."""
    yield from _template(dashboard, "job")


def template_instance_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """There is a variable for the instance, with several choices and All."""
    yield from _template(dashboard, "instance")


def _template(dashboard: Dashboard, name: str) -> Iterator[Complaint]:
    wanted = {"label": name.title(), "multi": True, "includeAll": True, "allValue": ".+"}
    variables = [variable for variable in _variables(dashboard, "query") if variable["name"] == name]
    if len(variables) != 1:
        yield Complaint(name, str(len(variables)), "is the number of variables, not 1")
        return
    if variables[0]["datasource"]["uid"] != SOURCE:
        yield Complaint(name, variables[0]["datasource"]["uid"], "is not the chosen data source")
    for member, value in wanted.items():
        if variables[0].get(member) != value:
            yield Complaint(name, f"{member}: {variables[0].get(member)}", f"is not {value}")


def template_label_promql_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """A variable's query is `label_values(selector, label)`; Prometheus is asked for it in `test_live.py`."""
    for variable in _variables(dashboard, "query"):
        query = variable["query"]["query"]
        if not (query.startswith("label_values(") and query.endswith(")") and len(selectors(query)) == 2):
            yield Complaint(variable["name"], query, "is not label_values(selector, label)")


def template_on_time_change_reload_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Variables are asked for anew when the time range changes."""
    for variable in _variables(dashboard, "query"):
        if variable["refresh"] != 2:
            yield Complaint(variable["name"], str(variable["refresh"]), "is not 2, on time range change")


def panel_datasource_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel, and every query, uses the chosen data source."""
    for panel in panels(dashboard):
        for part in (panel, *panel.get("targets", [])):
            if part.get("datasource", {}).get("uid") != SOURCE:
                yield Complaint(panel["title"], str(part.get("datasource")), "is not the chosen data source")


def panel_title_description_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel has a title and a description."""
    for panel in panels(dashboard):
        if not (panel.get("title") and panel.get("description")):
            yield Complaint(panel.get("title", ""), str(panel.get("description")), "a title or description is missing")


def panel_units_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel has one of Grafana's units."""
    for panel in panels(dashboard):
        unit = panel["fieldConfig"]["defaults"].get("unit", "")
        if unit not in UNITS:
            yield Complaint(panel["title"], unit, "is not a unit of Grafana's")


def panel_no_targets_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every panel has a query."""
    for panel in panels(dashboard):
        if not queries(panel):
            yield Complaint(panel["title"], "no query", "leaves a panel empty")


def target_rate_interval_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Rates are taken over `$__rate_interval`, which fits the step and the scrape interval."""
    for title, _, selector in _selectors(dashboard):
        if selector.function in {"rate", "irate"} and selector.range != "$__rate_interval":
            yield Complaint(title, selector.name, f"its rate is over {selector.range}")


def target_job_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every selector takes the chosen jobs."""
    yield from _chosen(dashboard, "job")


def target_instance_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """Every selector takes the chosen instances."""
    yield from _chosen(dashboard, "instance")


def _chosen(dashboard: Dashboard, label: str) -> Iterator[Complaint]:
    for title, _, selector in _selectors(dashboard):
        if not selector.matches(label, "=~", f"${label}"):
            yield Complaint(title, selector.name, f"takes any {label}")


def target_counter_agg_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """A counter is shown as a rate or an increase, never as it stands."""
    for title, _, selector in _selectors(dashboard):
        if selector.name.endswith("_total") and selector.function not in {"rate", "irate", "increase"}:
            yield Complaint(title, selector.name, "is a counter, and shown as it stands")


def uneditable_dashboard_rule(dashboard: Dashboard) -> Iterator[Complaint]:
    """What is provisioned from a file is changed in the file."""
    if dashboard["editable"]:
        yield Complaint(dashboard["title"], "editable", "changes in the browser would be lost")


def _selectors(dashboard: Dashboard) -> Iterator[tuple[str, str, Any]]:
    for panel in panels(dashboard):
        for query in queries(panel):
            for selector in selectors(query.expr):
                yield panel["title"], query.expr, selector


RULES: dict[str, Rule] = {
    function.__name__.replace("_", "-"): function
    for function in (
        template_datasource_rule,
        template_job_rule,
        template_instance_rule,
        template_label_promql_rule,
        template_on_time_change_reload_rule,
        panel_datasource_rule,
        panel_title_description_rule,
        panel_units_rule,
        panel_no_targets_rule,
        target_rate_interval_rule,
        target_job_rule,
        target_instance_rule,
        target_counter_agg_rule,
        uneditable_dashboard_rule,
    )
}
