"""Under threads: exact counts, whole books, reads that take no lock, and no deadlock."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recoup.cache import LRUCache
from recoup.cache.state import READ_BUFFER
from recoup.errors import GenerationFailedError

from .support import TIME_LIMIT, Threads, assert_consistent, together

THREADS = 16


@pytest.fixture(params=[None, 1e-6], ids=["usual switching", "switching all the time"])
def _switching(request: pytest.FixtureRequest) -> Iterator[None]:
    usual = sys.getswitchinterval()
    if request.param is not None:
        sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(usual)


class Worker:
    """One thread's random operations, and its own count of the calls that it made."""

    def __init__(self, cache: LRUCache, seed: int, steps: int) -> None:
        self.cache = cache
        self.random = random.Random(seed)
        self.steps = steps
        self.calls: Counter[str] = Counter()

    def __call__(self) -> Counter[str]:
        for _ in range(self.steps):
            key = self.random.randrange(60)
            operation = self.random.choices([self.get, self.set, self.fetch, self.fail, self.delete], [8, 2, 3, 1, 1])
            operation[0](key)
        return self.calls

    def get(self, key: int) -> None:
        value = self.cache.get(key, "absent", pipeline=f"p{key % 3}")
        assert value in {"absent", key}
        self.calls["lookups"] += 1
        self.calls["answered"] += value == key

    def set(self, key: int) -> None:
        self.calls["stored"] += self.cache.set(key, key, pipeline=f"p{key % 3}")

    def fetch(self, key: int) -> None:
        lookup = self.cache.fetch(key, lambda: key, pipeline=f"p{key % 3}")
        assert key == lookup.value
        self.calls["lookups"] += 1
        self.calls[lookup.outcome] += 1
        self.calls["answered"] += lookup.outcome == "hit"
        self.calls["stored"] += lookup.stored

    def fail(self, key: int) -> None:
        def generate() -> None:
            raise GenerationFailedError("no luck")

        self.calls["lookups"] += 1
        try:
            # Keys of its own: what others generate does not help it.
            self.cache.fetch(("failing", key), generate, pipeline="failing")
        except GenerationFailedError:
            self.calls["failed"] += 1

    def delete(self, key: int) -> None:
        self.calls["deleted"] += self.cache.delete(key)


def total(counts: list[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())


@pytest.mark.usefixtures("_switching")
def test_hits_misses_and_the_rest_equal_the_calls_that_were_made() -> None:
    cache = LRUCache(max_size=40)
    calls = total(together(*(Worker(cache, seed, 1_500) for seed in range(THREADS))))

    stats = cache.stats()
    assert calls["lookups"] == stats.hits + stats.misses + stats.coalesced
    assert calls["lookups"] == stats.lookups
    assert calls["answered"] == stats.hits
    assert calls["coalesced"] == stats.coalesced - stats.pipelines["failing"].coalesced
    assert calls["failed"] == stats.pipelines["failing"].misses + stats.pipelines["failing"].coalesced
    assert calls["deleted"] == stats.invalidations["deleted"]
    gone = sum(stats.evictions.values()) + sum(stats.invalidations.values())
    assert calls["stored"] == stats.entries + gone == sum(h.entry_size.count for h in stats.histograms.values())
    assert stats.hits == sum(h.hit_age.count for h in stats.histograms.values())
    assert {0} == set(stats.internal_errors.values())
    assert_consistent(cache)


@pytest.mark.usefixtures("_switching")
def test_management_meanwhile_breaks_nothing() -> None:
    cache = LRUCache(max_size=40, ttl_seconds=0.001, ttl_jitter=0.5, stale_seconds=0.0005)
    over = threading.Event()

    def until_over(manage: Callable[[], Any]) -> Callable[[], None]:
        def run() -> None:
            while not over.is_set():
                manage()

        return run

    sizes = itertools.cycle([5, 40, 20])
    managers = Threads(
        until_over(manage)
        for manage in [
            lambda: cache.configure(max_size=next(sizes)),
            lambda: cache.configure(enabled=False) and cache.configure(enabled=True),
            lambda: cache.clear("p1"),
            cache.stats,
            lambda: cache.entries(sort="most_hit"),
            cache.entries,
        ]
    )
    calls = total(together(*(Worker(cache, seed, 400) for seed in range(THREADS))))
    over.set()
    managers.join()
    cache.configure(max_size=40, enabled=True)

    stats = cache.stats()
    assert calls["lookups"] == stats.lookups
    assert calls["bypass"] <= stats.bypassed
    gone = sum(stats.evictions.values()) + sum(stats.invalidations.values())
    assert calls["stored"] == stats.entries + gone
    assert {0} == set(stats.internal_errors.values())
    assert_consistent(cache)


def test_the_order_after_concurrent_reads_is_one_that_the_reads_allow() -> None:
    cache = LRUCache(max_size=100)
    for key in range(100):
        cache[key] = key

    def read(first: int) -> Callable[[], None]:
        return lambda: [cache.get(key) for _ in range(50) for key in range(first, first + 5)] and None  # type: ignore[return-value]

    together(*(read(5 * place) for place in range(THREADS)))

    held = [entry["key"] for entry in cache.entries(limit=100)]
    assert list(range(99, 79, -1)) == held[80:]
    for place in range(THREADS):
        mine = [key for key in held if 5 * place <= key < 5 * place + 5]
        assert list(range(5 * place + 4, 5 * place - 1, -1)) == mine


def test_a_hit_is_answered_while_another_thread_holds_the_lock() -> None:
    cache = LRUCache()
    cache["a"] = 1
    reads = 2 * READ_BUFFER

    def read() -> list[Any]:
        answers = [cache.get("a") for _ in range(reads)]
        entry = cache.try_hit("a")
        return [*answers, cache["a"], "a" in cache, entry and entry.value, len(cache), cache.fetch("a", dict).value]

    with cache._state.lock:  # the one private name in the tests: what a hit does not take
        answers = Threads([read]).join()[0]

    assert [1] * (reads + 5) == answers
    assert reads + 3 == cache.stats().hits


def test_what_was_read_while_the_lock_was_held_is_accounted_in_its_order() -> None:
    cache = LRUCache()
    for key in "abc":
        cache[key] = key
    with cache._state.lock:
        Threads([lambda: [cache.get(key) for key in "cabba"]]).join()

    assert ["a", "b", "c"] == [entry["key"] for entry in cache.entries()]
    assert {"a": 2, "b": 2, "c": 1} == {entry["key"]: entry["hits"] for entry in cache.entries()}


def test_the_read_buffer_is_bounded() -> None:
    cache = LRUCache()
    cache["a"] = 1
    for _ in range(20 * READ_BUFFER):
        cache.get("a")

    assert len(cache._state.reads.items) <= 2 * READ_BUFFER


def test_a_value_whose_finaliser_uses_the_cache_does_no_harm() -> None:
    cache = LRUCache(max_size=1)

    class Last:
        def __del__(self) -> None:
            cache.get("absent")
            cache["from a finaliser"] = 1

    def work() -> None:
        for number in range(50):
            cache[number] = Last()
        cache.configure(max_size=2)
        cache["last"] = Last()
        cache.delete("last")
        cache["last"] = Last()
        cache.clear()

    Threads([work]).join()

    assert_consistent(cache)
    assert 0 == cache.stats().internal_errors["sizer"]


def test_a_thread_that_iterates_sees_the_keys_of_one_moment() -> None:
    cache = LRUCache(max_size=50)
    over = threading.Event()

    def write() -> None:
        for number in itertools.count():
            cache[number] = number
            if over.is_set():
                return

    def look() -> None:
        for _ in range(300):
            keys = list(cache)
            assert keys == sorted(keys)  # type: ignore[type-var]
            assert len(keys) <= 51
        over.set()

    writing, looking = Threads([write]), Threads([look])
    try:
        looking.join()
    finally:
        over.set()
    writing.join()
    assert over.wait(TIME_LIMIT)
