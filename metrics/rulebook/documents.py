"""The rule files, as text."""

from __future__ import annotations

from typing import Any

from metrics import signals
from metrics.rulebook.alert import Links
from metrics.rulebook.alerts import alerts
from metrics.rulebook.recordings import groups
from metrics.rulebook.shortened import shortened, shortened_thresholds
from metrics.rulebook.yamlfile import dump
from metrics.thresholds import Thresholds

HEADER = "Generated from metrics/rulebook. After a change there: python -m metrics.build"


def documents(
    thresholds: Thresholds | None = None, links: Links | None = None, *, shorter_by: float = 1
) -> dict[str, str]:
    """Each rule file by its name.

    Args:
        thresholds: What the alerts compare with.
        links: Where they point to.
        shorter_by: Divides every time; 1 leaves all as it is.
    """
    chosen = thresholds or Thresholds()
    if shorter_by != 1:
        chosen = shortened_thresholds(chosen, shorter_by)
    files = {"recording.yml": _recording(chosen), "alerts.yml": _alerting(chosen, links or Links())}
    if shorter_by != 1:
        files = {name: shortened(document, shorter_by) for name, document in files.items()}
    return {name: dump(document, HEADER) for name, document in files.items()}


def _recording(thresholds: Thresholds) -> dict[str, Any]:
    return {
        "groups": [
            {
                "name": group.name,
                **({"interval": group.interval} if group.interval else {}),
                "rules": [{"record": record.name, "expr": record.expression} for record in group.records],
            }
            for group in groups(thresholds)
        ]
    }


def _alerting(thresholds: Thresholds, links: Links) -> dict[str, Any]:
    rules = [alert.rule(links) for alert in alerts(thresholds)]
    return {"groups": [{"name": "recoup-alerts", "rules": [_marker(), *rules]}]}


def _marker() -> dict[str, Any]:
    """What dashboards tell loaded alerts by: `Alerts firing` must not be a green 0 where nothing could fire."""
    return {"record": signals.ALERTS_LOADED.at("job"), "expr": f"{signals.TARGETS.at('job')} > bool 0"}
