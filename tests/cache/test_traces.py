"""Traces replayed: the hits are those of an exact LRU, and for public traces those that were published."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from functools import cache
from pathlib import Path

import pytest

from recoup.cache import LRUCache

TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"
#: Percentages of hits on web12 by entries, from cache2k's benchmark page.
PUBLISHED = {200: 44.04, 300: 49.01, 400: 52.83, 800: 61.95, 1200: 66.85, 3000: 76.48}

#: A trace of the project's own (see `make.py` beside it): hits by entries, of an exact LRU.
OWN = Path(__file__).with_name("traces") / "own.txt.gz"
OWN_HITS = {50: 4081, 200: 7041, 1000: 11226, 5000: 13384}

shared = pytest.mark.skipif(not TRACES.is_dir(), reason=f"the public traces are not at {TRACES}")


@cache
def trace(name: str) -> list[int]:
    with gzip.open(OWN if name == "own" else TRACES / f"cache2k-{name}.txt.gz", "rt") as lines:
        return [int(line) for line in lines]


def hits_of_an_exact_lru(keys: list[int], size: int) -> tuple[int, list[int]]:
    """The hits, and the keys held at the end, used last first."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in held:
            hits += 1
            held.move_to_end(key)
        else:
            held[key] = None
            if len(held) > size:
                held.popitem(last=False)
    return hits, list(reversed(held))


def replay(keys: list[int], size: int) -> LRUCache:
    replayed = LRUCache(max_size=size)
    for key in keys:
        if replayed.get(key) is None:
            replayed[key] = True
    return replayed


@pytest.mark.parametrize(
    ("name", "size", "published"),
    [
        *(("own", size, None) for size in OWN_HITS),
        *(pytest.param("web12", size, percent, marks=shared) for size, percent in PUBLISHED.items()),
        *(pytest.param("web07", size, None, marks=shared) for size in (200, 5000)),
    ],
)
def test_hits_and_order_are_those_of_an_exact_lru(name: str, size: int, published: float | None) -> None:
    keys = trace(name)
    hits, held = hits_of_an_exact_lru(keys, size)
    replayed = replay(keys, size)
    stats = replayed.stats()

    assert (hits, len(keys) - hits) == (stats.hits, stats.misses)
    assert held == [entry["key"] for entry in replayed.entries(limit=size)]
    assert stats.misses - len(held) == stats.evictions["size"]
    # The memory of what left is bounded, so what left long ago counts as cold again.
    assert stats.misses == stats.miss_reasons["cold"] + stats.miss_reasons["evicted"]
    assert len(set(keys)) <= stats.miss_reasons["cold"]
    if published is not None:
        assert published == round(100 * stats.hit_ratio, 2)


def test_the_hits_of_our_own_trace_are_known() -> None:
    assert OWN_HITS == {size: replay(trace("own"), size).stats().hits for size in OWN_HITS}


def test_our_own_trace_is_what_its_maker_makes() -> None:
    from .traces.make import lookups

    assert lookups() == trace("own")
