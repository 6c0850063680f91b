"""The reference page has every scenario as the workload has it."""

from __future__ import annotations

import pytest
from loadtest import workload
from loadtest.__main__ import parser

from project.tree import ROOT

PAGE = (ROOT / "docs" / "reference" / "load-test.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", workload.NAMES)
def test_every_scenario_stands_in_the_reference(name: str) -> None:
    scenario = workload.SCENARIOS[name]
    assert f"| `{name}` | {scenario.description} | {scenario.expectation} |\n" in PAGE


@pytest.mark.parametrize("name", ["seed", "alpha", "catalogue", "callers", "duration_seconds", "cache_entries"])
def test_the_defaults_stand_in_the_reference(name: str) -> None:
    row = {"duration_seconds": "`--duration`", "cache_entries": "entries", "seed": "`--seed`"}.get(name, name)
    assert f"| {row} | {getattr(workload.Settings(), name):g} |" in PAGE


def test_the_help_names_every_scenario() -> None:
    text = parser().format_help()
    assert [] == [name for name in workload.NAMES if name not in text]
