"""Results near their end and past it: at once and generated anew behind, instead of an error, ahead of their expiry."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from recoup import LRUCache
from recoup.cache import Staleness
from recoup.errors import (
    FlightTimeoutError,
    GenerationTimeoutError,
    QueueFullError,
    UnprocessableError,
    UpstreamError,
    UpstreamRefusedError,
)

from .refreshing import BOTH, IF_ERROR, WHILE_REVALIDATING, Refreshing, ask, fail, seen
from .support import Threads, assert_consistent, wait_until


@pytest.fixture
def cache(make_cache: Any) -> LRUCache:
    cache: LRUCache = make_cache(ttl_seconds=100)
    return cache


@pytest.fixture
def begin(cache: LRUCache) -> Refreshing:
    return Refreshing(cache)


class TestWhileRevalidating:
    def test_a_stale_result_answers_at_once_and_is_generated_anew_behind(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, generate=clock.costing(2.0, "old"))
        clock.advance(130)
        lookup = ask(cache, begin, generate=lambda: pytest.fail("in the caller's thread"))

        assert ("old", "stale", 130.0, -30.0) == (
            lookup.value,
            lookup.outcome,
            lookup.age_seconds,
            lookup.expires_in_seconds,
        )
        assert ["stale"] == [claim.cause for claim in begin.claims]
        assert begin.run(clock.costing(3.0, "new")) is True
        assert ("new", "hit") == seen(ask(cache, begin))
        stats = cache.pipeline_stats("default")
        assert (1, 1, 2.0) == (stats.misses, stats.stale, stats.spent_seconds["miss"])
        assert (3.0, 1) == (stats.spent_seconds["refresh"], stats.refreshes["stale", "stored"])
        assert_consistent(cache)

    def test_it_is_one_generation_however_many_ask(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(101)

        assert {"stale"} == {ask(cache, begin).outcome for _ in range(100)}
        assert 1 == len(begin.claims)
        assert (100, 100 / 101) == (cache.stats().stale, cache.stats().hit_ratio)

    def test_past_its_time_it_is_a_miss(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(100 + 60)
        lookup = ask(cache, begin)

        assert ("miss", "expired") == (lookup.outcome, lookup.reason)
        assert [] == begin.claims

    def test_what_fails_is_not_asked_for_by_each_hit(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, Staleness(while_revalidate_seconds=1000))
        clock.advance(101)
        tried = []
        for _ in range(300):
            ask(cache, begin)
            if begin.claims:
                tried.append(clock.now - 1101)
                assert begin.run(fail(UpstreamError("dead"))) is False
            clock.advance(0.5)

        assert [0, 1, 3, 7, 15, 31, 63, 123] == tried
        assert 8 == cache.stats().refreshes["stale", "failed"] == cache.stats().generation_failures["upstream"]
        assert (300, 1) == (cache.stats().stale, cache.stats().misses)

    def test_the_upstream_may_ask_for_a_longer_pause(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)
        begin.run(fail(UpstreamError("busy", status=503, retry_after_seconds=30)))
        clock.advance(29)
        ask(cache, begin)
        assert [] == begin.claims
        clock.advance(1)
        ask(cache, begin)
        assert 1 == len(begin.claims)

    def test_a_claim_that_is_given_back_is_due_again_soon(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)
        cache.release_refresh(begin.claims.pop())
        clock.advance(1)
        ask(cache, begin)

        assert 1 == len(begin.claims)

    def test_who_wants_no_stale_result_generates(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, generate=lambda: "old")
        clock.advance(101)

        assert ("new", "miss") == seen(ask(cache, begin, generate=lambda: "new", allow_stale=False))

    def test_nothing_is_generated_for_who_takes_only_what_is_stored(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin)
        clock.advance(101)

        assert "stale" == ask(cache, begin, mode="only_if_cached").outcome
        assert [] == begin.claims

    def test_a_mapping_s_reads_know_nothing_stale(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(101)

        assert (None, False, 1) == (cache.get("a"), "a" in cache, len(cache))
        assert "stale" == ask(cache, begin).outcome

    def test_a_caller_who_misses_shares_a_refresh_in_progress(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)
        asked, go_on = threading.Event(), threading.Event()

        def generate() -> str:
            asked.set()
            assert go_on.wait(30)
            return "new"

        refresh = Threads([lambda: begin.run(generate)])
        assert asked.wait(30)
        follower = Threads([lambda: ask(cache, begin, allow_stale=False)])
        wait_until(lambda: bool(cache._state.flights.get("a").future._condition._waiters))  # type: ignore[union-attr]
        go_on.set()

        assert [True] == refresh.join()
        assert ("new", "coalesced") == seen(follower.join()[0])
        assert 2 == cache.stats().generations

    def test_the_caches_own_thread_refreshes_where_nobody_else_does(self, cache: LRUCache, clock: Any) -> None:
        cache.fetch("a", lambda: "old", staleness=WHILE_REVALIDATING)
        clock.advance(101)
        threads = []

        def generate() -> str:
            threads.append(threading.current_thread().name)
            return "new"

        assert "old" == cache.fetch("a", generate, staleness=WHILE_REVALIDATING).value
        wait_until(lambda: cache.get("a") == "new")
        assert ["recoup-refresh"] == threads

    def test_so_does_a_task_of_its_own(self, cache: LRUCache, clock: Any) -> None:
        async def scenario() -> tuple[Any, Any]:
            async def old() -> str:
                return "old"

            async def new() -> str:
                tasks.append(asyncio.current_task())
                return "new"

            tasks: list[Any] = []
            await cache.afetch("a", old, staleness=WHILE_REVALIDATING)
            clock.advance(101)
            stale = await cache.afetch("a", new, staleness=WHILE_REVALIDATING)
            assert [] == tasks
            while cache.get("a") is None:
                await asyncio.sleep(0)
            assert asyncio.current_task() not in tasks
            return stale, await cache.afetch("a", old)

        stale, hit = asyncio.run(scenario())
        assert ("old", "stale", "new", "hit") == (stale.value, stale.outcome, hit.value, hit.outcome)

    def test_a_task_that_is_cancelled_before_it_begins_gives_its_claim_back(self, cache: LRUCache, clock: Any) -> None:
        async def scenario() -> None:
            async def generate() -> str:
                return "generated"

            await cache.afetch("a", generate, staleness=WHILE_REVALIDATING)
            clock.advance(101)
            await cache.afetch("a", generate, staleness=WHILE_REVALIDATING)
            (task,) = asyncio.all_tasks() - {asyncio.current_task()}
            task.cancel()
            await asyncio.wait({task})

        asyncio.run(scenario())
        assert 0 == len(cache._state.refreshes)


class TestInvalidated:
    @pytest.mark.parametrize("how", ["delete", "clear", "purge"])
    def test_a_refresh_never_puts_back_what_was_taken_out_meanwhile(
        self, cache: LRUCache, begin: Refreshing, clock: Any, how: str
    ) -> None:
        take_out = {
            "delete": lambda: cache.delete("a"),
            "clear": lambda: cache.clear(),
            "purge": lambda: cache.purge(["g"]),
        }[how]
        ask(cache, begin, groups=["g"])
        clock.advance(101)
        ask(cache, begin)

        def generate() -> str:
            take_out()
            return "from before"

        assert begin.run(generate, groups=["g"]) is False
        assert 0 == len(cache)
        lookup = ask(cache, begin)
        assert ("miss", "invalidated") == (lookup.outcome, lookup.reason)
        assert 1 == cache.stats().refreshes["stale", "failed"]

    @pytest.mark.parametrize("how", ["delete", "purge"])
    def test_a_refresh_that_waits_for_its_turn_does_not_begin_after_it(
        self, cache: LRUCache, begin: Refreshing, clock: Any, how: str
    ) -> None:
        ask(cache, begin, groups=["g"])
        clock.advance(101)
        ask(cache, begin)
        cache.purge(["g"]) if how == "purge" else cache.delete("a")

        assert begin.run(lambda: pytest.fail("generated")) is False
        assert {0} == set(cache.stats().refreshes.values())

    def test_what_was_purged_softly_is_stale_and_generated_anew(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, groups=["g"], generate=lambda: "old")
        clock.advance(10)
        cache.purge(["g"], soft=True)
        clock.advance(1)
        lookup = ask(cache, begin)

        assert ("old", "stale", -1.0) == (lookup.value, lookup.outcome, lookup.expires_in_seconds)
        assert begin.run(lambda: "new", groups=["g"]) is True
        assert "hit" == ask(cache, begin).outcome

    def test_a_refresh_that_was_purged_softly_meanwhile_is_stored_as_stale(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, groups=["g"])
        clock.advance(101)
        ask(cache, begin)

        def generate() -> str:
            cache.purge(["g"], soft=True)
            return "from before"

        assert begin.run(generate, groups=["g"]) is True
        lookup = ask(cache, begin)
        assert ("from before", "stale") == (lookup.value, lookup.outcome)
        assert 1 == len(begin.claims)

    def test_what_somebody_stored_meanwhile_is_newer(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)

        def generate() -> str:
            cache.set("a", "newer")
            return "older"

        assert begin.run(generate) is False
        assert "newer" == cache["a"]

    def test_deleting_what_still_answers_says_that_it_was_there(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin)
        clock.advance(101)

        assert cache.delete("a") is True
        assert 1 == cache.stats().invalidations["deleted"]


class TestIfError:
    @pytest.mark.parametrize(
        "error",
        [UpstreamError("dead"), GenerationTimeoutError("late"), QueueFullError("full"), OSError("gone")],
        ids=lambda error: type(error).__name__,
    )
    def test_a_stale_result_stands_in_for_an_error(
        self, cache: LRUCache, begin: Refreshing, clock: Any, error: Exception
    ) -> None:
        ask(cache, begin, IF_ERROR, generate=clock.costing(2.0, "old"))
        clock.advance(150)
        lookup = ask(cache, begin, IF_ERROR, generate=fail(error))

        assert ("old", "stale", -50.0) == (lookup.value, lookup.outcome, lookup.expires_in_seconds)
        stats = cache.stats()
        assert (1, 1, 2) == (stats.misses, stats.stale, stats.lookups)
        assert (1, 2.0) == (sum(stats.generation_failures.values()), stats.recouped_seconds)

    @pytest.mark.parametrize(
        "error",
        [UpstreamRefusedError("no", status=404), UnprocessableError("no")],
        ids=lambda error: type(error).__name__,
    )
    def test_it_stands_in_for_no_refusal(
        self, cache: LRUCache, begin: Refreshing, clock: Any, error: Exception
    ) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(150)

        with pytest.raises(type(error)):
            ask(cache, begin, IF_ERROR, generate=fail(error))
        assert (2, 0) == (cache.stats().misses, cache.stats().stale)
        assert {"cold": 1, "expired": 1} == {name: n for name, n in cache.stats().miss_reasons.items() if n}

    def test_nor_past_its_time(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(160)

        with pytest.raises(UpstreamError):
            ask(cache, begin, IF_ERROR, generate=fail(UpstreamError("dead")))

    @pytest.mark.parametrize("options", [{"mode": "refresh"}, {"allow_stale": False}, {"mode": "bypass"}])
    def test_nor_for_who_wants_a_new_one(self, cache: LRUCache, begin: Refreshing, clock: Any, options: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(150)

        with pytest.raises(UpstreamError):
            ask(cache, begin, IF_ERROR, generate=fail(UpstreamError("dead")), **options)
        assert "stale" == ask(cache, begin, IF_ERROR, generate=fail(UpstreamError("dead"))).outcome

    def test_what_succeeds_is_a_miss(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(150)
        lookup = ask(cache, begin, IF_ERROR, generate=lambda: "new")

        assert ("new", "miss", "expired") == (lookup.value, lookup.outcome, lookup.reason)
        assert (2, 0) == (cache.stats().misses, cache.stats().stale)

    def test_after_an_error_the_next_are_answered_at_once(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(101)
        asked = []

        def dead() -> str:
            asked.append(clock.now)
            raise UpstreamError("dead")

        assert {"stale"} == {ask(cache, begin, IF_ERROR, generate=dead).outcome for _ in range(50)}
        assert (1, []) == (len(asked), begin.claims)
        clock.advance(1)
        assert "stale" == ask(cache, begin, IF_ERROR, generate=dead).outcome
        assert begin.run(lambda: "back", IF_ERROR) is True
        assert ("back", "hit") == seen(ask(cache, begin))

    def test_an_error_of_long_ago_is_none_of_now(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        long = Staleness(if_error_seconds=10_000)
        ask(cache, begin, long)
        clock.advance(101)
        ask(cache, begin, long, generate=fail(UpstreamError("dead")))
        clock.advance(1000)

        assert "miss" == ask(cache, begin, long, generate=lambda: "new").outcome

    def test_followers_are_answered_with_it_too(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(150)
        asked, go_on = threading.Event(), threading.Event()

        def dead() -> str:
            asked.set()
            assert go_on.wait(30)
            raise UpstreamError("dead")

        leader = Threads([lambda: ask(cache, begin, IF_ERROR, generate=dead)])
        assert asked.wait(30)
        followers = Threads([lambda: ask(cache, begin, IF_ERROR)] * 5)
        wait_until(lambda: len(cache._state.flights.get("a").future._condition._waiters) == 5)  # type: ignore[union-attr]
        go_on.set()

        assert ["stale"] * 6 == [lookup.outcome for lookup in (*leader.join(), *followers.join())]
        assert (6, 0, 1) == (cache.stats().stale, cache.stats().coalesced, cache.stats().misses)

    def test_and_so_is_who_waited_too_long(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, IF_ERROR)
        clock.advance(150)
        seen: list[Any] = []

        def slow() -> str:
            seen.extend(Threads([lambda: ask(cache, begin, IF_ERROR, wait_seconds=0.0)]).join())
            with pytest.raises(FlightTimeoutError):
                Threads([lambda: ask(cache, begin, IF_ERROR, wait_seconds=0.0, allow_stale=False)]).join()
            return "new"

        assert "new" == ask(cache, begin, IF_ERROR, generate=slow).value
        assert ["stale"] == [lookup.outcome for lookup in seen]
        assert (1, 1) == (cache.stats().stale, cache.stats().coalesced)

    def test_what_the_upstream_refuses_leaves_the_stale_result_its_time(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        """A refusal is no error: past the time for revalidation, its caller gets it."""
        ask(cache, begin, BOTH)
        clock.advance(105)
        ask(cache, begin, BOTH)
        assert begin.run(fail(UpstreamRefusedError("no", status=403)), BOTH) is False
        assert "stale" == ask(cache, begin, BOTH).outcome
        clock.advance(6)
        with pytest.raises(UpstreamRefusedError):
            ask(cache, begin, BOTH, generate=fail(UpstreamRefusedError("no", status=403)))


class TestMemory:
    def test_what_is_kept_past_its_time_counts_as_held_and_then_goes(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=100, sizer=len)
        for key in range(100):
            cache.fetch(key, lambda: b"x" * 1000, staleness=BOTH)
        held = cache.stats().memory_bytes
        clock.advance(159)
        assert (100, held) == (cache.stats().entries, cache.stats().memory_bytes)
        clock.advance(1)

        assert (0, 0, 100) == (cache.stats().entries, cache.stats().memory_bytes, cache.stats().evictions["expired"])

    def test_writes_let_go_of_it_in_time(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=100)
        for key in range(100):
            cache.fetch(key, lambda: 1, staleness=BOTH if key % 2 else WHILE_REVALIDATING)
        clock.advance(160)
        for _ in range(200):
            cache.set("hot", 1)

        assert 1 == len(cache)

    def test_only_entries_that_may_answer_stale_pay_for_it(self, make_cache: Any) -> None:
        cache = make_cache()
        cache.fetch("plain", lambda: b"x")
        cache.fetch("stale", lambda: b"x", staleness=BOTH)
        plain, stale = (cache.inspect(key)["size_bytes"] for key in ("plain", "stale"))

        assert 0 < stale - plain <= 128

    def test_a_stale_answer_is_a_use(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(max_size=2, ttl_seconds=100)
        begin = Refreshing(cache)
        ask(cache, begin)
        cache.fetch("b", lambda: 1, staleness=WHILE_REVALIDATING)
        clock.advance(101)
        ask(cache, begin)
        cache.set("c", 1)

        assert ["c", "a"] == [entry["key"] for entry in cache.entries()]
        assert 1 == next(entry["hits"] for entry in cache.entries() if entry["key"] == "a")


def test_a_child_process_refreshes_for_itself(cache: LRUCache, begin: Refreshing, clock: Any) -> None:
    ask(cache, begin)
    clock.advance(101)
    ask(cache, begin)
    child = os.fork()
    if not child:
        ask(cache, begin)
        os._exit(0 if len(begin.claims) == 2 else 1)
    assert (child, 0) == os.waitpid(child, 0)
