"""The variables that every dashboard has: data source, job, instance, pipeline."""

from __future__ import annotations

from grafana.expressions import select
from grafana.panels import SOURCE
from grafana.queries import ALL
from grafana.sdk import dashboard, model
from recoup.telemetry.catalogue import BUILD_INFO, ENTRIES


def _chosen(name: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(name.title()).datasource(SOURCE)
    variable = variable.query({"query": query, "refId": f"{name}-variable"}).definition(query)
    variable = variable.multi(True).include_all(True).all_value(ALL)
    variable = variable.current(model.VariableOption(text=["All"], value=["$__all"]))
    # A new instance appears with the next change of the range, or reload, of the dashboard.
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    """Each offers `All`, and only what the choice before it leaves."""
    chosen_jobs = select(BUILD_INFO).replace(', instance=~"$instance"', "")
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _chosen("job", f"label_values({BUILD_INFO.name}, job)"),
        _chosen("instance", f"label_values({chosen_jobs}, instance)"),
        _chosen("pipeline", f"label_values({select(ENTRIES).replace(PIPELINE, '')}, pipeline)"),
    ]


PIPELINE = ', pipeline=~"$pipeline"'
