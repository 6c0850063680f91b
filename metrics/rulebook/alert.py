"""What an alert is: its rule, and the links that every alert carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]
Dashboard = Literal["overview", "misses", "capacity", "generation", "process", "streams"]
#: Labels by which a dashboard can be narrowed to what an alert is about, in the order of its variables.
_VARIABLES = ("cluster", "namespace", "job", "instance", "pipeline")
#: Labels that a target need not have.
_OPTIONAL = ("cluster", "namespace")
#: Where Recoup serves itself.
SERVICE = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Links:
    """Where alerts point to.

    Attributes:
        runbook: The address of the runbook, whose sections are the names of the alerts in lower case.
        dashboards: What stands before `/d/recoup-overview`: the address of Grafana, or of the service, which has pages
            there that say which dashboard to open. Without a slash at its end.
    """

    runbook: str = f"{SERVICE}/docs/runbook"
    dashboards: str = f"{SERVICE}/docs/dashboards"


@dataclass(frozen=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: Its name, and its section in the runbook.
        expression: What is wrong while it gives a series.
        hold: How long it must be so, as a Prometheus duration.
        severity: `critical`: somebody must act now; `warning`: somebody must act; `info`: somebody may want to know.
        summary: One line, without figures.
        description: The value and the threshold, and what it means.
        dashboard: Where to look.
        keeps: The labels of its series that the dashboard can be narrowed by.
        labels: Labels beside the severity.
        lasts: How long it fires on when nothing is wrong any more, so that it does not come and go.
    """

    name: str
    expression: str
    hold: str
    severity: Severity
    summary: str
    description: str
    dashboard: Dashboard
    keeps: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    lasts: str = ""

    def rule(self, links: Links) -> dict[str, Any]:
        """The rule as Prometheus takes it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            **({"keep_firing_for": self.lasts} if self.lasts else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{links.runbook}?{self._chosen('')}#{self.name.lower()}",
                "dashboard_url": self._dashboard_url(links),
            },
        }

    def _dashboard_url(self, links: Links) -> str:
        return f"{links.dashboards}/d/recoup-{self.dashboard}?{self._chosen('var-')}"

    def _chosen(self, prefix: str) -> str:
        """The query of an address that says what the alert is about: its labels."""
        keeps = (*_OPTIONAL, *self.keeps)
        return "".join(_member(prefix, name) for name in _VARIABLES if name in keeps).removesuffix("&")


def _member(prefix: str, label: str) -> str:
    """A label's member of the query; none where an optional label is missing."""
    if label in _OPTIONAL:
        return f"{{{{ with $labels.{label} }}}}{prefix}{label}={{{{ . | urlquery }}}}&{{{{ end }}}}"
    return f"{prefix}{label}={{{{ $labels.{label} | urlquery }}}}&"


def place() -> str:
    """Where a job is, for a text: `recoup in prod (west)`, with what its series have of `namespace` and `cluster`."""
    namespace = "{{ with $labels.namespace }} in {{ . }}{{ end }}"
    return f"{{{{ $labels.job }}}}{namespace}{{{{ with $labels.cluster }}}} ({{{{ . }}}}){{{{ end }}}}"


def percent(share: float) -> str:
    """A share as a text says it: `60%`, `7.2%`."""
    return f"{share * 100:.6g}%"


#: The labels that an alert keeps beside cluster and namespace, and how its texts name what it is about.
JOB = ("job",)
PIPELINE = ("job", "pipeline")
INSTANCE = ("job", "instance")
PLACE = place()
PIPELINE_OF_JOB = f"pipeline {{{{ $labels.pipeline }}}} of {PLACE}"
INSTANCE_OF_JOB = f"{{{{ $labels.instance }}}} of {PLACE}"
