"""The rules that a test of some of them needs, and no others: evaluating all takes minutes, and gives the same.

Two things leave a rule out: nothing that is asked for reads it; or it reads nothing but series that are not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from .rulefiles import ALERTS, MARKERS, RECORDED, RULES, names, read

#: What can make a series out of none: a rule with one of these cannot be left out for what it reads.
FROM_NOTHING = re.compile(r"\b(absent|absent_over_time|vector|scalar)\s*\(")
_ANY_NAME = re.compile(r'__name__=~"([^"]*)"')
_GROUPS = [group for name in ("recording.yml", "alerts.yml") for group in read(RULES / name)["groups"]]
_EXPRESSIONS = {rule["record"]: rule["expr"] for rule in [*RECORDED, *MARKERS]}


def read_by(expression: str) -> set[str]:
    """The names of what an expression reads, recorded series that it chooses by a pattern included."""
    chosen = {name for name in _EXPRESSIONS for pattern in _ANY_NAME.findall(expression) if re.fullmatch(pattern, name)}
    return names(expression) | chosen


def closure(wanted: Iterable[str]) -> set[str]:
    """Recorded series: those that are wanted, those that they are made of, and so on."""
    closed: set[str] = set()
    open_ = set(wanted)
    while open_:
        closed |= open_
        open_ = {name for series in open_ if series in _EXPRESSIONS for name in read_by(_EXPRESSIONS[series])} - closed
    return closed & set(_EXPRESSIONS)


def possible(series: Iterable[str]) -> set[str]:
    """Recorded series that some samples of these series could give samples of."""
    there = set(series)
    while True:
        more = {name for name, expression in _EXPRESSIONS.items() if _could_give(expression, there)} - there
        if not more:
            return there & set(_EXPRESSIONS)
        there |= more


def pruned(
    *, alerts: Iterable[str] = (), expressions: Iterable[str] = (), series: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """The groups of rules, of both files, with the rules that are needed.

    Args:
        alerts: The alerts that are asked for.
        expressions: What else is asked for.
        series: The names of all series that there are; left out: any.
    """
    chosen = set(alerts)
    wanted = {name for expression in expressions for name in read_by(expression)}
    there = set(_EXPRESSIONS) if series is None else {*series, *possible(series)}
    if series is not None:
        chosen = {rule["alert"] for rule in ALERTS if rule["alert"] in chosen and _could_give(rule["expr"], there)}
    wanted |= {name for rule in ALERTS if rule["alert"] in chosen for name in read_by(rule["expr"])}
    kept = closure(wanted) & there
    groups = [
        {
            **group,
            "rules": [rule for rule in group["rules"] if rule.get("alert") in chosen or rule.get("record") in kept],
        }
        for group in _GROUPS
    ]
    return [group for group in groups if group["rules"]]


def with_rules(document: dict[str, Any], groups: list[dict[str, Any]], folder: Path) -> Path:
    """Write a unit test into a folder, beside these rules alone, and give its path."""
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    chosen = {"rule_files": ["rules.yml"], "group_eval_order": [group["name"] for group in groups]}
    path = folder / "test.yml"
    path.write_text(yaml.safe_dump({**document, **chosen}), encoding="utf-8")
    return path


def _could_give(expression: str, series: set[str]) -> bool:
    return bool(FROM_NOTHING.search(expression) or read_by(expression) & series)
