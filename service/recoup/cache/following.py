"""Following a flight: wait for another caller's generation, and be answered with what it brings."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any

from recoup.cache.deadlocks import waits_for_this_thread
from recoup.cache.failures import own_error
from recoup.cache.flights import ABANDONED, Flight, FlightResult
from recoup.cache.lookup_steps import Follow, Joining, Request
from recoup.cache.stale_answers import answer_instead
from recoup.cache.state import CacheState
from recoup.cache.stats import Lookup
from recoup.errors import FlightTimeoutError, SelfDependencyError

_NEVER = float("inf")
#: Seconds after which a caller who waits looks at whether its wait can end at all, and the longest between two looks.
_FIRST_LOOK = 0.5
_LONGEST_LOOK = 60.0


def _looks(wait_seconds: float | None, joining: Joining | None = None) -> Iterator[float]:
    """Seconds to wait between two looks at whether a wait can end at all: up to a minute, in all `wait_seconds`.

    A caller who has joined an open result is not waiting any more, and looks on for as long as it takes.
    """
    left = _NEVER if wait_seconds is None else wait_seconds
    seconds = _FIRST_LOOK
    while left > seconds:
        yield seconds
        left -= seconds
        seconds = min(2 * seconds, _LONGEST_LOOK)
    yield left
    while joining is not None and joining.joined:
        yield _LONGEST_LOOK


class Follower:
    """Waits for flights.

    Args:
        state: The cache's state.
    """

    def __init__(self, state: CacheState) -> None:
        self._state = state

    def is_unshared(self, request: Request, follow: Follow, result: FlightResult) -> bool:
        """Whether a follower was waiting for what is not kept, and is nobody else's.

        Where its key is one that nobody waits for, the follower looks it up again, and leads a flight of its own.
        """
        if result.shared or follow.is_answered(result):
            return False
        state = self._state
        with state.lock:
            return not state.unshared.holds(request.key, state.clock())

    def wait(self, request: Request, follow: Follow) -> FlightResult | Lookup[Any]:
        """Wait, in a thread, for what a flight brings; its error is raised, or a stale result stands in for it.

        Raises:
            FlightTimeoutError: Waited `wait_seconds`.
            SelfDependencyError: The flight waits for this caller.
        """
        flight, ended = follow.flight, False
        try:
            for seconds in _looks(request.wait_seconds):
                try:
                    error = flight.future.exception(timeout=seconds)
                except concurrent.futures.TimeoutError:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                if error is None:
                    ended = True
                    return flight.future.result()
                stale = self._instead(request, follow, error)
                if stale is None:
                    raise own_error(error)
                ended = True
                return stale
            stale = self._give_up(request, follow)
            ended = True
            return stale
        finally:
            self._end_wait(follow, counts=not ended)

    async def await_(self, request: Request, follow: Follow) -> FlightResult | Lookup[Any]:
        """`wait` for coroutines."""
        flight, ended = follow.flight, False
        # Cancelled, only this caller's ear for the flight is closed. The flight goes on.
        waiter = asyncio.wrap_future(flight.future)
        try:
            for seconds in _looks(request.wait_seconds, follow.joining):
                done, _ = await asyncio.wait({waiter}, timeout=seconds)
                if not done:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                error = waiter.exception()
                if error is None:
                    ended = True
                    return waiter.result()
                stale = self._instead(request, follow, error)
                if stale is None:
                    raise own_error(error)
                ended = True
                return stale
            stale = self._give_up(request, follow)
            ended = True
            return stale
        finally:
            waiter.cancel()
            self._end_wait(follow, counts=not ended)

    def _is_abandoned(self, flight: Flight) -> bool:
        """Whether a flight that takes long has lost its leader.

        Raises:
            SelfDependencyError: Its leader waits for the caller.
        """
        if not flight.future.done() and waits_for_this_thread(flight, self._state.flights.all()):
            raise SelfDependencyError(
                f"the generation of {flight.key!r} waits for its own result, through another thread; call the function "
                "that is decorated (__wrapped__) there, or do not wait for it"
            )
        return flight.is_over and not flight.future.done()

    def _end_wait(self, follow: Follow, *, counts: bool) -> None:
        """Note that a caller waits no more. `counts`: and that its lookup ended here, without a result."""
        if counts or follow.generating:
            with self._state.lock:
                self._state.flights.unfollow(follow.flight, follow.generating)
                if counts:
                    self._state.store.of(follow.flight.pipeline).coalesced += 1

    def _instead(self, request: Request, follow: Follow, error: BaseException) -> Lookup[Any] | None:
        """A stale result in the place of an error, counted; None: there is none, or its caller has joined already."""
        if follow.has_joined:
            return None
        try:
            with self._state.lock:
                return answer_instead(self._state, request, error)
        except Exception as failure:  # noqa: BLE001  # fail open: the error is what the caller gets
            self._state.note_internal_error("lookup", failure)
            return None

    def _give_up(self, request: Request, follow: Follow) -> Lookup[Any]:
        """What stands in for a wait that took too long.

        Raises:
            FlightTimeoutError: Nothing does.
        """
        error = FlightTimeoutError(f"waited {request.wait_seconds} seconds for a generation that another caller leads")
        stale = self._instead(request, follow, error)
        if stale is None:
            raise error from None
        return stale

    def coalesced(self, flight: Flight, result: FlightResult) -> Lookup[Any]:
        """The answer of a lookup that another's generation answered, counted."""
        try:
            with self._state.lock:
                counters = self._state.store.of(flight.pipeline)
                counters.coalesced += 1
                counters.count_recouped(result.cost_seconds, result.price)
        except Exception as error:  # noqa: BLE001  # fail open: the caller has its answer
            self._state.note_internal_error("accounting", error)
        return Lookup(
            result.value,
            "coalesced",
            cost_seconds=result.cost_seconds,
            expires_in_seconds=result.expires_in_seconds,
            price=result.price,
        )
