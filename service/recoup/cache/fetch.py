"""The one way through the cache: a hit, a stale result, somebody else's generation, one's own, or past it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from recoup.cache.bypassing import Bypasser
from recoup.cache.entry import CacheEntry
from recoup.cache.flights import Flight, FlightResult, depth
from recoup.cache.following import Follower
from recoup.cache.generating import GenerationRunner
from recoup.cache.leading import Leader, begin_lead
from recoup.cache.lookup_steps import Bypass, Follow, Joining, Lead, Request
from recoup.cache.read_path import ReadPath, TryHit
from recoup.cache.searching import Search, Searcher
from recoup.cache.state import CacheState
from recoup.cache.stats import BypassReason, Lookup, Outcome
from recoup.errors import NotCachedError, RecoupError, SelfDependencyError

_NEVER = float("inf")
#: How a lookup goes on; None: from the beginning.
Step = Lookup[Any] | Follow | Lead | Bypass | Search | None


class Fetcher:
    """Looks up, joins or leads a generation, stores and answers.

    A miss takes the lock twice: to look again, count and lead; and to count, store and let go of the flight. With a
    limiter it takes it a third time, when it is the generation's turn.

    Args:
        state: The cache's state.
        read_path: Its readers.
        try_hit: Gives the live entry of a key, counted as a hit, without a lock.
    """

    def __init__(self, state: CacheState, read_path: ReadPath, try_hit: TryHit) -> None:
        self._state = state
        self._read_path = read_path
        self._try_hit = try_hit
        runner = GenerationRunner(state)
        self._bypasser = Bypasser(state, runner)
        self._leader = Leader(state, runner)
        self._follower = Follower(state)
        self._searcher = Searcher(state, read_path)

    def fetch(self, request: Request, generate: Callable[[], Any]) -> Lookup[Any]:
        """See `ResultCache.fetch`."""
        while True:
            step: Step = self._begin(request, None)
            try:
                if isinstance(step, Search):
                    step = self._searcher.run(request, step)
                if step is None:
                    continue
                if isinstance(step, Lookup):
                    return step
                if isinstance(step, Bypass):
                    return self._bypasser.run(request, step, generate)
                if isinstance(step, Lead):
                    return self._leader.run(request, step, generate)
                result = self._follower.wait(step, request.wait_seconds)
                if self._follower.is_unshared(request, step, result):
                    return self._bypasser.run(request, self._past(request, "uncacheable"), generate)
                if step.is_answered(result):
                    return self._answer_follower(request, step, result)
            finally:
                # An error's traceback holds this frame, and a flight holds its error.
                del step

    async def afetch(self, request: Request, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        """See `ResultCache.afetch`."""
        while True:
            step: Step = self._begin(request, asyncio.current_task())
            try:
                if isinstance(step, Search):
                    step = await self._searcher.arun(request, step)
                if step is None:
                    continue
                if isinstance(step, Lookup):
                    return step
                if isinstance(step, Bypass):
                    return await self._bypasser.arun(request, step, generate)
                if isinstance(step, Lead):
                    return await self._leader.arun(request, step, generate)
                result = await self._follower.await_(step, request.wait_seconds)
                if self._follower.is_unshared(request, step, result):
                    return await self._bypasser.arun(request, self._past(request, "uncacheable"), generate)
                if step.is_answered(result):
                    return self._answer_follower(request, step, result)
            finally:
                del step

    def _answer_follower(self, request: Request, follow: Follow, result: FlightResult) -> Lookup[Any]:
        if result.tier is None:
            return self._follower.coalesced(follow.flight, result)
        return self._searcher.answered(request, result)

    # --- how a lookup begins

    def _begin(self, request: Request, task: asyncio.Task[Any] | None) -> Step:
        """The answer; or the flight to follow; or one to lead; or tiers to search; or to generate past the cache."""
        try:
            if request.mode == "bypass":
                return self._past(request, request.bypass_reason)
            if request.mode != "refresh":
                entry = self._try_hit(request.key)
                if entry is not None:
                    return self._answered(entry, "hit")
            dropped: list[CacheEntry[Any]] = []
            with self._state.lock:
                return self._begin_locked(request, task, dropped)
        except (RecoupError, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001  # fail open: the caller gets a result from the generator
            self._state.note_internal_error("lookup", error)
            return self._past(request, "error")

    def _begin_locked(self, request: Request, task: asyncio.Task[Any] | None, dropped: list[CacheEntry[Any]]) -> Step:
        key, pipeline, mode = request.key, request.pipeline, request.mode
        state = self._state
        if not state.config.enabled:
            bypass = self._past(request, "disabled")
            if mode == "only_if_cached":
                self._refuse()
            return bypass
        # Between this caller's look-up and the lock, another flight may have ended.
        now = state.clock()
        entry = state.store.purges.find(key, now)
        if entry is not None and mode != "refresh" and now < entry.expires_at:
            return self._answered(self._read_path.hit_locked(entry, now), "hit")
        alone = bool(state.unshared) and state.unshared.holds(key, now)
        flight = None if alone else state.flights.get(key)
        if flight is not None and flight.open_result is not None and not flight.open_result.joinable:
            self._state.unshare(flight, "too_large")
            flight, alone = None, True
        if (
            flight is not None
            and entry is not None
            and mode != "refresh"
            and now < entry.expires_at + state.stale_seconds
        ):
            return self._stale(entry, pipeline)
        searches = bool(state.tiers) and not alone and mode != "refresh"
        if mode == "only_if_cached" and not searches:
            state.count_miss(key, entry, pipeline, now)
            self._refuse()
        if mode == "only_if_cached" and flight is not None:
            # It waits for no generation, which the flight may be: so it searches the tiers for itself.
            flight, alone = None, True
        if flight is not None and flight.searches and mode == "refresh":
            # What is searched for is not what it wants, and must not be stored after what it brings.
            state.flights.detach(key)
            flight = None
        if flight is not None:
            # A generation that asks for its own key, in its own thread or task, would wait for itself for ever; and so
            # would two that ask for each other's.
            own = flight.is_led_by(threading.get_ident(), task)
            if own and depth(flight) > 1:
                state.store.of(pipeline).bypasses["uncacheable"] += 1
                raise SelfDependencyError(f"the generation of {key!r} asks for its own result, again and again")
            generating = None if own else state.flights.follow(flight)
            if generating is None:
                state.count_bypass(pipeline, "uncacheable")
                return Bypass("uncacheable", flight)
            epoch = state.store.groups.epoch
            return Follow(flight, generating, self._join(request, flight, epoch), epoch)
        grows = request.decide is not None or searches
        flight = Flight(key, pipeline, threading.get_ident(), task, request.groups, grows=grows)
        flight.searches = searches
        if alone:
            state.flights.begin_alone(flight)
        else:
            state.flights.begin(flight)
        if searches:
            return Search(flight)
        try:
            return begin_lead(state, request, flight, entry, now, dropped)
        except BaseException:
            state.flights.leave(flight)  # nobody has joined: the lock is held
            raise

    def _past(self, request: Request, reason: BypassReason) -> Bypass:
        self._state.count_bypass(request.pipeline, reason)
        return Bypass(reason)

    def _refuse(self) -> NoReturn:
        raise NotCachedError("the request takes a stored result or none, and there is none")

    def _answered(self, entry: CacheEntry[Any], outcome: Outcome) -> Lookup[Any]:
        now = self._state.clock()
        left = entry.expires_at - now
        return Lookup(
            entry.value,
            outcome,
            cost_seconds=entry.cost_seconds,
            price=entry.price,
            age_seconds=max(0.0, now - entry.created_at),
            expires_in_seconds=None if left == _NEVER else left,
        )

    def _stale(self, entry: CacheEntry[Any], pipeline: str) -> Lookup[Any]:
        counters = self._state.store.of(pipeline)
        counters.stale += 1
        counters.count_recouped(entry.cost_seconds, entry.price)
        entry.hits += 1  # it was of use: it is not evicted unused
        return self._answered(entry, "stale")

    def _join(self, request: Request, flight: Flight, epoch: int) -> Joining | None:
        """Let a follower that need not wait for the end have what is there, now or once it is. Under the lock."""
        if request.on_open is None:
            return None
        joining = Joining(request.on_open)
        if flight.open_result is None:
            flight.joining.append((epoch, joining))
        else:
            joining(flight.open_result)
        return joining
