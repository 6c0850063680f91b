"""Single-flight for threads: one generation for all who ask at one time, and nobody hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from recoup.cache import ConcurrencyLimiter, Lookup, LRUCache
from recoup.errors import ConfigurationError, FlightTimeoutError, GenerationFailedError, QueueFullError

from .support import TIME_LIMIT, Threads, wait_until


class Generator:
    """A generator that takes as long as the test says, and counts its calls."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes) or ["mesh"]
        self.calls = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> Any:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        self.begun.set()
        assert self.may_end.wait(TIME_LIMIT)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def followers(cache: LRUCache, key: Any = "a") -> int:
    """How many threads wait for a flight now."""
    return len(cache._state.flights.get(key).future._condition._waiters)  # type: ignore[union-attr]


def in_flight(cache: LRUCache, generate: Generator, count: int, **options: Any) -> tuple[Threads, Threads]:
    """One leader, and so many followers that all wait."""
    leader = Threads([lambda: cache.fetch("a", generate, **options)])
    assert generate.begun.wait(TIME_LIMIT)
    waiting = Threads([lambda: cache.fetch("a", generate, **options)] * count)
    wait_until(lambda: followers(cache) == count)
    return leader, waiting


def test_a_thousand_callers_of_one_key_make_one_generation() -> None:
    cache = LRUCache()
    generate = Generator()
    leader, waiting = in_flight(cache, generate, 999)
    generate.may_end.set()

    lookups = leader.join() + waiting.join()
    assert 1 == generate.calls
    assert ["mesh"] * 1000 == [lookup.value for lookup in lookups]
    assert ["miss"] + ["coalesced"] * 999 == [lookup.outcome for lookup in lookups]
    stats = cache.stats()
    assert (1, 999, 0) == (stats.misses, stats.coalesced, stats.hits)
    assert (1, 0) == (stats.generations, stats.generations_in_progress)


def test_a_thousand_threads_that_begin_together_make_one_generation() -> None:
    cache = LRUCache()
    calls: list[int] = []

    def generate() -> str:
        calls.append(1)
        return "mesh"

    lookups = Threads([lambda: cache.fetch("a", generate)] * 1000).join()
    assert [1] == calls
    assert {"mesh"} == {lookup.value for lookup in lookups}
    stats = cache.stats()
    assert (1, 1000) == (stats.misses, stats.lookups)


def test_coalesced_callers_recoup_the_cost_of_the_generation(make_cache: Callable[..., LRUCache], clock: Any) -> None:
    cache = make_cache(ttl_seconds=60)
    generate = Generator()
    leader, waiting = in_flight(cache, generate, 3)
    clock.advance(2.0)
    generate.may_end.set()

    (led,) = leader.join()
    assert Lookup("mesh", "miss", "cold", stored=True, cost_seconds=2.0, expires_in_seconds=60) == led
    assert [Lookup("mesh", "coalesced", cost_seconds=2.0, expires_in_seconds=60)] * 3 == waiting.join()
    assert (2.0, 6.0) == (cache.stats().generation_seconds, cache.stats().recouped_seconds)
    assert 0.0 == cache.stats().hit_ratio


def test_the_leaders_error_reaches_every_follower_and_is_not_cached() -> None:
    cache = LRUCache()
    error = GenerationFailedError("no luck")
    generate = Generator(error, "mesh")
    leader, waiting = in_flight(cache, generate, 20)
    generate.may_end.set()

    assert [error] == leader.settle().errors
    errors = waiting.settle().errors
    assert [(GenerationFailedError, "no luck", error)] * 20 == [(type(e), str(e), e.__cause__) for e in errors]  # type: ignore[union-attr]
    assert 20 == len(set(map(id, errors)))
    assert 1 == generate.calls
    assert "a" not in cache
    assert "mesh" == cache.fetch("a", generate).value
    stats = cache.stats()
    assert (2, 20, 1) == (stats.misses, stats.coalesced, stats.generation_failures["error"])
    assert 0.0 == stats.recouped_seconds


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), concurrent.futures.CancelledError()], ids=repr
)
def test_a_leader_that_is_interrupted_leaves_the_generation_to_a_follower(error: BaseException) -> None:
    cache = LRUCache()
    generate = Generator(error, "mesh")
    leader, waiting = in_flight(cache, generate, 5)
    generate.may_end.set()

    assert [error] == leader.settle().errors
    assert ["mesh"] * 5 == [lookup.value for lookup in waiting.join()]
    assert 2 == generate.calls
    stats = cache.stats()
    assert (2, 6) == (stats.misses, stats.lookups)
    assert 1 == stats.generation_failures["cancelled"] == sum(stats.generation_failures.values())


def test_a_follower_waits_no_longer_than_its_limit_and_the_others_go_on() -> None:
    cache = LRUCache()
    generate = Generator()
    leader, waiting = in_flight(cache, generate, 2)

    with pytest.raises(FlightTimeoutError, match=r"0\.01"):
        cache.fetch("a", generate, wait_seconds=0.01)
    generate.may_end.set()
    assert ["mesh"] * 3 == [lookup.value for lookup in leader.join() + waiting.join()]
    assert (1, 3) == (cache.stats().misses, cache.stats().coalesced)


def test_a_leader_is_under_no_limit_of_waiting() -> None:
    cache = LRUCache()
    generate = Generator()
    generate.may_end.set()

    assert "mesh" == cache.fetch("a", generate, wait_seconds=0).value


def test_different_keys_never_wait_for_each_other() -> None:
    cache = LRUCache()
    slow = Generator()
    leader = Threads([lambda: cache.fetch("slow", slow)])
    assert slow.begun.wait(TIME_LIMIT)

    others = Threads([lambda number=number: cache.fetch(number, lambda: number) for number in range(50)]).join()  # type: ignore[misc]
    assert list(range(50)) == [lookup.value for lookup in others]
    assert 1 == cache.stats().generations_in_progress
    assert None is cache.get("slow")
    cache[0] = "stored"
    assert "stored" == cache[0]
    slow.may_end.set()
    leader.join()


def test_a_generation_that_asks_for_its_own_key_does_not_wait_for_itself() -> None:
    cache = LRUCache()

    def generate() -> str:
        return "outer " + cache.fetch("a", lambda: "inner").value

    assert [("outer inner", "miss")] == [
        (lookup.value, lookup.outcome) for lookup in Threads([lambda: cache.fetch("a", generate)]).join()
    ]
    assert "outer inner" == cache["a"]
    assert (1, 1) == (cache.stats().misses, cache.stats().bypassed)


def test_a_generation_that_runs_a_loop_that_asks_for_its_own_key_does_not_wait_for_itself() -> None:
    cache = LRUCache()

    async def inner() -> str:
        async def generate() -> str:
            return "inner"

        return (await cache.afetch("a", generate)).value

    lookups = Threads([lambda: cache.fetch("a", lambda: asyncio.run(inner()))]).join()
    assert "inner" == lookups[0].value


def test_keys_that_generate_each_other_within_one_thread_do_not_deadlock() -> None:
    cache = LRUCache()

    def a() -> str:
        return "a" + cache.fetch("b", b).value

    def b() -> str:
        return "b" + cache.fetch("a", lambda: "!").value

    assert "ab!" == Threads([lambda: cache.fetch("a", a)]).join()[0].value
    assert "b!" == cache["b"]


@pytest.mark.parametrize(
    "invalidate",
    [lambda cache: cache.delete("a"), lambda cache: cache.clear(), lambda cache: cache.clear("llm")],
    ids=["delete", "clear", "clear of its pipeline"],
)
def test_what_is_invalidated_during_its_generation_is_delivered_and_not_stored(
    invalidate: Callable[[LRUCache], Any],
) -> None:
    cache = LRUCache()
    generate = Generator("old", "new")
    leader, waiting = in_flight(cache, generate, 3, pipeline="llm")
    invalidate(cache)
    fresh = Generator("fresh")
    fresh.may_end.set()

    # Who asks after it does not get what was begun before it.
    assert ("fresh", "miss", True) == astuple(cache.fetch("a", fresh, pipeline="llm"))
    generate.may_end.set()
    assert [("old", "miss", False)] == [astuple(lookup) for lookup in leader.join()]
    assert [("old", "coalesced", False)] * 3 == [astuple(lookup) for lookup in waiting.join()]
    assert "fresh" == cache["a"]


def astuple(lookup: Lookup) -> tuple[Any, str, bool]:
    return lookup.value, lookup.outcome, lookup.stored


def test_clearing_another_pipeline_leaves_a_flight_alone() -> None:
    cache = LRUCache()
    generate = Generator()
    leader, _ = in_flight(cache, generate, 0, pipeline="llm")
    cache.clear("relief")
    generate.may_end.set()

    assert leader.join()[0].stored
    assert "a" in cache


def test_disabled_during_a_generation_it_delivers_and_does_not_store() -> None:
    cache = LRUCache()
    generate = Generator()
    leader, waiting = in_flight(cache, generate, 3)
    cache.configure(enabled=False)
    beside = cache.fetch("a", lambda: "beside")
    assert ("beside", "bypass", False) == astuple(beside)
    generate.may_end.set()

    assert [("mesh", "miss", False)] == [astuple(lookup) for lookup in leader.join()]
    assert [("mesh", "coalesced", False)] * 3 == [astuple(lookup) for lookup in waiting.join()]
    cache.configure(enabled=True)
    assert "a" not in cache


def test_a_full_gate_refuses_the_leader_and_all_who_wait_for_it() -> None:
    cache = LRUCache()
    gate = ConcurrencyLimiter(1, 0)
    cache.register("llm", gate)
    slow = Generator()
    inside = Threads([lambda: cache.fetch("slow", slow, pipeline="llm", limiter=gate)])
    assert slow.begun.wait(TIME_LIMIT)

    with pytest.raises(QueueFullError):
        cache.fetch("other", dict, pipeline="llm", limiter=gate)
    assert (1, 0) == (cache.stats().generations_in_progress, cache.stats().generations_waiting)
    assert 1 == cache.stats().generation_failures["queue_full"]
    slow.may_end.set()
    inside.join()
    assert "other" not in cache
    assert {} == cache.fetch("other", dict, pipeline="llm", limiter=gate).value


def test_a_refusal_of_the_arguments_begins_nothing() -> None:
    cache = LRUCache()
    with pytest.raises(ConfigurationError, match="ttl_seconds"):
        cache.fetch("a", dict, ttl_seconds=-1)

    assert 0 == cache.stats().lookups
    assert {} == cache.fetch("a", dict).value


def test_a_key_whose_hash_fails_at_the_landing_keeps_nobody_waiting() -> None:
    class Fickle:
        fails = False

        def __hash__(self) -> int:
            if self.fails:
                raise RuntimeError("no hash any more")
            return 1

    cache = LRUCache()
    key = Fickle()
    generate = Generator()
    leader = Threads([lambda: cache.fetch(key, generate)])
    assert generate.begun.wait(TIME_LIMIT)
    waiting = Threads([lambda: cache.fetch(key, generate)])
    wait_until(lambda: followers(cache, key) == 1)
    key.fails = True
    generate.may_end.set()

    assert ["mesh", "mesh"] == [lookup.value for lookup in leader.join() + waiting.join()]
    key.fails = False
    # The flight that could not be taken off the list is over all the same.
    again = cache.fetch(key, lambda: "again")
    assert ("again", "miss") == (again.value, again.outcome)


def test_many_flights_of_many_keys_under_errors_and_interrupts_leave_nothing_behind() -> None:
    cache = LRUCache(max_size=8)
    errors = [None, ValueError("no"), KeyboardInterrupt(), None]

    def ask(place: int) -> Callable[[], None]:
        def generate() -> int:
            error = errors[place % 4]
            if error is not None:
                raise error
            return place

        def run() -> None:
            for step in range(100):
                with suppress(ValueError, KeyboardInterrupt):
                    cache.fetch(step % 10, generate, wait_seconds=TIME_LIMIT)

        return run

    Threads(ask(place) for place in range(16)).join()
    stats = cache.stats()
    assert 1600 == stats.lookups
    assert 0 == stats.generations_in_progress
    assert {} == cache._state.flights._by_key


class Numbered:
    """A generator whose first call takes as long as the test says; it gives the number of the call."""

    def __init__(self) -> None:
        self.calls = itertools.count(1)
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> int:
        number = next(self.calls)
        if number == 1:
            self.begun.set()
            assert self.may_end.wait(TIME_LIMIT)
        return number


def refuse(value: int) -> bool:
    raise ValueError(f"{value} is neither")


@pytest.mark.parametrize("store_if", [lambda value: False, lambda value: None, refuse], ids=["false", "none", "raises"])
def test_a_result_that_is_not_kept_answers_its_leader_alone(store_if: Callable[[int], object]) -> None:
    """The others generate for themselves, all at once: none of them waits for another's result in vain again."""
    cache = LRUCache()
    generate = Numbered()
    leader = Threads([lambda: cache.fetch("a", generate, store_if=store_if)])
    assert generate.begun.wait(TIME_LIMIT)
    waiting = Threads([lambda: cache.fetch("a", generate, store_if=store_if)] * 5)
    wait_until(lambda: followers(cache) == 5)
    generate.may_end.set()

    assert [(1, "miss", False)] == [(lookup.value, lookup.outcome, lookup.stored) for lookup in leader.join()]
    lookups = waiting.join()
    assert [2, 3, 4, 5, 6] == sorted(lookup.value for lookup in lookups)
    assert {("bypass", "uncacheable", False)} == {(it.outcome, it.bypass_reason, it.stored) for it in lookups}
    stats = cache.stats()
    assert (1, 0, 5, 6) == (stats.misses, stats.coalesced, stats.bypassed, stats.lookups)
    assert (5, 6, 0) == (stats.bypass_reasons["uncacheable"], stats.generations, stats.generations_in_progress)


def test_who_waited_for_what_is_not_kept_waits_for_its_turn() -> None:
    """The limit of concurrent generations holds for those who generate for themselves as well."""
    cache, limiter = LRUCache(), ConcurrencyLimiter(1, 10)
    generate = Numbered()
    running: list[int] = []
    most: list[int] = []

    def watched() -> int:
        running.append(1)
        most.append(len(running))
        number = generate()
        running.pop()
        return number

    options: dict[str, Any] = {"limiter": limiter, "store_if": lambda value: False}
    leader = Threads([lambda: cache.fetch("a", watched, **options)])
    assert generate.begun.wait(TIME_LIMIT)
    waiting = Threads([lambda: cache.fetch("a", watched, **options)] * 5)
    wait_until(lambda: followers(cache) == 5)
    generate.may_end.set()
    assert [1, 2, 3, 4, 5, 6] == sorted(lookup.value for lookup in leader.join() + waiting.join())
    assert {1} == set(most)


@pytest.mark.parametrize("sizer", [lambda value: None, lambda value: 10**9], ids=["no size", "too large"])
def test_a_result_that_cannot_be_kept_still_answers_all_who_wait(sizer: Callable[[Any], Any]) -> None:
    cache = LRUCache(sizer=sizer, max_memory_mb=1)
    generate = Generator()
    leader, waiting = in_flight(cache, generate, 5)
    generate.may_end.set()
    assert ["mesh"] * 6 == [lookup.value for lookup in leader.join() + waiting.join()]
    assert (1, 0) == (generate.calls, len(cache))
