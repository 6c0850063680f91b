"""No wait is for ever, no result is shared that can be read once, and nothing is kept alive that is over."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import io
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recoup.cache import ConcurrencyLimiter, LRUCache, cached_result
from recoup.errors import OneShotResultError, SelfDependencyError

from .support import TIME_LIMIT, Threads, together, wait_until


class Thing:
    """Can be referred to weakly."""


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_flight_whose_event_loop_was_closed_is_led_anew() -> None:
    cache = LRUCache()
    kept: list[Any] = []

    @cached_result(cache=cache)
    async def function(x: int) -> int:
        if not kept:
            kept.append(asyncio.current_task())
            await asyncio.Event().wait()
        return x

    loop = asyncio.new_event_loop()
    task = loop.create_task(function(1))
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert 1 == asyncio.run(asyncio.wait_for(function(1), TIME_LIMIT))
    kept.clear()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # the very thing that the test is about


def test_a_follower_of_a_flight_whose_event_loop_is_closed_leads() -> None:
    cache = LRUCache()
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def never() -> str:
        begun.set()
        await asyncio.Event().wait()
        return "never"

    task = loop.create_task(cache.afetch("a", never))
    loop.run_until_complete(asyncio.sleep(0))
    assert begun.is_set()
    follower = Threads([lambda: cache.fetch("a", lambda: "mesh")])
    wait_until(lambda: bool(cache._state.flights.get("a").future._condition._waiters))  # type: ignore[union-attr]
    loop.close()

    assert "mesh" == follower.join()[0].value
    task._log_destroy_pending = False  # type: ignore[attr-defined]


class TestOwnResult:
    def test_a_generation_that_asks_for_its_own_key_through_a_pool_is_told(self) -> None:
        cache = LRUCache()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:

            @cached_result(cache=cache)
            def function(x: int) -> int:
                return pool.submit(function, x).result()

            with pytest.raises(SelfDependencyError, match="waits for its own result"):
                Threads([lambda: function(1)]).join()

    def test_through_a_thread_of_its_own(self) -> None:
        cache = LRUCache()
        errors: list[BaseException] = []

        @cached_result(cache=cache)
        def function(x: int) -> int:
            def again() -> None:
                try:
                    function(x)
                except SelfDependencyError as error:
                    errors.append(error)

            thread = threading.Thread(target=again)
            thread.start()
            thread.join(TIME_LIMIT)
            return x

        assert [1] == together(lambda: function(1))
        assert 1 == len(errors)

    def test_through_the_pool_of_an_event_loop(self) -> None:
        cache = LRUCache()

        @cached_result(cache=cache)
        async def function(x: int) -> Any:
            return await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(function(x)))

        with pytest.raises(SelfDependencyError):
            asyncio.run(asyncio.wait_for(function(1), TIME_LIMIT))

    def test_two_generations_that_ask_for_each_others_results(self) -> None:
        cache = LRUCache()
        both = threading.Barrier(2)

        def generate(own: str, other: str, first: list[bool]) -> str:
            if first:
                first.clear()
                both.wait(TIME_LIMIT)
                return own + str(cache.fetch(other, lambda: "past").value)
            return own

        a, b = [True], [True]
        lookups = together(
            lambda: cache.fetch("a", lambda: generate("a", "b", a)),
            lambda: cache.fetch("b", lambda: generate("b", "a", b)),
        )
        assert {"miss"} == {lookup.outcome for lookup in lookups}
        assert {"uncacheable": 1} == {why: n for why, n in cache.stats().bypass_reasons.items() if n}

    def test_endless_recursion_is_called_by_its_name(self) -> None:
        @cached_result(cache=LRUCache())
        def function(x: int) -> Any:
            return function(x)

        with pytest.raises(SelfDependencyError, match="again and again"):
            function(1)

    def test_endless_recursion_over_many_keys_is_a_recursion_error(self) -> None:
        @cached_result(cache=LRUCache())
        def function(x: int) -> Any:
            return function(x + 1)

        with pytest.raises(RecursionError):
            function(1)


class TestForks:
    def in_a_child(self, work: Callable[[], bool]) -> None:
        child = os.fork()
        if not child:
            try:
                os._exit(0 if work() else 3)
            finally:
                os._exit(4)
        pause = threading.Event()
        for _ in range(int(TIME_LIMIT / 0.01)):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                assert 0 == os.waitstatus_to_exitcode(status)
                return
            pause.wait(0.01)
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_child_has_the_entries_and_none_of_the_flights(self) -> None:
        cache = LRUCache()
        limiter = ConcurrencyLimiter(1, 0)
        cache.register("llm", limiter)
        cache["held"] = 1
        begun, may_end = threading.Event(), threading.Event()

        def slow() -> str:
            begun.set()
            assert may_end.wait(TIME_LIMIT)
            return "parent's"

        leader = Threads([lambda: cache.fetch("a", slow, pipeline="llm", limiter=limiter)])
        assert begun.wait(TIME_LIMIT)

        def work() -> bool:
            lookup = cache.fetch("a", lambda: "child's", pipeline="llm", limiter=limiter)
            stats = cache.stats()
            return (lookup.value, cache["held"], stats.generations_in_progress) == ("child's", 1, 0)

        self.in_a_child(work)
        may_end.set()
        assert "parent's" == leader.join()[0].value

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_fork_under_writes_leaves_a_whole_cache(self) -> None:
        cache = LRUCache(max_size=50)
        over = threading.Event()

        def write() -> None:
            number = 0
            while not over.is_set():
                cache[number % 100] = number
                number += 1

        writers = Threads([write] * 3)

        def work() -> bool:
            cache["child"] = 1
            stats = cache.stats()
            return stats.entries == len(cache) == len(cache.entries(limit=100)) and cache["child"] == 1

        try:
            for _ in range(10):
                self.in_a_child(work)
        finally:
            over.set()
        writers.join()


class TestOneShotResults:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: (x for x in [1]),
            lambda: iter([1]),
            lambda: map(str, [1]),
            lambda: io.BytesIO(b"x"),
            lambda: open(os.devnull),  # noqa: SIM115
            lambda: asyncio.sleep(0),
        ],
        ids=["generator", "iterator", "map", "stream", "file", "coroutine"],
    )
    def test_they_are_refused(self, make: Callable[[], Any]) -> None:
        cache = LRUCache()
        made: list[Any] = []

        def function() -> Any:
            made.append(make())
            return made[-1]

        for ask in (cached_result(cache=cache)(function), lambda: cache.fetch("a", function)):
            with pytest.raises(OneShotResultError, match=r"read only once|coroutine"):
                ask()
        assert 0 == len(cache)
        for result in made:
            getattr(result, "close", bool)()

    def test_of_coroutine_functions_too(self) -> None:
        @cached_result(cache=LRUCache())
        async def function() -> Any:
            return iter([1])

        with pytest.raises(OneShotResultError):
            asyncio.run(function())


class TestErrors:
    def test_thirty_followers_do_not_grow_one_traceback(self) -> None:
        cache = LRUCache()
        may_fail = threading.Event()

        class OddError(ValueError):
            def __init__(self, one: int, *, other: int) -> None:
                super().__init__(f"{one} and {other}")
                self.other = other

        def generate() -> None:
            assert may_fail.wait(TIME_LIMIT)
            raise OddError(1, other=2)

        asking = Threads([lambda: cache.fetch("a", generate)] * 30)
        wait_until(lambda: len(cache._state.flights.get("a").future._condition._waiters) == 29)  # type: ignore[union-attr]
        may_fail.set()
        errors = asking.settle().errors

        (leaders,) = [error for error in errors if error is not None and error.__cause__ is None]
        followers = [error for error in errors if error is not leaders]
        assert {(OddError, "1 and 2", 2, leaders)} == {(type(e), str(e), e.other, e.__cause__) for e in followers}  # type: ignore[union-attr]
        assert 30 == len(set(map(id, errors)))

    @pytest.mark.usefixtures("_no_collector")
    def test_a_failed_call_keeps_nothing_alive(self) -> None:
        cache = LRUCache()
        gone: list[weakref.ref[Thing]] = []

        @cached_result(cache=cache, key=lambda thing: 1)
        def function(thing: Thing) -> None:
            raise ValueError("no luck")

        @cached_result(cache=cache, key=lambda thing: 2)
        async def afunction(thing: Thing) -> None:
            raise ValueError("no luck")

        def call(ask: Callable[[Thing], Any]) -> None:
            thing = Thing()
            gone.append(weakref.ref(thing))
            with pytest.raises(ValueError, match="no luck"):
                ask(thing)

        call(function)
        call(lambda thing: asyncio.run(afunction(thing)))
        cache.configure(enabled=False)
        call(function)
        # The event loop of `asyncio.run` has cycles of its own; what the cache holds is gone without the collector.
        assert [None, None] == [gone[0](), gone[2]()]

    def test_a_task_that_outlives_its_generation_keeps_no_result(self) -> None:
        cache = LRUCache()

        async def main() -> None:
            over = asyncio.Event()
            tasks = []

            async def generate() -> Thing:
                tasks.append(asyncio.create_task(over.wait()))
                await asyncio.sleep(0)
                return Thing()

            gone = weakref.ref((await cache.afetch("a", generate)).value)
            cache.clear()
            gc.collect()
            assert gone() is None
            over.set()
            await asyncio.gather(*tasks)

        asyncio.run(main())
