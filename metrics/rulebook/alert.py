"""What an alert is: its rule, and the links that every alert carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]
Dashboard = Literal["overview", "misses", "capacity", "generation", "process"]
#: Labels by which a dashboard can be narrowed to what an alert is about.
_VARIABLES = ("job", "instance", "pipeline")


@dataclass(frozen=True)
class Links:
    """Where alerts point to.

    Attributes:
        runbook: The address of `runbook.md`.
        grafana: The address of Grafana, without a slash at its end.
    """

    runbook: str = "metrics/runbook.md"
    grafana: str = "http://127.0.0.1:3000"


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

    def rule(self, links: Links) -> dict[str, Any]:
        """The rule as Prometheus takes it."""
        return {
            "alert": self.name,
            "expr": self.expression,
            "for": self.hold,
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{links.runbook}#{self.name.lower()}",
                "dashboard_url": self._dashboard_url(links),
            },
        }

    def _dashboard_url(self, links: Links) -> str:
        chosen = [f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in _VARIABLES if name in self.keeps]
        return f"{links.grafana}/d/recoup-{self.dashboard}?{'&'.join(chosen)}"


def percent(share: float) -> str:
    """A share as a text says it: `60%`, `7.2%`."""
    return f"{share * 100:.6g}%"
