"""What happened: marks on graphs for configuration changes, clears and restarts, and for the phases of a load test."""

from __future__ import annotations

from metrics.loadtest_catalogue import PHASE

from grafana.expressions import INSTANCE, begins, increase, named, started
from grafana.panels import SOURCE
from grafana.sdk import dashboard
from grafana.sdk import prometheus as prom
from recoup.telemetry.catalogue import CONFIG_CHANGES, INVALIDATIONS

WINDOW = "$__rate_interval"


def _mark(name: str, colour: str, expr: str) -> dashboard.AnnotationQuery:
    target = prom.Dataquery().datasource(SOURCE).ref_id("Anno").expr(expr).range()
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).target(target)


def marks() -> list[dashboard.AnnotationQuery]:
    """The marks; each can be switched off at the top of its dashboard."""
    changes = increase(CONFIG_CHANGES, f"{INSTANCE}, setting", WINDOW)
    clears = increase(INVALIDATIONS, f"{INSTANCE}, pipeline", WINDOW, cause="cleared")
    return [
        _mark("Configuration changes", "blue", f"{changes} > 0")
        .title_format("Configuration changed")
        .text_format(named("{{job}} {{instance}}: {{setting}}"))
        .tag_keys("setting"),
        _mark("Clears", "orange", f"{clears} > 0")
        .title_format("Cleared")
        .text_format(named("{{job}} {{instance}}: {{pipeline}}"))
        .tag_keys("pipeline"),
        # The value is the moment itself, in milliseconds, so a mark stands exactly where the process began.
        _mark("Restarts", "purple", f"1000 * ({started()})")
        .title_format("Started")
        .text_format(named("{{job}} {{instance}}"))
        .use_value_for_time(True),
    ]


def phases() -> dashboard.AnnotationQuery:
    """A mark where each phase of a load test begins."""
    return (
        _mark("Phases", "green", begins(PHASE, "scenario, part"))
        .title_format("{{scenario}}: {{part}}")
        .text_format(named("begins"))
        .tag_keys("scenario,part")
    )
