"""What theory says, held against a simulation that shares nothing with it."""

from __future__ import annotations

import math
import random
from functools import lru_cache
from itertools import accumulate
from statistics import fmean

import pytest
from loadtest import theory

#: Catalogue, entries, alpha, hit ratio in the steady state.
FACTS = [
    pytest.param(5_000, 1_000, 0.9, 0.657, id="5,000 keys, alpha 0.9"),
    pytest.param(5_000, 1_000, 0.945, 0.70, id="5,000 keys, alpha 0.945"),
    pytest.param(20_000, 1_000, 1.0, 0.614, id="20,000 keys, alpha 1"),
    pytest.param(20_000, 1_000, 1.067, 0.70, id="20,000 keys, alpha 1.067"),
]
BURN_IN = 60_000
STEADY = 300_000


@lru_cache(maxsize=8)
def sequence(catalogue: int, alpha: float, seed: int = 1) -> list[int]:
    """Independent requests, long enough for a hit ratio to within a fifth of a point."""
    bounds = list(accumulate(theory.zipf(catalogue, alpha)))
    return random.Random(seed).choices(range(catalogue), cum_weights=bounds, k=BURN_IN + STEADY)


def simulated(catalogue: int, entries: int, alpha: float) -> float:
    asked = sequence(catalogue, alpha)
    return fmean(theory.replay(asked[BURN_IN:], entries, warm=asked[:BURN_IN]))


def test_popularity_is_a_probability_that_falls_with_the_rank() -> None:
    popularity = theory.zipf(4, 1.0)
    assert pytest.approx([12 / 25, 6 / 25, 4 / 25, 3 / 25]) == popularity


def test_without_alpha_every_item_is_as_popular() -> None:
    assert pytest.approx([0.25] * 4) == theory.zipf(4, 0.0)


@pytest.mark.parametrize(("catalogue", "alpha"), [(0, 1.0), (-1, 1.0), (5, -0.1), (5, math.nan), (5, math.inf)])
def test_what_has_no_popularity_is_refused(catalogue: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="no popularity"):
        theory.zipf(catalogue, alpha)


@pytest.mark.parametrize(("catalogue", "entries", "alpha", "expected"), FACTS)
def test_the_known_hit_ratios_follow_from_ches_approximation(
    catalogue: int, entries: int, alpha: float, expected: float
) -> None:
    assert expected == pytest.approx(theory.che(theory.zipf(catalogue, alpha), entries), abs=0.0006)


@pytest.mark.parametrize(("catalogue", "entries", "alpha", "expected"), FACTS)
def test_the_known_hit_ratios_are_what_a_simulation_gives(
    catalogue: int, entries: int, alpha: float, expected: float
) -> None:
    assert expected == pytest.approx(simulated(catalogue, entries, alpha), abs=0.003)


@pytest.mark.parametrize(("catalogue", "entries", "alpha", "expected"), FACTS)
def test_the_first_ten_thousand_requests_of_a_cold_cache_run_one_to_five_points_lower(
    catalogue: int, entries: int, alpha: float, expected: float
) -> None:
    hit_ratio = fmean(theory.replay(sequence(catalogue, alpha)[:10_000], entries))
    assert 0.01 <= expected - hit_ratio <= 0.05


@pytest.mark.parametrize("alpha", [0.6, 0.9, 1.049, 1.3])
def test_approximation_and_simulation_agree_to_half_a_point_for_a_cache_of_a_hundred(alpha: float) -> None:
    assert theory.che(theory.zipf(500, alpha), 100) == pytest.approx(simulated(500, 100, alpha), abs=0.005)


def test_after_the_characteristic_time_as_many_items_were_asked_for_as_there_are_entries() -> None:
    probabilities = theory.zipf(500, 1.0)
    time = theory.characteristic_time(probabilities, 100)
    assert pytest.approx(100) == sum(1 - math.exp(-probability * time) for probability in probabilities)


def test_equally_popular_items_are_hits_as_often_as_the_cache_holds_them() -> None:
    assert pytest.approx(0.2) == theory.che([0.01] * 100, 20)


@pytest.mark.parametrize("entries", [-1, 0, 500, 501])
def test_a_cache_that_is_empty_or_holds_everything_has_no_characteristic_time(entries: int) -> None:
    with pytest.raises(ValueError, match="expected more than none and fewer than the catalogue"):
        theory.characteristic_time(theory.zipf(500, 1.0), entries)


def test_items_that_nobody_asks_for_do_not_fill_a_cache() -> None:
    with pytest.raises(ValueError, match="fewer than the catalogue"):
        theory.characteristic_time([0.5, 0.5, 0.0], 2)


def test_the_simulation_evicts_what_was_used_least_recently() -> None:
    cache: theory.LRU[str] = theory.LRU(2)
    assert [False, False, True, False, False] == [cache.ask(item) for item in "abacb"]
    assert ("c", "b") == cache.state()


def test_the_simulation_counts_no_hit_of_the_warm_up() -> None:
    assert [True, True, False] == theory.replay("abc", 2, warm="aab")


def test_a_simulated_cache_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        theory.LRU(0)


@pytest.mark.parametrize(
    ("hit_ratio", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.6, 2.5), (2 / 3, 3.0), (0.7, 10 / 3), (1.0, math.inf)]
)
def test_the_limit_of_the_speed_up_follows_from_the_hit_ratio(hit_ratio: float, expected: float) -> None:
    assert expected == pytest.approx(theory.limit(hit_ratio))


@pytest.mark.parametrize("hit_ratio", [-0.1, 1.1, math.nan])
def test_what_is_no_hit_ratio_has_no_limit(hit_ratio: float) -> None:
    with pytest.raises(ValueError, match="no hit ratio"):
        theory.limit(hit_ratio)
