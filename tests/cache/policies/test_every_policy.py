"""What holds for a cache under every policy, and while the policy changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cache.support import assert_consistent, in_a_new_process
from clock import FakeClock
from recoup.cache import LRUCache, ResultCache
from recoup.cache.policies import POLICIES
from recoup.errors import ConfigurationError
from recoup.fields import POLICY

MB = 2**20
KEYS = st.integers(0, 11)
NAMES = st.sampled_from(["llm", "relief", "other"])
SIZES = st.sampled_from([0, 10, 100, 1000])
COSTS = st.sampled_from([0.0, 0.5, 100.0])
LIMITS = st.sampled_from([1500, 4000, 10_000, 10**6])


class CacheUnderAnyPolicy(RuleBasedStateMachine):
    """Which entry goes is the policy's; that it was needed, is accounted for, and the rest stays, is everybody's."""

    @initialize(policy=st.sampled_from(list(POLICIES)), size=st.integers(1, 8), limit=LIMITS)
    def begin(self, policy: str, size: int, limit: int) -> None:
        self.clock = FakeClock(0.0)
        self.cache = ResultCache[bytes](policy=policy, max_size=size, max_memory_mb=limit / MB, clock=self.clock)
        self.policy, self.size, self.limit = policy, size, limit
        #: By key, the last value and when it expires.
        self.known: dict[int, tuple[bytes, float]] = {}
        self.has_quotas = False

    def room_evictions(self) -> int:
        evictions = self.cache.stats().evictions
        return evictions["size"] + evictions["memory"] + evictions["quota"]

    @rule(key=KEYS, size=SIZES, cost=COSTS, pipeline=NAMES, ttl=st.sampled_from([None, 1.0, 8.0]), groups=st.booleans())
    def set(self, key: int, size: int, cost: float, pipeline: str, ttl: float | None, groups: bool) -> None:
        before, evicted = self.cache.stats(), self.room_evictions()
        value = bytes(size)
        stored = self.cache.set(
            key, value, ttl_seconds=ttl, cost_seconds=cost, pipeline=pipeline, groups=["a"] if groups else []
        )
        if key in self.cache:
            self.known[key] = value, self.clock.now + (ttl or float("inf"))
            assert stored
        else:
            self.known.pop(key, None)
            assert not stored
        after = self.cache.stats()
        grown = after.memory_bytes - before.memory_bytes
        if not self.has_quotas and before.entries < self.size and before.memory_bytes + size + 2000 < self.limit:
            assert evicted == self.room_evictions(), "there was room"
            assert grown <= size + 2000

    @rule(keys=st.lists(KEYS, max_size=8))
    def get(self, keys: list[int]) -> None:
        for key in keys:
            value = self.cache.get(key)
            if value is not None:
                known, expires = self.known[key]
                assert (known, True) == (value, self.clock.now < expires)

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        self.cache.delete(key)
        self.known.pop(key, None)
        assert key not in self.cache

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def purge(self) -> None:
        self.cache.purge(["a"])

    @rule(policy=st.sampled_from(list(POLICIES)))
    def change_the_policy(self, policy: str) -> None:
        before, held, evicted = self.cache.stats(), set(self.cache), self.room_evictions()
        self.cache.configure(policy=policy)
        self.policy = policy
        if before.memory_bytes + 500 * before.entries < self.limit and not self.has_quotas:
            assert (held, evicted) == (set(self.cache), self.room_evictions())

    @rule(size=st.integers(1, 8), limit=LIMITS)
    def configure(self, size: int, limit: int) -> None:
        try:
            self.cache.configure(max_size=size, max_memory_mb=limit / MB)
        except ConfigurationError:
            assert self.has_quotas
        else:
            self.size, self.limit = size, limit

    @rule(pipeline=NAMES, entries=st.none() | st.integers(1, 3), reserve=st.sampled_from([0, 500, 1000]))
    def set_quota(self, pipeline: str, entries: int | None, reserve: int) -> None:
        try:
            self.cache.set_quota(pipeline, max_entries=entries, reserve_memory_mb=reserve / MB)
        except ConfigurationError:
            assert reserve
        else:
            self.has_quotas = True

    @rule(pipeline=st.none() | NAMES)
    def clear(self, pipeline: str | None) -> None:
        self.cache.clear(pipeline)

    @invariant()
    def all_is_accounted_for(self) -> None:
        stats = self.cache.stats()
        assert self.policy == stats.config["policy"]
        assert {0} == set(stats.internal_errors.values())
        assert_consistent(self.cache)
        gone = sum(stats.evictions.values()) + sum(stats.invalidations.values())
        came = sum(histograms.entry_size.count for histograms in stats.histograms.values())
        assert came == len(self.cache) + gone
        assert {key for key in self.cache if key in self.cache} <= set(self.known)
        for figures in stats.pipelines.values():
            assert figures.entries >= 0
            assert figures.memory_bytes >= 0

    @invariant()
    def its_order_has_every_entry_once(self) -> None:
        order = self.cache._state.store.order
        walked, entry = [], order.first()
        while entry is not None:
            walked.append(entry.key)
            entry = order.after(entry)
        assert sorted(self.cache) == sorted(walked) == sorted(entry.key for entry in order.newest_first())  # type: ignore[type-var]


CacheUnderAnyPolicy.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCacheUnderAnyPolicy = CacheUnderAnyPolicy.TestCase


@pytest.fixture(params=list(POLICIES))
def policy(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class TestAChangeOfThePolicy:
    @pytest.mark.parametrize("other", POLICIES)
    def test_loses_no_entry_and_no_count(self, policy: str, other: str) -> None:
        cache = ResultCache[int](policy=policy, max_size=100, max_memory_mb=512)
        for number in range(100):
            cache[number] = number
            cache.get(number // 2)
        before = cache.stats()
        assert other == cache.configure(policy=other)["policy"]

        assert [*range(100)] == sorted(cache)  # type: ignore[type-var]
        assert (before.hits, before.misses) == (cache.stats().hits, cache.stats().misses)
        cache[100] = 100
        assert 100 == len(cache)

    def test_is_counted(self) -> None:
        cache = ResultCache[int]()
        cache.configure(policy="gdsf")
        cache.configure(policy="gdsf")
        assert 1 == cache.stats().config_changes["policy"]

    def test_to_one_that_is_not_known_changes_nothing(self) -> None:
        cache = ResultCache[int](policy="s3fifo")
        with pytest.raises(ConfigurationError, match="policy='mru': expected one of lru, s3fifo, tinylfu, gdsf"):
            cache.configure(policy="mru", max_size=5)
        assert ("s3fifo", 1000) == (cache.config()["policy"], cache.config()["max_size"])

    def test_is_refused_by_an_lru_cache(self) -> None:
        cache = LRUCache(max_size=5)
        assert "lru" == cache.configure(policy="lru")["policy"]
        with pytest.raises(ConfigurationError, match="expected a ResultCache"):
            cache.configure(policy="gdsf")


def test_the_policies_are_those_that_a_setting_may_name() -> None:
    assert tuple(POLICIES) == POLICY.words


def test_entries_are_listed_by_their_last_use(policy: str, clock: FakeClock) -> None:
    cache = ResultCache[int](policy=policy, clock=clock)
    for key in (1, 2, 3, 1):
        clock.advance(1)
        cache[key] = key
    clock.advance(1)
    cache.get(2)
    assert [2, 1, 3] == [entry["key"] for entry in cache.entries(sort="recent")]


def test_what_was_just_stored_is_kept(policy: str) -> None:
    """Room is made before a new entry takes its place: whoever asks next finds it."""
    cache = ResultCache[int](policy=policy, max_size=4)
    for number in range(200):
        assert cache.set(number, number, cost_seconds=1 / (number + 1))
        assert number in cache


def test_a_cheap_and_large_entry_goes_before_costly_and_small_ones() -> None:
    cache = ResultCache[bytes](policy="gdsf", max_memory_mb=0.1)
    for number in range(20):
        cache.set(("costly", number), bytes(100), cost_seconds=30)
    for number in range(200):
        cache.set(("cheap", number), bytes(20_000), cost_seconds=0.01)
    assert 20 == sum(("costly", number) in cache for number in range(20))


@pytest.mark.parametrize(("policy", "least", "most"), [("lru", 0, 0), *((name, 45, 50) for name in [*POLICIES][1:])])
def test_a_scan_leaves_what_is_asked_for_again_but_under_lru(policy: str, least: int, most: int) -> None:
    cache = ResultCache[int](policy=policy, max_size=100)
    for _ in range(20):
        for number in range(50):
            if cache.get(number) is None:
                cache.set(number, 1, cost_seconds=1.0)
    for number in range(300):
        cache.set(("scan", number), 1, cost_seconds=1.0)
    assert least <= sum(number in cache for number in range(50)) <= most


class _Refusing:
    """A lock that nobody may take."""

    def __enter__(self) -> None:
        raise AssertionError("a hit takes the lock")

    acquire = __enter__


def test_a_hit_takes_no_lock(policy: str) -> None:
    cache = ResultCache[int](policy=policy)
    cache["key"] = 1
    state: Any = cache._state
    lock = state.lock
    state.lock = state.reads.lock = _Refusing()
    try:
        assert [1] * 1000 == [cache.get("key") for _ in range(1000)]
    finally:
        state.lock = state.reads.lock = lock
    assert 1000 == cache.stats().hits


def hit_time(policy: str, held: int) -> Callable[[], float]:
    """A round of hits, settled: seconds of processor time for each."""
    cache = ResultCache[int](policy=policy, max_size=2 * held, max_memory_mb=4096)
    for number in range(held):
        cache[str(number)] = number
    keys = [str(number * 7919 % held) for number in range(16_000)]

    def measure() -> float:
        get = cache.get
        start = time.process_time()
        for key in keys:
            get(key)
        cache.pipeline_stats("default")
        return (time.process_time() - start) / len(keys)

    return measure


@pytest.mark.load
@pytest.mark.parametrize("held", [100, 16_000], ids=["of few entries", "each of another entry"])
def test_a_hit_costs_at_most_one_and_a_half_times_what_it_does_under_lru(held: int) -> None:
    measures = {policy: hit_time(policy, held) for policy in POLICIES}
    times: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for _ in range(25):
        for policy, measure in measures.items():
            times[policy].append(measure())
    best = {policy: min(seconds) for policy, seconds in times.items()}
    ratios = {policy: round(seconds / best["lru"], 2) for policy, seconds in best.items()}
    assert max(ratios.values()) <= 1.5, ratios


@pytest.mark.load
def test_what_is_accounted_is_what_the_process_grows_by(policy: str) -> None:
    """In a cache that is full, and whose policy remembers what left."""
    program = f"""
import gc, os
from recoup.cache import ResultCache
def resident():
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
cache = ResultCache(policy={policy!r}, max_size=50_000, max_memory_mb=4096)
before = resident()
for number in range(150_000):
    cache.set("key %012d" % number, bytes(500))
grown = resident() - before
print(cache.stats().memory_bytes / grown)
"""
    accounted = float(in_a_new_process(program, PYTHONMALLOC="pymalloc", PYTHONHASHSEED="0"))
    assert 0.9 <= accounted <= 1.1, sys.version
