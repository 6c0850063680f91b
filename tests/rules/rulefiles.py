"""The rule files as they are committed, and what stands in their expressions and texts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from metrics.standard import STANDARD

from recoup.telemetry import METRICS

ROOT = Path(__file__).parents[2]
METRICS_ROOM = ROOT / "metrics"
RULES = METRICS_ROOM / "rules"
UNIT_TESTS = sorted((METRICS_ROOM / "tests").glob("*.yml"))
#: Words of PromQL that stand where a name could.
_WORDS = {
    "and", "or", "unless", "on", "by", "ignoring", "group_left", "offset", "bool", "without",
    "sum", "max", "min", "count", "avg", "topk", "sort_desc", "quantile", "rate", "increase", "time", "changes",
    "histogram_quantile", "max_over_time", "last_over_time", "quantile_over_time", "min_over_time", "timestamp",
    "deriv",
}  # fmt: skip
_STRING = re.compile(r'"[^"]*"')
_LABELS = re.compile(r"\b(?:by|on|without|group_left|ignoring)\s*\([^)]*\)")
_SELECTOR = re.compile(r"\{[^}]*\}")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_][\w:]*")


def read(path: Path) -> Any:
    """The content of a YAML or JSON file."""
    text = path.read_text(encoding="utf-8")
    # Some thousand lines take PyYAML a second: ten times as long as its parser in C, which not all builds have.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return json.loads(text) if path.suffix == ".json" else yaml.load(text, loader)


def rules_of(path: Path) -> list[dict[str, Any]]:
    return [rule for group in read(path)["groups"] for rule in group["rules"]]


RECORDED = rules_of(RULES / "recording.yml")
#: What the file of alerts records itself: that it is loaded.
MARKERS = [rule for rule in rules_of(RULES / "alerts.yml") if "record" in rule]
ALERTS = [rule for rule in rules_of(RULES / "alerts.yml") if "alert" in rule]
ALERT_NAMES = list(dict.fromkeys(rule["alert"] for rule in ALERTS))
#: Every name that an expression may use.
KNOWN = (
    {series for metric in METRICS for series in metric.series}
    | {rule["record"] for rule in [*RECORDED, *MARKERS]}
    | set(STANDARD)
)


def names(expression: str) -> set[str]:
    """The names of the series in an expression."""
    bare = _SELECTOR.sub("", _LABELS.sub("", _STRING.sub('""', expression)))
    bare = re.sub(r"\[[^\]]*\]|\boffset \w+", "", bare)
    return set(_NAME.findall(bare)) - _WORDS


def run(*command: str | Path, folder: Path = METRICS_ROOM) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
