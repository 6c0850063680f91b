"""Leaving rules out of a unit test changes nothing but its time."""

from __future__ import annotations

from typing import Any

import pytest

from .pruning import closure, possible, pruned, read_by
from .rulefiles import ALERT_NAMES, ALERTS, RECORDED

RECORDED_NAMES = {rule["record"] for rule in RECORDED}


def rules(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for group in groups for rule in group["rules"]]


def test_with_all_alerts_and_all_series_nothing_is_left_out_that_an_alert_reads() -> None:
    kept = rules(pruned(alerts=ALERT_NAMES))
    recorded = {rule["record"] for rule in kept if "record" in rule}

    assert [rule for rule in kept if "alert" in rule] == ALERTS
    assert recorded == closure(name for rule in ALERTS for name in read_by(rule["expr"]))


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_an_alert_has_all_that_it_reads_directly_or_not(name: str) -> None:
    kept = rules(pruned(alerts=[name]))
    recorded = {rule["record"] for rule in kept if "record" in rule}

    assert {name} == {rule["alert"] for rule in kept if "alert" in rule}
    assert all(read_by(rule["expr"]) & RECORDED_NAMES <= recorded for rule in kept)


def test_a_rule_is_left_out_where_nothing_is_there_that_it_reads() -> None:
    there = possible({"recoup_lookups_total"})

    assert {"pipeline:recoup_hit_ratio:rate1h", "pipeline:recoup_speedup_limit:ratio"} <= there
    assert not {"pipeline:recoup_slow_hits:increase1h", "instance:recoup_memory_bytes:sum"} & there


def test_an_expression_may_choose_its_series_by_a_pattern() -> None:
    assert {"pipeline:recoup_net_seconds:rate5m", "pipeline:recoup_net_seconds:rate1h"} <= read_by(
        '{__name__=~"pipeline:recoup_net_seconds:.+"}'
    )
