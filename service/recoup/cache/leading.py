"""Leading a flight: generate, count, store, and answer everybody who waits for it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from recoup.cache.config import MOST_GROUPS, Default
from recoup.cache.entry import CacheEntry
from recoup.cache.failures import failure_kind
from recoup.cache.flights import ABANDONED, UNSHARED, Flight, FlightResult, mark, unmark
from recoup.cache.generating import GenerationRunner
from recoup.cache.lookup_steps import NOT_KEPT, Lead, Progress, Request
from recoup.cache.open_results import Decision, OpenResult
from recoup.cache.state import CacheState
from recoup.cache.stats import Lookup


def begin_lead(
    state: CacheState,
    request: Request,
    flight: Flight,
    entry: CacheEntry[Any] | None,
    now: float,
    dropped: list[CacheEntry[Any]],
) -> Lead:
    """Begin the generation of a flight that is listed, under the lock: count the miss.

    Args:
        state: The cache's state.
        request: What is asked for.
        flight: The flight.
        entry: The entry that has expired or is to be generated anew; None: there is none.
        now: The time.
        dropped: Takes what goes.
    """
    reason = state.count_miss(request.key, entry, request.pipeline, now, refresh=request.mode == "refresh")
    if entry is not None:
        dropped.append(entry)
    if request.limiter is None:
        state.store.of(request.pipeline).generating += 1
    return Lead(flight, reason, Progress(request.limiter is None))


class Leader:
    """Leads flights.

    Args:
        state: The cache's state.
        runner: Runs their generations.
    """

    def __init__(self, state: CacheState, runner: GenerationRunner) -> None:
        self._state = state
        self._runner = runner

    def run(self, request: Request, lead: Lead, generate: Callable[[], Any]) -> Lookup[Any]:
        """Generate, store, and answer everybody who waits."""
        before = mark(lead.flight)
        try:
            value, cost = self._runner.run(request, generate, lead.progress)
        except BaseException as error:
            self._fail(request, lead, error)
            del lead  # the error's traceback holds this frame, and a flight holds its error
            raise
        finally:
            unmark(before)
        return self._finish(request, lead, value, cost)

    async def arun(self, request: Request, lead: Lead, generate: Callable[[], Awaitable[Any]]) -> Lookup[Any]:
        """`run` for coroutines."""
        before = mark(lead.flight)
        try:
            value, cost = await self._runner.arun(
                request, generate, lead.progress, partial(self._opened, request, lead)
            )
        except BaseException as error:
            self._fail(request, lead, error)
            del lead
            raise
        finally:
            unmark(before)
        return self._finish(request, lead, value, cost)

    def _opened(self, request: Request, lead: Lead, value: OpenResult) -> None:
        """Give everybody what is there. Never fails: who is not given it waits for the end."""
        flight = lead.flight
        try:
            decision = self._decision(request, value)
            shared = decision.share and decision.store
            with self._state.lock:
                self._state.flights.learn(flight, decision.groups)
                if shared:
                    flight.open_result = value
                elif decision.share:
                    self._state.flights.seclude(flight)
                    flight.future.set_result(UNSHARED)
                else:
                    self._state.unshare(flight, "uncacheable")
                    flight.future.set_result(UNSHARED)
                joining, flight.joining = flight.joining, []
            if request.on_open is not None:
                request.on_open(Lookup(value, "miss", reason=lead.reason))
            for epoch, join in joining if shared else ():
                if not flight.purged_epoch or epoch < flight.purged_epoch:
                    join(value)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)

    def _fail(self, request: Request, lead: Lead, error: BaseException) -> None:
        """The leader's error is everybody's; its cancellation or interruption is its own."""
        flight = lead.flight
        try:
            with self._state.lock:
                self._runner.count_end(request.pipeline, lead.progress).failures[failure_kind(error)] += 1
                self._state.flights.leave(flight)
        except Exception as failure:  # noqa: BLE001  # fail open: the leader's own error is what its caller gets
            self._state.note_internal_error("flight", failure)
        finally:
            flight.open_result = None
            flight.joining.clear()
            if flight.future.done():
                pass  # nobody waits for it
            elif isinstance(error, Exception) and not isinstance(error, concurrent.futures.CancelledError):
                flight.future.set_exception(error)
            else:
                flight.future.set_result(ABANDONED)

    def _finish(self, request: Request, lead: Lead, value: Any, cost: float) -> Lookup[Any]:
        """Count, store, and answer everybody. Never fails: the result is there, whatever storing it does."""
        flight, ttl = lead.flight, request.ttl_seconds
        stored, price, state = False, 0.0, self._state
        dropped: list[CacheEntry[Any]] = []
        # What the caller does not keep is nobody else's, either; what only cannot be stored is.
        decision = self._decision(request, value)
        shared = decision.share and decision.store
        try:
            price = decision.price_of(cost)
            size = state.size_of(request.key, value) if shared and decision.keep else None
            if not isinstance(decision.ttl_seconds, Default):
                ttl = decision.ttl_seconds
            with state.lock:
                self._runner.count_end(request.pipeline, lead.progress).count_generation("miss", cost, price)
                try:
                    if not decision.share:
                        self._state.unshare(flight, decision.reason)
                    groups = request.groups
                    if decision.groups:
                        groups = tuple(dict.fromkeys((*groups, *decision.groups)))[:MOST_GROUPS]
                    state.flights.learn(flight, groups)
                    if flight.outdated:
                        ttl = 0.0
                    if state.takes(flight):
                        stored = state.put(
                            request.key,
                            value,
                            size,
                            ttl,
                            cost,
                            request.pipeline,
                            dropped,
                            decision.reason,
                            price,
                            groups,
                        )
                    if stored and state.unshared:
                        state.unshared.forget(request.key)
                finally:
                    state.flights.leave(flight)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("store", error)
        finally:
            expires_in = ttl if stored else None
            flight.open_result = None
            flight.joining.clear()
            if not flight.future.done():
                flight.future.set_result(
                    FlightResult(value, cost, expires_in, price=price, purged_epoch=flight.purged_epoch)
                    if shared
                    else FlightResult(None, cost, shared=False)
                )
        return Lookup(
            value,
            "miss",
            reason=lead.reason,
            stored=stored,
            cost_seconds=cost,
            expires_in_seconds=expires_in,
            price=price,
        )

    def _decision(self, request: Request, value: Any) -> Decision:
        try:
            return request.decision(value)
        except Exception as error:  # noqa: BLE001  # fail open; and nobody else gets what may not be for them
            self._state.note_internal_error("store", error)
            return NOT_KEPT
