"""The estimates, against exact simulations of the same requests."""

from __future__ import annotations

import gc
import math
import random
import tracemalloc
from collections.abc import Sequence
from functools import cache

import pytest

from cache.policies.simulated import TRACES, trace, zipf
from recoup.cache import ResultCache
from recoup.cache.policies import POLICIES
from recoup.insight.advice import advice, duration, next_gigabyte
from recoup.insight.simulation import SCALES, Point, Simulation

#: The scales that are simulated exactly, too: each takes as long as all estimates together.
EXACT = (0.25, 1.0, 4.0)
LENGTH = 40_000
#: A request: when, its key, its bytes, its cost.
Request = tuple[float, int, int, float]
MB = 2**20
shared = pytest.mark.skipif(not TRACES.is_dir(), reason=f"the public traces are not at {TRACES}")


def key_hash(key: int) -> int:
    return random.Random(key).getrandbits(64)


@cache
def requests(name: str) -> tuple[Request, ...]:
    """A workload by its name. `costs` has sizes and costs of its own for each key."""
    keys = (trace(name) if name.startswith("web") else zipf(LENGTH))[:LENGTH]
    hashes = {key: key_hash(key) for key in set(keys)}
    if name != "costs":
        return tuple((at * 0.1, hashes[key], 1000, 1.0) for at, key in enumerate(keys))
    sizes = {key: int(1000 * 20 ** random.Random(-key - 1).random()) for key in hashes}
    costs = {key: 0.1 * 50 ** random.Random(key + 7).random() for key in hashes}
    return tuple((at * 0.1, hashes[key], sizes[key], costs[key]) for at, key in enumerate(keys))


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def exact(
    of: Sequence[Request], policy: str, max_size: int, max_bytes: float, ttl: float | None
) -> tuple[float, float]:
    """The hit ratio of a cache itself, and what it recouped in an hour."""
    clock = _Clock()
    cache = ResultCache[int](
        policy=policy, max_size=max_size, max_memory_mb=max_bytes / MB, ttl_seconds=ttl, clock=clock
    )
    cache._state.size_of = lambda key, value: int(value)  # type: ignore[method-assign]
    for at, key, size, cost in of:
        clock.now = at
        if cache.get(key) is None:
            cache.set(key, size, cost_seconds=cost)
    stats = cache.stats()
    assert {0} == set(stats.internal_errors.values())
    return stats.hit_ratio or 0.0, stats.recouped_seconds * 3600 / (of[-1][0] - of[0][0])


def simulated(
    of: Sequence[Request], max_size: int, max_bytes: float, ttl: float | None, **options: float
) -> Simulation:
    simulation = Simulation(max_size, max_bytes / MB, **options)  # type: ignore[arg-type]
    for at, key, size, cost in of:
        simulation.access(key, at, size, cost, math.inf if ttl is None else ttl)
    return simulation


@pytest.mark.parametrize(
    ("name", "max_size", "max_bytes", "ttl"),
    [
        pytest.param("web07", 1000, 1e12, None, marks=shared, id="web07"),
        pytest.param("web12", 1000, 1e12, None, marks=shared, id="web12"),
        pytest.param("zipf", 1000, 1e12, None, id="zipf"),
        pytest.param("zipf", 1000, 1e12, 600.0, id="zipf with a ttl"),
        pytest.param("costs", 10**6, 8e6, None, id="bytes and costs"),
    ],
)
def test_the_mean_error_of_the_hit_ratio_is_under_one_point_and_recouped_seconds_are_about_right(
    name: str, max_size: int, max_bytes: float, ttl: float | None
) -> None:
    of = requests(name)
    simulation = simulated(of, max_size, max_bytes, ttl)
    assert simulation.share < 0.7, "it samples"
    errors = {}
    for point in simulation.points():
        if point.scale in EXACT:
            expected, recouped = exact(of, point.policy, point.max_size, max_bytes * point.scale, ttl)
            errors[point.policy, point.scale] = abs(expected - (point.hit_ratio or 0.0))
            assert recouped == pytest.approx(point.recouped_seconds_per_hour, rel=0.2)
    large = [error for (_, scale), error in errors.items() if max_size * scale >= 1000]
    assert sum(large) / len(large) < 0.01, errors
    assert sum(errors.values()) / len(errors) < 0.015, errors


def test_without_sampling_lru_is_exact_in_entries_and_bytes_and_ttl() -> None:
    of = requests("costs")[:10_000]
    simulation = simulated(of, 300, 2e6, 500.0, most_entries=10**9)
    assert simulation.share == 1.0
    for point in simulation.points()[: len(SCALES)]:
        ratio, recouped = exact(of, "lru", point.max_size, 2e6 * point.scale, 500.0)
        assert ratio == pytest.approx(point.hit_ratio, abs=0.003)
        assert recouped == pytest.approx(point.recouped_seconds_per_hour, rel=0.01)


@pytest.mark.parametrize(("max_size", "least", "most"), [(10, 1.0, 1.0), (1000, 0.2, 0.5), (10**6, 0.03, 0.12)])
def test_the_share_follows_from_what_the_simulations_hold(max_size: int, least: float, most: float) -> None:
    simulation = Simulation(max_size, 1e6)
    drawn = random.Random(1)
    for number in range(20_000):
        simulation.access(drawn.getrandbits(64), float(number), 1000, 1.0)
    assert simulation.entries() <= 28_000
    assert least <= simulation.share <= most


@pytest.mark.parametrize("ttl", [math.inf, 2000.0])
def test_all_simulations_together_take_less_than_8_mb(ttl: float) -> None:
    of = requests("costs")[:25_000]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        simulation = Simulation(1000, 1e6)
        for at, key, size, cost in of:
            simulation.access(key, at, size, cost, ttl)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert simulation.share < 1.0, "it is full"
    assert peak - before < 8 * MB


def test_a_lookup_of_what_is_never_stored_is_no_hit_at_any_size() -> None:
    simulation = Simulation(10, 1.0)
    simulation.count(5)
    for at in range(5):
        simulation.lookup(1, float(at))
    assert {0.0} == {point.hit_ratio for point in simulation.points()}


def test_other_limits_begin_anew_with_what_is_held() -> None:
    simulation = Simulation(10, 1.0)
    for number in range(40):
        simulation.access(key_hash(number % 20), float(number), 100, 1.0)
    simulation.configure(20, 1.0)
    assert {None} == {point.hit_ratio for point in simulation.points()}
    for number in range(20):
        simulation.access(key_hash(number), 100.0 + number, 100, 1.0)
    at = {(point.policy, point.scale): point for point in simulation.points()}
    assert (20, 1.0) == (at["lru", 1.0].max_size, at["lru", 1.0].hit_ratio)
    assert (5, 0.0) == (at["lru", 0.25].max_size, at["lru", 0.25].hit_ratio)


class TestAdvice:
    def points(self, recouped: dict[tuple[str, float], float], ratio: float = 0.5) -> list[Point]:
        return [
            Point(policy, scale, round(1000 * scale), 512 * scale, ratio, recouped.get((policy, scale), 1000.0))
            for policy in POLICIES
            for scale in SCALES
        ]

    def test_says_what_twice_the_memory_and_another_policy_would_recoup(self) -> None:
        points = self.points({("lru", 2.0): 1000 + 465.0, ("gdsf", 1.0): 1000 + 180.0})
        assert "Twice the memory would recoup 3.1 h more a day; `gdsf` at today's size 72 min." == advice(points, "lru")
        assert 930.0 == next_gigabyte(points, "lru")

    def test_says_that_another_policy_alone_pays(self) -> None:
        assert "`s3fifo` at today's size would recoup 4.0 h more a day." == advice(
            self.points({("s3fifo", 1.0): 1600.0}), "lru"
        )

    def test_says_that_today_is_enough(self) -> None:
        enough = "Today's size and policy are enough: half the memory would "
        assert f"{enough}do as well." == advice(self.points({}), "lru")
        assert f"{enough}lose 2 min a day." == advice(self.points({("lru", 0.5): 995.0}), "lru")

    def test_warns_of_less_where_more_brings_nothing(self) -> None:
        points = self.points({("lru", 0.5): 500.0, ("lru", 0.25): 100.0})
        assert "Twice the memory would bring next to nothing, and so would another policy." == advice(points, "lru")

    def test_goes_by_hit_ratios_where_no_time_is_known(self) -> None:
        points = [
            Point(policy, scale, 1000, 512 * scale, 0.6 if scale > 1 else 0.5, None)
            for policy in POLICIES
            for scale in SCALES
        ]
        assert "Twice the memory would raise the hit ratio by 10.0 points." == advice(points, "lru")
        assert next_gigabyte(points, "lru") is None

    def test_says_that_there_is_nothing_to_go_by(self) -> None:
        assert "No lookup has been sampled yet." == advice(Simulation(10, 1.0).points(), "lru")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (40, "40 s"), (720, "12 min"), (11_160, "3.1 h"), (360_000, "100.0 h")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert text == duration(seconds)
