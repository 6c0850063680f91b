"""Refreshes: ahead of expiry, in front of nobody, and what becomes of the result that they were to replace."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from recoup import LRUCache
from recoup.cache import ConcurrencyLimiter, Staleness
from recoup.cache.open_results import Decision
from recoup.errors import (
    QueueFullError,
    UpstreamError,
)

from .refreshing import AHEAD, IF_ERROR, Refreshing, ask, fail, seen
from .support import Threads, wait_until


@pytest.fixture
def cache(make_cache: Any) -> LRUCache:
    cache: LRUCache = make_cache(ttl_seconds=100)
    return cache


@pytest.fixture
def begin(cache: LRUCache) -> Refreshing:
    return Refreshing(cache)


class TestAhead:
    def test_a_hit_late_in_its_life_is_generated_anew_behind(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, AHEAD, generate=lambda: "old")
        clock.advance(79.9)
        assert ("hit", 0) == (ask(cache, begin, AHEAD).outcome, len(begin.claims))
        clock.advance(0.1)
        assert {"hit"} == {ask(cache, begin, AHEAD).outcome for _ in range(10)}
        assert ["ahead"] == [claim.cause for claim in begin.claims]
        assert begin.run(lambda: "new", AHEAD) is True
        clock.advance(79.9)

        assert ("new", "hit") == seen(ask(cache, begin, AHEAD))
        assert (1, 1) == (cache.stats().refreshes["ahead", "stored"], cache.stats().invalidations["replaced"])
        assert [] == begin.claims

    def test_one_that_fails_leaves_the_hit_and_waits(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, AHEAD)
        clock.advance(80)
        ask(cache, begin, AHEAD)
        assert begin.run(fail(UpstreamError("dead")), AHEAD) is False
        assert ("hit", []) == (ask(cache, begin, AHEAD).outcome, begin.claims)
        clock.advance(1)
        ask(cache, begin, AHEAD)
        assert 1 == len(begin.claims)
        assert 1 == cache.stats().refreshes["ahead", "failed"]

    def test_what_never_expires_is_never_generated_anew(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=None)
        begin = Refreshing(cache)
        ask(cache, begin, AHEAD)
        clock.advance(10**9)

        assert ("hit", []) == (ask(cache, begin, AHEAD).outcome, begin.claims)

    def test_a_caller_s_own_attempt_that_fails_asks_for_nothing_behind_later_hits(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, IF_ERROR)
        with pytest.raises(UpstreamError):
            ask(cache, begin, IF_ERROR, mode="refresh", generate=fail(UpstreamError("dead")))
        clock.advance(50)

        assert ("hit", []) == (ask(cache, begin, IF_ERROR).outcome, begin.claims)


class TestWhatIsNotStored:
    def test_a_result_that_is_not_to_be_kept_leaves_the_older_one(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin, generate=lambda: "old")
        clock.advance(101)
        ask(cache, begin)

        assert begin.run(lambda: "an error in a 200", decide=lambda _: Decision(keep=False)) is False
        assert ("old", "stale") == seen(ask(cache, begin))

    def test_one_that_is_somebody_s_own_ends_the_older_one(
        self, cache: LRUCache, begin: Refreshing, clock: Any
    ) -> None:
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)

        assert begin.run(lambda: "private", decide=lambda _: Decision(share=False)) is False
        assert 0 == len(cache)

    def test_what_a_result_says_of_itself_goes_before(self, cache: LRUCache, begin: Refreshing, clock: Any) -> None:
        ask(cache, begin, decide=lambda _: Decision(ttl_seconds=5, staleness=Staleness(while_revalidate_seconds=7)))
        clock.advance(11.9)
        assert "stale" == ask(cache, begin).outcome
        clock.advance(0.1)
        assert "miss" == ask(cache, begin).outcome


class TestInFrontOfNobody:
    def test_a_refresh_waits_behind_all_callers(self, make_cache: Any, clock: Any) -> None:
        limiter, cache = ConcurrencyLimiter(1, 10), make_cache(ttl_seconds=100)
        begin, order = Refreshing(cache), []
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)
        entered, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            entered.set()
            assert go_on.wait(30)

        first = Threads([lambda: cache.fetch("x", hold, limiter=limiter)])
        assert entered.wait(30)
        refresh = Threads([lambda: begin.run(lambda: order.append("refresh"), limiter=limiter)])
        wait_until(lambda: len(limiter._waiters_behind) == 1)
        caller = Threads([lambda: cache.fetch("y", lambda: order.append("caller"), limiter=limiter)])
        wait_until(lambda: limiter.waiting == 1)
        go_on.set()
        for threads in (first, caller, refresh):
            threads.join()

        assert ["caller", "refresh"] == order
        assert (0, 0) == (limiter.in_progress, limiter._in_progress_behind)

    def test_refreshes_leave_half_of_the_places_to_callers(self) -> None:
        limiter = ConcurrencyLimiter(4, 2)
        assert [None, None] == [limiter.take_or_queue(behind=True) for _ in range(2)]
        turns = [limiter.take_or_queue(behind=True) for _ in range(2)]
        with pytest.raises(QueueFullError):
            limiter.take_or_queue(behind=True)
        assert [None, None] == [limiter.take_or_queue() for _ in range(2)]
        limiter.leave(1.0)
        assert [False, False] == [turn is not None and turn.done() for turn in turns]
        limiter.leave(1.0, behind=True)
        assert [True, False] == [turn is not None and turn.done() for turn in turns]
        assert 3 == limiter.in_progress

    def test_a_refresh_without_room_is_tried_again(self, make_cache: Any, clock: Any) -> None:
        limiter, cache = ConcurrencyLimiter(1, 0), make_cache(ttl_seconds=100)
        begin = Refreshing(cache)
        ask(cache, begin)
        clock.advance(101)
        ask(cache, begin)
        limiter.take_or_queue()
        limiter.take_or_queue(behind=True)

        assert begin.run(lambda: pytest.fail("generated"), limiter=limiter) is False
        assert {0} == set(cache.stats().refreshes.values())
        clock.advance(1)
        ask(cache, begin)
        assert 1 == len(begin.claims)
