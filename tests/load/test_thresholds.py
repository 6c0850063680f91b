"""The thresholds: every number says why, and what is not known is refused."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
from loadtest import thresholds
from loadtest.settings import NAMES


def test_the_product_s_targets_stand_in_the_file() -> None:
    loaded = thresholds.load()
    assert (0.667, 0.72, 3.0, 0.95, 0.80, 0.10) == (
        loaded.hit_ratio_min,
        loaded.hit_ratio_max,
        loaded.remote_speedup_min,
        loaded.remote_limit_share_min,
        loaded.speedup_limit_share_min,
        loaded.memory_overhead_max,
    )


def test_each_number_has_a_comment_above_it() -> None:
    lines = thresholds.FILE.read_text(encoding="utf-8").partition("[requests]")[0].splitlines()
    names = {field_.name for field_ in fields(thresholds.Thresholds)} - {"requests"}
    said = {line.partition(" = ")[0] for above, line in pairwise(lines) if above.startswith("# ") and " = " in line}
    assert names == said


def test_every_scenario_has_a_least_number_of_requests() -> None:
    assert set(NAMES) == set(thresholds.load().requests)


def test_relaxed_changes_the_least_numbers_of_requests_and_nothing_else() -> None:
    usual, relaxed = thresholds.load(), thresholds.load(relaxed=True)
    assert all(relaxed.requests[name] < usual.requests[name] for name in NAMES)
    for threshold in fields(thresholds.Thresholds):
        assert threshold.name == "requests" or getattr(usual, threshold.name) == getattr(relaxed, threshold.name)


def test_a_number_can_be_changed_by_its_name() -> None:
    loaded = thresholds.load(changes={"remote_speedup_min": 2.5, "requests.typical": 7})
    assert (2.5, 7) == (loaded.remote_speedup_min, loaded.requests["typical"])


@pytest.mark.parametrize("name", ["speedup", "requests.nothing", "relaxed.typical", "requests"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"there is no threshold '{name}'"):
        thresholds.load(changes={name: 1})


@pytest.mark.parametrize(
    ("was", "instead", "why"),
    [
        ("remote_speedup_min = 3.0", "speedup = 3.0", "remote_speedup_min is missing"),
        ("remote_speedup_min = 3.0", "", "remote_speedup_min is missing"),
        ("remote_speedup_min = 3.0", 'remote_speedup_min = "3"', "remote_speedup_min is '3', and has to be a number"),
        ("remote_speedup_min = 3.0", "remote_speedup_min = true", "remote_speedup_min is True"),
        ("remote_speedup_min = 3.0", "remote_speedup_min = nan", "remote_speedup_min is nan"),
        ("[relaxed]", "[relaxed]\nnothing = 1", "nothing stands in one of the tables"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, was: str, instead: str, why: str) -> None:
    text = thresholds.FILE.read_text(encoding="utf-8")
    assert was in text
    other = tmp_path / "other.toml"
    other.write_text(text.replace(was, instead))
    with pytest.raises(ValueError, match=why):
        thresholds.load(other)
