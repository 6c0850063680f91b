"""Single-flight for coroutines, and for threads and coroutines on one cache."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from recoup.cache import LRUCache, cached_result
from recoup.errors import FlightTimeoutError, GenerationFailedError, NotCachedError

from .support import TIME_LIMIT, Threads, wait_until


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, within the time limit, in a loop of its own."""
    return asyncio.run(asyncio.wait_for(coroutine, TIME_LIMIT))


class Generator:
    """A generator that takes as long as the test says, and counts its calls."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes) or ["mesh"]
        self.calls = 0
        self.may_end = asyncio.Event()

    async def __call__(self) -> Any:
        outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
        self.calls += 1
        await self.may_end.wait()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_thousand_tasks_of_one_key_make_one_generation() -> None:
    cache = LRUCache()

    async def main() -> tuple[Generator, list[Any]]:
        generate = Generator()
        tasks = [asyncio.create_task(cache.afetch("a", generate)) for _ in range(1000)]
        await settle()
        generate.may_end.set()
        return generate, await asyncio.gather(*tasks)

    generate, lookups = run(main())
    assert 1 == generate.calls
    assert ["miss"] + ["coalesced"] * 999 == [lookup.outcome for lookup in lookups]
    assert {"mesh"} == {lookup.value for lookup in lookups}
    assert (1, 999) == (cache.stats().misses, cache.stats().coalesced)


def test_threads_and_tasks_share_one_generation_of_a_thread() -> None:
    cache = LRUCache()
    begun, may_end = threading.Event(), threading.Event()

    def generate() -> str:
        begun.set()
        assert may_end.wait(TIME_LIMIT)
        return "mesh"

    async def never() -> str:
        raise AssertionError("generated again")

    async def tasks() -> list[Any]:
        waiting = [asyncio.create_task(cache.afetch("a", never)) for _ in range(50)]
        await settle()
        may_end.set()
        return await asyncio.gather(*waiting)

    leader = Threads([lambda: cache.fetch("a", generate)])
    assert begun.wait(TIME_LIMIT)
    threads = Threads([lambda: cache.fetch("a", generate)] * 10)
    wait_until(lambda: len(cache._state.flights.get("a").future._condition._waiters) == 10)  # type: ignore[union-attr]
    followers = run(tasks())

    assert {("mesh", "coalesced")} == {(lookup.value, lookup.outcome) for lookup in followers + threads.join()}
    assert "miss" == leader.join()[0].outcome
    assert (1, 60) == (cache.stats().misses, cache.stats().coalesced)


def test_threads_and_tasks_of_other_loops_share_one_generation_of_a_task() -> None:
    cache = LRUCache()
    begun = threading.Event()
    calls: list[int] = []

    async def lead() -> Any:
        async def generate() -> str:
            calls.append(1)
            begun.set()
            while len(cache._state.flights.get("a").future._condition._waiters) < 10:  # type: ignore[union-attr]
                await asyncio.sleep(0.001)
            return "mesh"

        return await cache.afetch("a", generate)

    def never() -> str:
        raise AssertionError("generated again")

    async def follow() -> Any:
        async def anever() -> str:
            return never()

        return await cache.afetch("a", anever)

    leader = Threads([lambda: run(lead())])
    assert begun.wait(TIME_LIMIT)
    other_loop = Threads([lambda: run(follow())] * 3)
    wait_until(lambda: len(cache._state.flights.get("a").future._done_callbacks) == 3)  # type: ignore[union-attr]
    threads = Threads([lambda: cache.fetch("a", never)] * 10)

    assert {"mesh"} == {lookup.value for lookup in leader.join() + other_loop.join() + threads.join()}
    assert [1] == calls


def test_the_leaders_error_reaches_every_follower_and_is_not_cached() -> None:
    cache = LRUCache()
    error = GenerationFailedError("no luck")

    async def main() -> list[Any]:
        generate = Generator(error)
        tasks = [asyncio.create_task(cache.afetch("a", generate)) for _ in range(20)]
        await settle()
        generate.may_end.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = run(main())
    assert error is first
    assert [(GenerationFailedError, "no luck", error)] * 19 == [(type(e), str(e), e.__cause__) for e in others]
    assert 19 == len(set(map(id, others)))
    assert "a" not in cache
    assert (1, 19, 1) == (
        cache.stats().misses,
        cache.stats().coalesced,
        cache.stats().generation_failures["error"],
    )


def test_a_leader_that_is_cancelled_leaves_the_generation_to_a_follower() -> None:
    cache = LRUCache()

    async def main() -> tuple[Generator, list[Any]]:
        generate = Generator()
        tasks = [asyncio.create_task(cache.afetch("a", generate)) for _ in range(20)]
        await settle()
        tasks[0].cancel()
        await settle()
        generate.may_end.set()
        return generate, await asyncio.gather(*tasks, return_exceptions=True)

    generate, (first, *others) = run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert {"mesh"} == {lookup.value for lookup in others}
    assert 2 == generate.calls
    stats = cache.stats()
    assert (2, 18, 1) == (stats.misses, stats.coalesced, stats.generation_failures["cancelled"])
    assert 0 == stats.generations_in_progress


def test_threads_that_follow_a_task_go_on_when_it_is_cancelled() -> None:
    cache = LRUCache()
    begun = threading.Event()

    async def lead() -> None:
        async def generate() -> None:
            begun.set()
            while not cache._state.flights.get("a").future._condition._waiters:  # type: ignore[union-attr]
                await asyncio.sleep(0.001)
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await cache.afetch("a", generate)

    leader = Threads([lambda: run(lead())])
    assert begun.wait(TIME_LIMIT)
    follower = Threads([lambda: cache.fetch("a", lambda: "a thread's")])

    assert "a thread's" == follower.join()[0].value
    leader.join()


def test_a_follower_that_is_cancelled_hurts_nobody() -> None:
    cache = LRUCache()
    complaints: list[Any] = []

    async def main() -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        generate = Generator()
        tasks = [asyncio.create_task(cache.afetch("a", generate)) for _ in range(10)]
        await settle()
        for task in tasks[3:6]:
            task.cancel()
        await settle()
        generate.may_end.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(main())
    assert [True] * 3 == [isinstance(result, asyncio.CancelledError) for result in results[3:6]]
    assert {"mesh"} == {lookup.value for lookup in results[:3] + results[6:]}
    assert 10 == cache.stats().lookups
    assert [] == complaints


def test_a_cancelled_followers_flight_may_fail_without_a_complaint() -> None:
    cache = LRUCache()
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        generate = Generator(GenerationFailedError("no luck"))
        leader, follower = (asyncio.create_task(cache.afetch("a", generate)) for _ in range(2))
        await settle()
        follower.cancel()
        await settle()
        generate.may_end.set()
        with pytest.raises(GenerationFailedError):
            await leader
        await settle()

    run(main())
    assert [] == complaints


def test_a_followers_time_limit() -> None:
    cache = LRUCache()

    async def main() -> Any:
        generate = Generator()
        leader = asyncio.create_task(cache.afetch("a", generate))
        await settle()
        with pytest.raises(FlightTimeoutError):
            await cache.afetch("a", generate, wait_seconds=0.01)
        generate.may_end.set()
        return await leader

    assert "miss" == run(main()).outcome
    assert (1, 1) == (cache.stats().misses, cache.stats().coalesced)


def test_different_keys_never_wait_for_each_other() -> None:
    cache = LRUCache()

    async def main() -> list[Any]:
        slow, quick = Generator(), Generator("quick")
        quick.may_end.set()
        leader = asyncio.create_task(cache.afetch("slow", slow))
        await settle()
        others = await asyncio.gather(*(cache.afetch(number, quick) for number in range(20)))
        assert not leader.done()
        slow.may_end.set()
        await leader
        return others

    assert ["quick"] * 20 == [lookup.value for lookup in run(main())]


@pytest.mark.parametrize("through", ["itself", "a task", "a task of a task", "a thread", "the loop's own thread"])
def test_a_generation_that_asks_for_its_own_key_does_not_wait_for_itself(through: str) -> None:
    cache = LRUCache()

    async def inner() -> str:
        return "inner"

    async def ask() -> Any:
        return await cache.afetch("a", inner)

    async def generate() -> str:
        if through == "itself":
            lookup = await ask()
        elif through == "a task":
            lookup = await asyncio.create_task(ask())
        elif through == "a task of a task":
            lookup = await asyncio.wait_for(asyncio.shield(ask()), TIME_LIMIT)
        elif through == "a thread":
            lookup = await asyncio.to_thread(cache.fetch, "a", lambda: "inner")
        else:
            lookup = cache.fetch("a", lambda: "inner")
        return f"outer {lookup.value}"

    assert "outer inner" == run(cache.afetch("a", generate)).value
    assert "outer inner" == cache["a"]


def test_what_is_deleted_during_its_generation_is_delivered_and_not_stored() -> None:
    cache = LRUCache()

    async def main() -> list[Any]:
        generate = Generator()
        tasks = [asyncio.create_task(cache.afetch("a", generate)) for _ in range(3)]
        await settle()
        cache.delete("a")
        generate.may_end.set()
        return await asyncio.gather(*tasks)

    lookups = run(main())
    assert ["mesh"] * 3 == [lookup.value for lookup in lookups]
    assert [False] * 3 == [lookup.stored for lookup in lookups]
    assert "a" not in cache


def test_modes_are_those_of_fetch() -> None:
    cache = LRUCache()

    async def generate() -> str:
        return "mesh"

    async def main() -> list[str]:
        outcomes = [
            (await cache.afetch("a", generate, mode=mode)).outcome
            for mode in ("bypass", "default", "default", "refresh", "only_if_cached")
        ]
        with pytest.raises(NotCachedError):
            await cache.afetch("b", generate, mode="only_if_cached")
        return outcomes  # type: ignore[return-value]

    assert ["bypass", "miss", "hit", "miss", "hit"] == run(main())
    assert {"cold": 2, "invalidated": 1} == {k: v for k, v in cache.stats().miss_reasons.items() if v}


def test_a_loop_that_ends_with_followers_in_it_leaves_the_leader_alone() -> None:
    cache = LRUCache()
    begun, may_end = threading.Event(), threading.Event()

    def generate() -> str:
        begun.set()
        assert may_end.wait(TIME_LIMIT)
        return "mesh"

    async def never() -> str:
        raise AssertionError("generated again")

    async def leave() -> None:
        asyncio.create_task(cache.afetch("a", never)).set_name("left behind")
        await settle()

    leader = Threads([lambda: cache.fetch("a", generate)])
    assert begun.wait(TIME_LIMIT)
    run(leave())
    may_end.set()
    assert "mesh" == leader.join()[0].value
    assert "mesh" == cache["a"]


@pytest.mark.parametrize("decorated", [False, True])
def test_a_result_that_is_not_kept_answers_its_leader_alone(decorated: bool) -> None:
    cache = LRUCache()
    calls: list[str] = []
    may_end = asyncio.Event()

    async def generate() -> str:
        calls.append(f"for caller {len(calls) + 1}")
        own = calls[-1]
        await may_end.wait()
        return own

    @cached_result(cache=cache, store_if=lambda value: False)
    async def function() -> str:
        return await generate()

    async def fetch() -> str:
        return (await cache.afetch("a", generate, store_if=lambda value: False)).value

    async def main() -> list[str]:
        tasks = [asyncio.ensure_future(function() if decorated else fetch()) for _ in range(5)]
        await settle()
        assert 1 == len(calls)
        may_end.set()
        return await asyncio.gather(*tasks)

    assert [f"for caller {number}" for number in range(1, 6)] == sorted(run(main()))
    assert (1, 0, 4) == (cache.stats().misses, cache.stats().coalesced, cache.stats().bypass_reasons["uncacheable"])
