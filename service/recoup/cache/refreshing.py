"""Generating a result anew behind an answer: in no caller's thread, and never in front of callers.

A refresh waits for its turn behind all callers of its pipeline (see `ConcurrencyLimiter`). Only then it becomes a
flight, which callers may follow: nobody waits for one that itself still waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final

from recoup.cache.flights import Flight, forget_marks
from recoup.cache.leading import Leader
from recoup.cache.lookup_steps import Lead, Progress, Request
from recoup.cache.refreshes import RefreshClaim
from recoup.cache.state import CacheState
from recoup.errors import QueueFullError

#: Threads that generate anew at one time, behind the answers of `fetch`.
MOST_THREADS: Final = 8

_log = logging.getLogger("recoup.cache")


class Refresher:
    """Runs refreshes.

    Args:
        state: The cache's state.
        leader: Leads their flights.
    """

    def __init__(self, state: CacheState, leader: Leader) -> None:
        self._state = state
        self._leader = leader
        self._tasks: set[asyncio.Task[bool]] = set()

    # --- beginning one behind an answer. Never fails: the answer is there.

    def begin(self, request: Request, claim: RefreshClaim, generate: Callable[[], Any]) -> None:
        """Run a refresh in a thread of its own, or have `request.begin_refresh` see to it."""
        if request.begin_refresh is not None:
            self._hand_over(request.begin_refresh, claim)
            return
        with self._state.lock:
            room = self._state.refreshes.threads < MOST_THREADS
            self._state.refreshes.threads += room
        if not room:
            self.release(claim)
            return

        def run() -> None:
            try:
                self.run(request, claim, generate)
            finally:
                with self._state.lock:
                    self._state.refreshes.threads -= 1

        try:
            threading.Thread(target=run, name="recoup-refresh", daemon=True).start()
        except RuntimeError as error:  # there are too many threads, or the interpreter ends
            with self._state.lock:
                self._state.refreshes.threads -= 1
            self._state.note_internal_error("flight", error)
            self.release(claim)

    def abegin(self, request: Request, claim: RefreshClaim, generate: Callable[[], Awaitable[Any]]) -> None:
        """Run a refresh in a task of its own, or have `request.begin_refresh` see to it."""
        if request.begin_refresh is not None:
            self._hand_over(request.begin_refresh, claim)
            return
        task = asyncio.get_running_loop().create_task(self.arun(request, claim, generate))
        self._tasks.add(task)  # the loop itself keeps no task alive
        task.add_done_callback(self._tasks.discard)
        # One that is cancelled before its first step releases nothing itself.
        task.add_done_callback(lambda _: self.release(claim))

    def _hand_over(self, begin: Callable[[RefreshClaim], None], claim: RefreshClaim) -> None:
        try:
            begin(claim)
        except Exception as error:  # noqa: BLE001  # fail open
            self._state.note_internal_error("flight", error)
            self.release(claim)

    def release(self, claim: RefreshClaim) -> None:
        """End a claim; nothing happens where it has ended."""
        with self._state.lock:
            self._state.refreshes.release(claim, self._state.clock())

    # --- running one

    def run(self, request: Request, claim: RefreshClaim, generate: Callable[[], Any]) -> bool:
        """Generate anew, in this thread, and store; whether it was stored. What is raised is counted and logged."""
        try:
            with ExitStack() as turn:
                if request.limiter is not None:
                    turn.enter_context(request.limiter.admit(behind=True))
                lead = self._start(request, claim, None)
                return lead is not None and self._led(request, lead, generate)
        except QueueFullError:
            return False  # no room to wait: it is tried again
        finally:
            self.release(claim)

    def _led(self, request: Request, lead: Lead, generate: Callable[[], Any]) -> bool:
        try:
            return self._leader.run(request._replace(limiter=None), lead, generate).stored
        except Exception as error:  # noqa: BLE001  # nobody waits for it
            self._log_failure(lead, error)
            return False

    async def arun(self, request: Request, claim: RefreshClaim, generate: Callable[[], Awaitable[Any]]) -> bool:
        """`run` for coroutines. Cancelled, it ends, and those who have come to wait for it look again."""
        forget_marks()  # it is no part of what the caller's task generates
        try:
            async with AsyncExitStack() as turn:
                if request.limiter is not None:
                    await turn.enter_async_context(request.limiter.admit(behind=True))
                lead = self._start(request, claim, asyncio.current_task())
                return lead is not None and await self._aled(request, lead, generate)
        except QueueFullError:
            return False
        finally:
            self.release(claim)

    async def _aled(self, request: Request, lead: Lead, generate: Callable[[], Awaitable[Any]]) -> bool:
        try:
            return (await self._leader.arun(request._replace(limiter=None), lead, generate)).stored
        except Exception as error:  # noqa: BLE001  # nobody waits for it
            self._log_failure(lead, error)
            return False

    def _start(self, request: Request, claim: RefreshClaim, task: asyncio.Task[Any] | None) -> Lead | None:
        """Begin the flight; None: there is no need any more, as the result was replaced or is gone."""
        state = self._state
        with state.lock:
            now = state.clock()
            if state.find(claim.key, now) is not claim.entry or state.flights.get(claim.key) is not None:
                return None
            flight = Flight(
                claim.key,
                request.pipeline,
                threading.get_ident(),
                task,
                request.groups,
                grows=request.decide is not None,
            )
            state.flights.begin(flight)
        return Lead(flight, "expired", Progress(False), claim)

    def _log_failure(self, lead: Lead, error: Exception) -> None:
        _log.warning(
            "refresh failed",
            extra={"pipeline": lead.flight.pipeline, "key": str(lead.flight.key), "error": repr(error)[:500]},
        )
