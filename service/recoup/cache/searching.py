"""Searching tiers: one look-up for all callers of a key, within the flight that a generation would follow in."""

from __future__ import annotations

from typing import Any, NamedTuple

from recoup.cache.entry import CacheEntry
from recoup.cache.flights import ABANDONED, Flight, FlightResult
from recoup.cache.leading import begin_lead
from recoup.cache.lookup_steps import Lead, Request
from recoup.cache.read_path import ReadPath
from recoup.cache.state import CacheState
from recoup.cache.stats import Lookup
from recoup.cache.tiering import Found
from recoup.errors import NotCachedError

_NEVER = float("inf")


class Search(NamedTuple):
    """Look a key up in the tiers, for everybody who follows the flight. Nothing has been counted yet."""

    flight: Flight


class Searcher:
    """Searches tiers.

    Args:
        state: The cache's state.
        read_path: Counts hits.
    """

    def __init__(self, state: CacheState, read_path: ReadPath) -> None:
        self._state = state
        self._read_path = read_path

    def run(self, request: Request, search: Search) -> Lookup[Any] | Lead | None:
        """The answer; or the generation to lead; None: look again, because something was invalidated meanwhile."""
        try:
            found = self._state.tiers.find(request.key, request.pipeline)
        except BaseException:
            self._abandon(search.flight)
            raise
        return self._end(request, search.flight, found)

    async def arun(self, request: Request, search: Search) -> Lookup[Any] | Lead | None:
        """`run` for coroutines."""
        try:
            found = await self._state.tiers.afind(request.key, request.pipeline)
        except BaseException:
            self._abandon(search.flight)
            raise
        return self._end(request, search.flight, found)

    def _end(self, request: Request, flight: Flight, found: Found | None) -> Lookup[Any] | Lead | None:
        """End the search under the lock; an error of the cache's own is noted where the lookup began."""
        dropped: list[CacheEntry[Any]] = []
        try:
            if found is None:
                return self._not_found(request, flight, dropped)
            size = self._state.size_of(request.key, found.entry.value)
            return self._found(request, flight, found, size, dropped)
        except BaseException:
            self._abandon(flight)
            raise

    def _abandon(self, flight: Flight) -> None:
        """Let others look for themselves."""
        with self._state.lock:
            self._state.flights.leave(flight)
        if not flight.future.done():
            flight.future.set_result(ABANDONED)

    def _not_found(self, request: Request, flight: Flight, dropped: list[CacheEntry[Any]]) -> Lead | None:
        state = self._state
        with state.lock:
            if flight.detached or flight.outdated:
                self._abandon(flight)
                return None
            now = state.clock()
            entry = state.store.purges.find(request.key, now)
            if request.mode == "only_if_cached":
                state.count_miss(request.key, entry, request.pipeline, now)
                raise NotCachedError("the request takes a stored result or none, and there is none")
            # What was purged during the search does not concern the generation, which begins now.
            flight.noted.clear()
            flight.groups, flight.grows = frozenset(request.groups), request.decide is not None
            flight.searches = False
            return begin_lead(state, request, flight, entry, now, dropped)

    def _found(
        self, request: Request, flight: Flight, found: Found, size: int | None, dropped: list[CacheEntry[Any]]
    ) -> Lookup[Any] | Lead | None:
        state, result = self._state, found.entry
        with state.lock:
            # What was invalidated since the search began may be what was found.
            state.flights.learn(flight, result.groups)
            if flight.detached or flight.outdated:
                self._abandon(flight)
                return None
            age, left = state.tiers.ages(result)
            is_live = left is None or left > 0
            now = state.clock()
            if left is None or left + state.stale_seconds > 0:
                state.put(
                    request.key,
                    result.value,
                    size,
                    left,
                    result.cost_seconds,
                    request.pipeline,
                    dropped,
                    "too_large",
                    result.price,
                    result.groups,
                    age_seconds=age,
                )
                state.tiers.fill(found)
            if not is_live:
                return self._not_found(request, flight, dropped)
            answer = FlightResult(
                result.value,
                result.cost_seconds,
                left,
                price=result.price,
                tier=found.tier,
                created_at=now - age,
            )
            lookup = self._answered(request, answer)
            state.flights.leave(flight)
        flight.future.set_result(answer)
        return lookup

    def answered(self, request: Request, answer: FlightResult) -> Lookup[Any]:
        """The answer of a caller who waited for the search, counted as the hit that it is."""
        with self._state.lock:
            return self._answered(request, answer)

    def _answered(self, request: Request, answer: FlightResult) -> Lookup[Any]:
        state = self._state
        now = state.clock()
        entry = state.store.purges.find(request.key, now)
        if entry is None or entry.value is not answer.value:
            # There was no room for it in memory: counted as if it were there for this one hit.
            counters = state.store.of(request.pipeline)
            expires_at = _NEVER if answer.expires_in_seconds is None else now + answer.expires_in_seconds
            entry = CacheEntry(
                request.key, answer.value, counters, 0, answer.created_at, expires_at, answer.cost_seconds
            )
            counters.count_hits(1, answer.cost_seconds, answer.price)
            counters.hit_age.observe(now - answer.created_at)
            for observer in state.store.observers:
                observer.hits((entry,), (now,))
        else:
            self._read_path.hit_locked(entry, now)
        left = entry.expires_at - now
        return Lookup(
            answer.value,
            "hit",
            cost_seconds=answer.cost_seconds,
            price=answer.price,
            age_seconds=max(0.0, now - answer.created_at),
            expires_in_seconds=None if left == _NEVER else left,
            tier=answer.tier,
        )
