"""The guides to rules and alerts agree with the rulebook."""

from __future__ import annotations

import re
from dataclasses import asdict

from metrics.rulebook.burn import BURNS
from metrics.thresholds import Thresholds

from .rulefiles import ALERT_NAMES, RECORDED, ROOT

HOW_TO = ROOT / "docs" / "how-to"
TUNE = (HOW_TO / "tune-alerts.md").read_text(encoding="utf-8")
ADD = (HOW_TO / "add-to-existing-prometheus.md").read_text(encoding="utf-8")


def test_every_threshold_is_told_with_its_default() -> None:
    told = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", TUNE, re.MULTILINE)}

    assert asdict(Thresholds()) == told


def test_the_burn_rates_are_those_of_the_rules() -> None:
    told = re.findall(r"^\| ([\d.]+) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|", TUNE, re.MULTILINE)

    assert [(f"{burn.rate:g}", burn.long, burn.short, burn.hold, burn.severity) for burn in BURNS] == told


def test_the_alerts_that_are_named_exist() -> None:
    named = set(re.findall(r"\bRecoup[A-Z]\w+", TUNE))

    assert named
    assert set() == named - set(ALERT_NAMES)


def test_every_recorded_signal_is_told_at_its_levels() -> None:
    table = ADD.partition("## What is recorded")[2]
    told = {name: row for row in table.splitlines() for name in re.findall(r"`(recoup_\w+):", row)}
    recorded = [rule["record"].split(":")[:2] for rule in RECORDED]

    assert {name for _, name in recorded} == set(told)
    assert [] == [f"{level}:{name}" for level, name in recorded if f"`{level}`" not in told[name]]
