"""Results survive their file, and the page shows all attacks with what came of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.hostile import report, result
from benchmarks.hostile.__main__ import BEFORE, NOW, PAGE, page_table
from benchmarks.hostile.attack import Attack, Bounds, Check
from benchmarks.hostile.attacks import ATTACKS
from benchmarks.hostile.probe import Latency
from benchmarks.hostile.result import Result
from benchmarks.hostile.target import Target

QUIET, NEVER = Latency(100, 0, 0.001, 0.002), Latency(50, 50, math.inf, math.inf)
HELD = Result(
    name="one",
    checks=(Check("it stands", True, "5 s"),),
    peak_mib=240.0,
    memory="watched",
    hits={"before": QUIET, "during": NEVER, "after": QUIET},
    recovery_seconds=1.5,
    version="1",
    short=False,
)
FAILED = replace(HELD, checks=(Check("it stands", True, "5 s"), Check("nothing | is stored", False, "3 more")))


async def nothing(target: Target, bounds: Bounds) -> list[Check]:
    return []


ONE = Attack("one", "one thing", Bounds(1, 1), Bounds(1, 1), nothing)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    endless = replace(HELD, name="two", recovery_seconds=math.inf, peak_mib=None, hits={})
    result.save(tmp_path / "kept.json", [HELD, endless])
    assert [HELD, endless] == result.load(tmp_path / "kept.json")


def test_a_new_result_takes_the_place_of_the_old_one_and_of_no_other(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    result.save(path, [HELD, replace(HELD, name="two")])
    result.save(path, [FAILED])
    assert {"one": False, "two": True} == {kept.name: kept.held for kept in result.load(path)}


def test_what_did_not_hold_is_shown_with_its_figure() -> None:
    assert (False, ["nothing | is stored: 3 more"]) == (FAILED.held, FAILED.failures)
    assert "  FAIL nothing | is stored: 3 more" in report.lines(FAILED)
    assert "  ok   it stands: 5 s" in report.lines(FAILED)


def test_hits_that_failed_have_no_figure() -> None:
    assert "2 ms / failed / 2 ms" == HELD.hits_text


def test_a_phase_that_was_over_before_a_hit_was_due_has_none() -> None:
    short = replace(HELD, hits={"before": QUIET, "during": Latency.of([]), "after": QUIET})
    assert "2 ms / none / 2 ms" == short.hits_text


def test_the_table_has_both_columns_and_the_command() -> None:
    row = report.table([ONE], {"one": FAILED}, {"one": HELD}).splitlines()[2]
    assert "| one thing | did not hold. nothing \\| is stored: 3 more | held. it stands: 5 s |" in row
    assert row.endswith("| 240 MiB | `python -m benchmarks.hostile one` |")


def test_an_attack_that_was_not_measured_says_so() -> None:
    assert 2 == report.table([ONE], {}, {}).splitlines()[2].count("not measured")


def test_the_text_goes_between_the_markers() -> None:
    page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n" == report.filled(page, "new")


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        report.filled("no markers", "new")


def test_the_page_is_what_was_kept() -> None:
    """After a change: `python -m benchmarks.hostile --page`."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == report.filled(page, page_table())


@pytest.mark.parametrize("path", [BEFORE, NOW], ids=["before", "now"])
def test_what_is_kept_are_full_attacks_that_exist(path: Path) -> None:
    kept = result.load(path)
    assert set() == {item.name for item in kept} - set(ATTACKS)
    assert not any(item.short for item in kept)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_every_attack_is_bounded(attack: Attack) -> None:
    for bounds in (attack.full, attack.short):
        assert 0 < bounds.count <= 6000
        assert 0 <= bounds.hold_seconds < bounds.seconds <= 300
    assert attack.short.seconds <= 120
