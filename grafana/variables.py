"""The variables that every dashboard has: data source, cluster, namespace, job, instance, pipeline."""

from __future__ import annotations

from grafana.expressions import offered
from grafana.panels import SOURCE
from grafana.queries import ALL, ALL_OR_NONE, OPTIONAL
from grafana.sdk import dashboard, model

_LABELS = ("cluster", "namespace", "job", "instance", "pipeline")


def variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    """Each offers `All`, and only what the choice before it leaves."""
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [source, *map(_variable, _LABELS)]


def _variable(label: str) -> dashboard.QueryVariable:
    query = offered(label)
    variable = dashboard.QueryVariable(label).label(label.title()).datasource(SOURCE)
    variable = variable.query({"query": query, "refId": f"{label}-variable"}).definition(query)
    variable = variable.multi(True).include_all(True).all_value(ALL_OR_NONE if label in OPTIONAL else ALL)
    variable = variable.current(model.VariableOption(text=["All"], value=["$__all"]))
    # A new instance appears with the next change of the range, or reload, of the dashboard.
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
