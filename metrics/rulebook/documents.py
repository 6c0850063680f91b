"""The rule files, as text."""

from __future__ import annotations

from typing import Any

from rulebook import signals
from rulebook.thresholds import Thresholds
from rulebook.yamlfile import dump

HEADER = "Generated from metrics/rulebook. After a change there: python metrics/build.py"


def documents(thresholds: Thresholds | None = None) -> dict[str, str]:
    """Each rule file by its name."""
    thresholds = thresholds or Thresholds()
    return {"recording.yml": dump(_recording(thresholds), HEADER)}


def _recording(thresholds: Thresholds) -> dict[str, Any]:
    return {
        "groups": [
            {"name": name, "rules": [{"record": record.name, "expr": record.expression} for record in records]}
            for name, records in signals.groups(thresholds).items()
        ]
    }
