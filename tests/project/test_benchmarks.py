"""The benchmarks' own parts: what is compared is the same work, and what falls short is said."""

from __future__ import annotations

import pytest
from benchmarks import contenders
from benchmarks.measuring import calling, in_threads, side_by_side, zipf
from benchmarks.table import Row, markdown
from benchmarks.under_load import photograph

KEYS = [f"{number:032x}" for number in range(50)]
VALUE = b"value"


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("hit", "x", "1 ns"), None),
        (Row("hit", "x", "1 ns", 2.0), None),
        (Row("hit", "x", "1 ns", 2.0, at_least=2.0), True),
        (Row("hit", "x", "1 ns", 1.9, at_least=2.0), False),
        (Row("hit", "x", "1 ns", 1.03, at_most=1.03), True),
        (Row("hit", "x", "1 ns", 1.04, at_most=1.03), False),
    ],
    ids=["no ratio", "nothing asked", "at least", "too little", "at most", "too much"],
)
def test_a_row_says_whether_it_is_what_was_asked(row: Row, met: bool | None) -> None:
    assert met is row.met
    assert (met is False) == ("NOT MET" in row.cells())


def test_a_ratio_is_how_many_times_as_fast_we_are() -> None:
    row = Row.times("hit", "slow", {"slow": 3e-6}, ours=1e-6, at_least=2.5)
    assert (pytest.approx(3.0), "3000 ns", True) == (row.ratio, row.figure, row.met)  # type: ignore[comparison-overlap]


def test_the_table_is_markdown_with_one_line_for_each_row() -> None:
    lines = markdown([Row("hit", "x", "1 ns", 2.0, at_least=1.5), Row("hit", "y", "2 ns")]).splitlines()
    assert 4 == len(lines)
    assert {7} == {line.count("|") for line in lines}


@pytest.mark.parametrize(
    "contender",
    [
        lambda: contenders.recoup_cache(KEYS, VALUE).get,
        lambda: contenders.cachetools_caches(KEYS, VALUE)[0],
        lambda: contenders.cachetools_caches(KEYS, VALUE)[1],
        lambda: contenders.locked_ordered_dict(KEYS, VALUE),
        lambda: contenders.moka(KEYS, VALUE),
        lambda: contenders.lru_dict(KEYS, VALUE),
        lambda: contenders.cachebox_ttl(KEYS, VALUE),
        lambda: contenders.cachebox_lru(KEYS, VALUE),
        lambda: contenders.functools_lru_cache(KEYS, VALUE),
    ],
    ids=[
        "recoup",
        "cachetools",
        "cachetools[]",
        "ordered dict",
        "moka",
        "lru-dict",
        "cachebox ttl",
        "cachebox",
        "functools",
    ],
)
def test_every_contender_answers_every_key(contender) -> None:  # type: ignore[no-untyped-def]
    get = contender()
    assert {VALUE} == {get(key) for key in KEYS}


def test_the_ordered_dict_with_the_same_features_counts_what_ours_counts() -> None:
    """Otherwise it would be compared with less work than ours."""
    ours, theirs = contenders.recoup_cache(KEYS, VALUE), contenders.LockedOrderedDict(100)
    for key in KEYS:
        theirs.set(key, VALUE)
    for key in zipf(KEYS, 500, 1.0, seed=1):
        ours.get(key)
        theirs.get(key)
    stats = ours.stats()
    counted = theirs.pipelines["default"]
    assert (stats.hits, stats.recouped_seconds) == (counted["hits"], counted["recouped"])
    assert list(stats.histograms["default"].hit_age.counts) == counted["ages"]
    assert [entry["key"] for entry in ours.entries()] == list(reversed(theirs.order()))


def test_popularity_is_zipf_and_the_same_for_the_same_seed() -> None:
    sequence = zipf(KEYS, 20_000, 1.0, seed=7)
    assert sequence == zipf(KEYS, 20_000, 1.0, seed=7)
    assert 2.0 == pytest.approx(sequence.count(KEYS[0]) / sequence.count(KEYS[1]), rel=0.15)


def test_contenders_take_turns() -> None:
    turns: list[str] = []
    times = side_by_side({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, rounds=3, operations=1)
    assert ["a", "b"] * 4 == turns
    assert {"a", "b"} == set(times)


def test_work_in_threads_is_done_by_each() -> None:
    called: list[int] = []
    in_threads(calling(called.append, range(10)), 4)()
    assert sorted([*range(10)] * 4) == sorted(called)


def test_photographs_are_small_and_differ_by_their_number_alone() -> None:
    first = photograph(1)
    assert first == photograph(1)
    assert 50 == len({photograph(number) for number in range(50)})
    assert 1000 < len(first) < 8000
