"""The same rules with shorter times, for a test that cannot wait an hour: everything else stays as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from metrics.thresholds import Thresholds

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: A window, an offset: where an expression holds a duration.
_DURATION = re.compile(r"(?P<before>\[|\boffset )(?P<duration>\d+[smhd])\b")


def shortened(document: dict[str, Any], factor: float) -> dict[str, Any]:
    """A rule file whose windows, offsets and times of holding are shorter by a factor; no group has an interval."""
    return {
        "groups": [
            {key: value for key, value in group.items() if key != "interval"}
            | {"rules": [_rule(rule, factor) for rule in group["rules"]]}
            for group in document["groups"]
        ]
    }


def shortened_thresholds(thresholds: Thresholds, factor: float) -> Thresholds:
    """The thresholds that are times of the clock, shorter likewise."""
    return replace(
        thresholds,
        young_seconds=thresholds.young_seconds / factor,
    )


def _rule(rule: dict[str, Any], factor: float) -> dict[str, Any]:
    def shorter(match: re.Match[str]) -> str:
        return match["before"] + _shorter(match["duration"], factor)

    changed = rule | {"expr": _DURATION.sub(shorter, rule["expr"])}
    holds = {key: _shorter(rule[key], factor) for key in ("for", "keep_firing_for") if key in rule}
    return changed | holds


def _shorter(duration: str, factor: float) -> str:
    """A duration in milliseconds, the least unit that Prometheus has."""
    return f"{round(int(duration[:-1]) * _UNITS[duration[-1]] * 1000 / factor)}ms"
