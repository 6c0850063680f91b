"""The rule files, as text."""

from __future__ import annotations

from typing import Any

from rulebook.alert import Links
from rulebook.alerts import alerts
from rulebook.signals import groups
from rulebook.thresholds import Thresholds
from rulebook.yamlfile import dump

HEADER = "Generated from metrics/rulebook. After a change there: python metrics/build.py"


def documents(thresholds: Thresholds | None = None, links: Links | None = None) -> dict[str, str]:
    """Each rule file by its name."""
    chosen = thresholds or Thresholds()
    return {
        "recording.yml": dump(_recording(chosen), HEADER),
        "alerts.yml": dump(_alerting(chosen, links or Links()), HEADER),
    }


def _recording(thresholds: Thresholds) -> dict[str, Any]:
    return {
        "groups": [
            {"name": name, "rules": [{"record": record.name, "expr": record.expression} for record in records]}
            for name, records in groups(thresholds).items()
        ]
    }


def _alerting(thresholds: Thresholds, links: Links) -> dict[str, Any]:
    return {"groups": [{"name": "recoup-alerts", "rules": [alert.rule(links) for alert in alerts(thresholds)]}]}
