"""Following a flight: wait for another caller's generation, and be answered with what it brings."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any, NoReturn

from recoup.cache.deadlocks import waits_for_this_thread
from recoup.cache.failures import own_error
from recoup.cache.flights import ABANDONED, Flight, FlightResult
from recoup.cache.lookup_steps import Follow, Joining, Request
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

    def wait(self, follow: Follow, wait_seconds: float | None) -> FlightResult:
        """Wait, in a thread, for what a flight brings; its error is raised.

        Raises:
            FlightTimeoutError: Waited `wait_seconds`.
            SelfDependencyError: The flight waits for this caller.
        """
        flight, ended = follow.flight, False
        try:
            for seconds in _looks(wait_seconds):
                try:
                    error = flight.future.exception(timeout=seconds)
                except concurrent.futures.TimeoutError:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                ended = error is None
                if error is not None:
                    raise own_error(error)
                return flight.future.result()
            self._give_up(wait_seconds)
        finally:
            self._end_wait(follow, counts=not ended)

    async def await_(self, follow: Follow, wait_seconds: float | None) -> FlightResult:
        """`wait` for coroutines."""
        flight, ended = follow.flight, False
        # Cancelled, only this caller's ear for the flight is closed. The flight goes on.
        waiter = asyncio.wrap_future(flight.future)
        try:
            for seconds in _looks(wait_seconds, follow.joining):
                done, _ = await asyncio.wait({waiter}, timeout=seconds)
                if not done:
                    if self._is_abandoned(flight):
                        ended = True
                        return ABANDONED
                    continue
                error = waiter.exception()
                ended = error is None
                if error is not None:
                    raise own_error(error)
                return waiter.result()
            self._give_up(wait_seconds)
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

    def _give_up(self, wait_seconds: float | None) -> NoReturn:
        raise FlightTimeoutError(f"waited {wait_seconds} seconds for a generation that another caller leads") from None

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
