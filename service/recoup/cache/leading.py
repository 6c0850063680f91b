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
from recoup.cache.refreshes import RefreshClaim
from recoup.cache.stale_answers import answer_instead, may_stand_in
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
    """Begin the generation of a flight that is listed, under the lock.

    Args:
        state: The cache's state.
        request: What is asked for.
        flight: The flight.
        entry: The entry that has expired or is to be generated anew; None: there is none.
        now: The time.
        dropped: Takes what goes.
    """
    mode = request.mode
    stands_in = entry is not None and mode == "default" and request.allow_stale and may_stand_in(entry, now)
    reason = state.miss_reason(request.key, entry, now, refresh=mode == "refresh")
    if not stands_in:
        state.count_reason(request.key, request.pipeline, reason, now)
    if entry is not None:
        dropped.append(entry)
    if request.limiter is None:
        state.store.of(request.pipeline).generating += 1
    return Lead(flight, reason, Progress(request.limiter is None, miss_due=stands_in))


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
            stale = self._fail(request, lead, error)
            if stale is not None:
                return stale
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
            stale = self._fail(request, lead, error)
            if stale is not None:
                return stale
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
                    self._count_miss(request, lead)
            if request.on_open is not None:
                request.on_open(Lookup(value, "miss", reason=lead.reason))
            for epoch, join in joining if shared else ():
                if not flight.purged_epoch or epoch < flight.purged_epoch:
                    join(value)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)

    def _fail(self, request: Request, lead: Lead, error: BaseException) -> Lookup[Any] | None:
        """The leader's error is everybody's; its cancellation or interruption is its own.

        Returns:
            The stale result that stands in for it; None: nothing does.
        """
        flight, state = lead.flight, self._state
        stale: Lookup[Any] | None = None
        try:
            with state.lock:
                self._runner.count_end(request.pipeline, lead.progress).failures[failure_kind(error)] += 1
                state.flights.leave(flight)
                if lead.claim is not None:
                    self._count_refresh(request, lead.claim, stored=False)
                    self._note_failure(lead.claim.entry, error)
                elif lead.progress.miss_due:
                    self._note_failure(state.store.live.get(request.key), error)
                    stale = answer_instead(state, request, error)
                    if stale is None:
                        self._count_miss(request, lead)
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
        return stale

    def _count_miss(self, request: Request, lead: Lead) -> None:
        """Count the lookup as the miss that it is now known to be. Under the lock."""
        if lead.progress.miss_due:
            lead.progress.miss_due = False
            self._state.count_reason(request.key, request.pipeline, lead.reason, self._state.clock())

    def _count_refresh(self, request: Request, claim: RefreshClaim, *, stored: bool) -> None:
        counters = self._state.store.of(request.pipeline)
        counters.refreshes[claim.cause, "stored" if stored else "failed"] += 1

    def _note_failure(self, entry: CacheEntry[Any] | None, error: BaseException | None) -> None:
        """Let the entry that was to be replaced wait before it is generated anew again. Under the lock."""
        if error is None or isinstance(error, Exception):  # who was cancelled has shown nothing
            self._state.refreshes.note_failure(entry, error, self._state.clock())

    def _finish(self, request: Request, lead: Lead, value: Any, cost: float) -> Lookup[Any]:
        """Count, store, and answer everybody. Never fails: the result is there, whatever storing it does."""
        flight, ttl, staleness = lead.flight, request.ttl_seconds, request.staleness
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
            if decision.staleness is not None:
                staleness = decision.staleness
            with state.lock:
                self._count_miss(request, lead)
                counters = self._runner.count_end(request.pipeline, lead.progress)
                if decision.failure:
                    counters.failures[decision.failure] += 1
                else:
                    counters.count_generation("miss" if lead.claim is None else "refresh", cost, price)
                try:
                    if not decision.share:
                        self._state.unshare(flight, decision.reason)
                    groups = request.groups
                    if decision.groups:
                        groups = tuple(dict.fromkeys((*groups, *decision.groups)))[:MOST_GROUPS]
                    state.flights.learn(flight, groups)
                    if flight.outdated:
                        ttl = 0.0
                    if self._replaces(lead, decision, size) and state.takes(flight, staleness):
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
                            staleness,
                        )
                    if stored and state.unshared:
                        state.unshared.forget(request.key)
                finally:
                    state.flights.leave(flight)
                    if lead.claim is not None:
                        self._count_refresh(request, lead.claim, stored=stored)
                        if not stored:
                            self._note_failure(lead.claim.entry, None)
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

    def _replaces(self, lead: Lead, decision: Decision, size: int | None) -> bool:
        """Whether a result goes where an older one of its key is. Under the lock.

        Behind an answer the older one stays where the new one is not to be kept, as long as it may answer; and one that
        somebody stored meanwhile is newer.
        """
        if lead.claim is None:
            return True
        held = self._state.store.live.get(lead.claim.key)
        return held in (None, lead.claim.entry) and (size is not None or not decision.share)

    def _decision(self, request: Request, value: Any) -> Decision:
        try:
            return request.decision(value)
        except Exception as error:  # noqa: BLE001  # fail open; and nobody else gets what may not be for them
            self._state.note_internal_error("store", error)
            return NOT_KEPT
