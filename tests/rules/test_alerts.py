"""Every alert says what it must, compares with what it says, and was seen silent, firing and silent again."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from tools import require_tool

from .pruning import pruned, with_rules
from .rulefiles import ALERT_NAMES, ALERTS, ROOT, UNIT_TESTS, read, run

#: The issue's list.
EXPECTED = {
    "RecoupDown",
    "RecoupTargetVanished",
    "RecoupRestarting",
    "RecoupInstanceHitRatioLow",
    "RecoupMemoryLeak",
    "RecoupGenerationSlower",
    "RecoupServerErrors",
    "RecoupHitRatioLow",
    "RecoupSpeedupLow",
    "RecoupDoesNotPay",
    "RecoupMostlyBypassed",
    "RecoupEvictionRegret",
    "RecoupYoungEvictions",
    "RecoupMemoryDrift",
    "RecoupGenerationFailures",
    "RecoupSlowHits",
    "RecoupGenerationQueueFull",
    "RecoupRequestsRefused",
    "RecoupCacheDisabled",
    "RecoupConfigChanged",
    "RecoupInternalErrors",
    "RecoupEntriesExpireUnused",
}
_DURATION = r"(\d+)m (\d+)s"


def name_of(rule: dict[str, Any]) -> str:
    return "-".join([rule["alert"], *rule["labels"].values()])


def said(description: str) -> list[float]:
    """The thresholds of a text, as the numbers that stand in an expression."""
    values = []
    for text in re.findall(r"\(threshold ([^)]*)\)|\(above ([^)]*)\)", description):
        for part in re.split(r", and at least ", "".join(text)):
            duration = re.match(_DURATION, part)
            value = float(re.match(r"[\d.]+", part)[0])  # type: ignore[index]
            if duration:
                value = int(duration[1]) * 60 + int(duration[2])
            elif "%" in part:
                value /= 100
            elif "MiB" in part:
                value *= 2**20
            values.append(value)
    return values


def compared(expression: str) -> list[float]:
    """The numbers that an expression compares with: literals, products, and the 1 that `== 0` and `unless` miss."""
    numbers = [float(number) for number in re.findall(r"[<>]=? (\d[\d.]*)", expression)]
    numbers += [float(a) * float(b) for a, b in re.findall(r"[<>] \(([\d.]+) \* ([\d.]+)\)", expression)]
    if "== 0" in expression or re.search(r"\nunless\n", expression):
        numbers.append(1.0)
    return numbers


class TestWhatAlertsSay:
    def test_the_list_is_complete(self) -> None:
        assert EXPECTED == set(ALERT_NAMES)

    @pytest.mark.parametrize("rule", ALERTS, ids=name_of)
    def test_each_has_its_severity_and_its_texts(self, rule: dict[str, Any]) -> None:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert {"summary", "description", "runbook_url", "dashboard_url"} == set(rule["annotations"])
        assert "{{ $value" in rule["annotations"]["description"]
        assert "{{ $labels.job }}" in rule["annotations"]["summary"]
        assert "{{ $value" not in rule["annotations"]["summary"]

    @pytest.mark.parametrize("rule", ALERTS, ids=name_of)
    def test_the_thresholds_of_the_text_are_those_of_the_expression(self, rule: dict[str, Any]) -> None:
        thresholds = said(rule["annotations"]["description"])

        assert thresholds
        for value in thresholds:
            assert any(value == pytest.approx(number) for number in compared(rule["expr"])), value

    @pytest.mark.parametrize("rule", ALERTS, ids=name_of)
    def test_the_times_of_the_text_are_those_of_the_rule(self, rule: dict[str, Any]) -> None:
        text = rule["annotations"]["description"]
        times = set(re.findall(r"(?:for|within|within the last|over the last|than) (\d+[smhd])\b(?! \d)", text))
        windows = set(
            re.findall(
                r"\[(\w+)\]|offset (\w+)|:(?:rate|delta|p50_|changes|increase|mean|median|min)(\d\w*)", rule["expr"]
            )
        )
        known = {window for pair in windows for window in pair if window} | {rule["for"]}

        assert set() == times - known

    @pytest.mark.parametrize("rule", ALERTS, ids=name_of)
    def test_its_dashboard_exists(self, rule: dict[str, Any]) -> None:
        uid = re.search(r"/d/([\w-]+)\?", rule["annotations"]["dashboard_url"])
        assert uid is not None
        boards = {read(path)["uid"] for path in (ROOT / "grafana" / "dashboards").glob("*.json")}

        assert uid[1] in boards


class TestUnitTests:
    @pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
    def test_they_pass(self, path: Path, tmp_path: Path) -> None:
        """With the rules that they ask for, and those that these read."""
        document = read(path)
        needed = pruned(
            alerts={check["alertname"] for test in document["tests"] for check in test.get("alert_rule_test", [])},
            expressions={check["expr"] for test in document["tests"] for check in test.get("promql_expr_test", [])},
        )

        done = run(require_tool("promtool"), "test", "rules", with_rules(document, needed, tmp_path))

        assert 0 == done.returncode, done.stdout + done.stderr

    @pytest.mark.parametrize("name", ["cache-disabled", "config-changed"])
    def test_they_pass_as_they_are_with_all_rules(self, name: str) -> None:
        done = run(require_tool("promtool"), "test", "rules", f"tests/{name}.yml")

        assert 0 == done.returncode, done.stdout + done.stderr

    def test_they_are_of_every_alert(self) -> None:
        assert {frozenset(rule["labels"].items()) | {rule["alert"]} for rule in ALERTS} == {
            frozenset(
                (key, alert["exp_labels"][key]) for key in ("severity", "long", "short") if key in alert["exp_labels"]
            )
            | {check["alertname"]}
            for _, check in checks()
            for alert in check.get("exp_alerts", [])
        }

    @pytest.mark.parametrize("name", ALERT_NAMES)
    def test_each_is_silent_then_fires_then_is_silent_again(self, name: str) -> None:
        lives = ["".join("F" if check.get("exp_alerts") else "." for check in of_one) for of_one in by_test(name)]

        assert any(re.fullmatch(r"\.+F+\.+", life) for life in lives), lives

    @pytest.mark.parametrize("name", ALERT_NAMES)
    def test_each_is_silent_without_traffic_and_when_its_series_vanish(self, name: str) -> None:
        titles = {test["name"] for test, check in checks() if check["alertname"] == name}
        vanishing = [
            test
            for test, check in checks()
            if check["alertname"] == name and any("stale" in str(series["values"]) for series in test["input_series"])
        ]

        assert any(re.search(r"without traffic|idle|not at all", title) for title in titles), titles
        assert vanishing

    @pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
    def test_signals_are_recorded_before_alerts_read_them(self, path: Path) -> None:
        """Promtool evaluates groups in any order unless it is told one."""
        groups = [group["name"] for file in read(path)["rule_files"] for group in read(path.parent / file)["groups"]]

        assert groups == read(path)["group_eval_order"]


@functools.cache
def checks() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each check of an alert, with the test that it belongs to."""
    return [
        (test, check)
        for path in UNIT_TESTS
        for test in read(path)["tests"]
        for check in test.get("alert_rule_test", [])
    ]


def by_test(name: str) -> list[list[dict[str, Any]]]:
    """The checks of one alert, test by test, in the order of time."""
    tests: dict[int, list[dict[str, Any]]] = {}
    for test, check in checks():
        if check["alertname"] == name:
            tests.setdefault(id(test), []).append(check)
    return list(tests.values())
