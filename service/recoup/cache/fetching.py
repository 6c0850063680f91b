"""The one way through the cache: a hit, a stale result, somebody else's generation, one's own, or past it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextlib import nullcontext
from typing import Any, Literal, NoReturn

from recoup.cache.bounded import DEFAULT_PIPELINE, BoundedCache
from recoup.cache.entry import CacheEntry
from recoup.cache.flights import ABANDONED, Flight, Landing, leading
from recoup.cache.gate import Gate
from recoup.cache.limits import DEFAULT, Default
from recoup.cache.records import BypassReason, Lookup, MissReason, Outcome, SpentPurpose
from recoup.errors import GENERATION_ERROR_KINDS, FlightTimeoutError, NotCachedError, RecoupError

Mode = Literal["default", "bypass", "refresh", "only_if_cached"]


def failure_kind(error: BaseException) -> str:
    """The word for a failed generation: the error's own `kind`, else by its class."""
    kind = getattr(error, "kind", None)
    if kind in GENERATION_ERROR_KINDS:
        return str(kind)
    if isinstance(error, (TimeoutError, concurrent.futures.TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    cancelled = isinstance(error, concurrent.futures.CancelledError) or not isinstance(error, Exception)
    return "cancelled" if cancelled else "error"


class Fetching(BoundedCache):
    """The cache with single-flight generation. See `LRUCache`."""

    def fetch(
        self,
        key: Hashable,
        generate: Callable[[], Any],
        *,
        pipeline: str = DEFAULT_PIPELINE,
        ttl_seconds: float | Default | None = DEFAULT,
        mode: Mode = "default",
        gate: Gate | None = None,
        wait_seconds: float | None = None,
    ) -> Lookup:
        """Answer from the cache, or generate and store. Concurrent callers of one key share one generation.

        Args:
            key: What the result is stored by.
            generate: Gives the result, slowly. Its time is measured.
            pipeline: The pipeline that the lookup is counted for.
            ttl_seconds: As for `set`.
            mode: `default`; `bypass`: generate for this caller alone, store nothing; `refresh`: generate anew and
                store; `only_if_cached`: never generate.
            gate: Entered around the generation; the wait for one's turn is not part of the cost.
            wait_seconds: How long to wait for another caller's generation; None: as long as it takes.

        Raises:
            FlightTimeoutError: Waited `wait_seconds`.
            NotCachedError: `only_if_cached`, and it is not.
            QueueFullError: The gate has no room.
            Exception: Whatever `generate` raises, to the leader and to all who wait for it. It is not cached.
        """
        ttl = self._ttl(ttl_seconds)
        while True:
            step = self._begin(key, pipeline, mode, None)
            if isinstance(step, Lookup):
                return step
            if step is None:
                self._count_outcome(pipeline, "bypass", bypass_reason=self._bypass_reason(mode))
                value, cost = self._generate(generate, pipeline, gate, "bypass")
                return Lookup(value, "bypass", cost_seconds=cost)
            flight, reason = step
            if reason is not None:
                return self._lead(flight, reason, generate, ttl, gate)
            landing = self._wait(flight, wait_seconds)
            if landing is not ABANDONED:
                return self._coalesced(flight, landing)

    async def afetch(
        self,
        key: Hashable,
        generate: Callable[[], Awaitable[Any]],
        *,
        pipeline: str = DEFAULT_PIPELINE,
        ttl_seconds: float | Default | None = DEFAULT,
        mode: Mode = "default",
        wait_seconds: float | None = None,
    ) -> Lookup:
        """`fetch` for coroutines. A leader that is cancelled leaves its generation to the next caller in line."""
        ttl = self._ttl(ttl_seconds)
        while True:
            step = self._begin(key, pipeline, mode, asyncio.current_task())
            if isinstance(step, Lookup):
                return step
            if step is None:
                self._count_outcome(pipeline, "bypass", bypass_reason=self._bypass_reason(mode))
                value, cost = await self._agenerate(generate, pipeline, "bypass")
                return Lookup(value, "bypass", cost_seconds=cost)
            flight, reason = step
            if reason is not None:
                return await self._alead(flight, reason, generate, ttl)
            landing = await self._await(flight, wait_seconds)
            if landing is not ABANDONED:
                return self._coalesced(flight, landing)

    def _bypass_reason(self, mode: Mode) -> BypassReason:
        if mode == "bypass":
            return "request"
        return "error" if self._limits.enabled else "disabled"

    # --- how a lookup begins

    def _begin(
        self, key: Hashable, pipeline: str, mode: Mode, task: object
    ) -> Lookup | tuple[Flight, MissReason | None] | None:
        """The answer; or a flight, with the miss reason for its leader; or None: generate past the cache."""
        try:
            return self._look_up(key, pipeline, mode, task)
        except RecoupError:
            raise
        except Exception as error:  # noqa: BLE001  # fail open: the caller gets a result from the generator
            self.note_internal_error("lookup", error)
            return None

    def _look_up(
        self, key: Hashable, pipeline: str, mode: Mode, task: object
    ) -> Lookup | tuple[Flight, MissReason | None] | None:
        if mode == "bypass" or (not self._limits.enabled and mode != "only_if_cached"):
            return None
        if mode != "refresh":
            found = self._found(key, pipeline)
            if found is not None:
                return found
        if mode == "only_if_cached":
            if self._count_miss(key, pipeline) is None:
                self._count_outcome(pipeline, "bypass")  # disabled: nothing is stored that could answer
            raise NotCachedError("the request takes a stored result or none, and there is none")
        flight, leads = self._flights.join(key, pipeline, threading.get_ident(), task)
        if not leads:
            # A generation that asks for its own key, in its own thread or task, would wait for itself for ever.
            return None if flight.is_led_by(threading.get_ident(), task) else (flight, None)
        return self._take_off(flight, mode)

    def _take_off(self, flight: Flight, mode: Mode) -> Lookup | tuple[Flight, MissReason] | None:
        """Begin to lead. Whatever fails here releases those who wait already."""
        try:
            # Between this caller's look-up and its flight, another flight may have landed.
            found = None if mode == "refresh" else self.try_hit(flight.key)
            if found is not None:
                self._flights.land(flight, Landing(found.value, found.cost_seconds, self._expires_in(found)))
                return self._hit(found)
            reason = self._count_miss(flight.key, flight.pipeline, refresh=mode == "refresh")
        except BaseException:
            self._flights.land(flight, ABANDONED)
            raise
        if reason is None:  # disabled in this very moment
            self._flights.land(flight, ABANDONED)
            return None
        return flight, reason

    def _found(self, key: Hashable, pipeline: str) -> Lookup | None:
        entry = self.try_hit(key)
        if entry is not None:
            return self._hit(entry)
        if self._stale_seconds and self._flights.find(key) is not None:
            entry = self._stale_entry(key)
            if entry is not None:
                return self._stale(entry, pipeline)
        return None

    def _hit(self, entry: CacheEntry) -> Lookup:
        return self._answered(entry, "hit")

    def _answered(self, entry: CacheEntry, outcome: Outcome) -> Lookup:
        now = self.clock()
        return Lookup(
            entry.value,
            outcome,
            cost_seconds=entry.cost_seconds,
            age_seconds=max(0.0, now - entry.created_at),
            expires_in_seconds=self._expires_in(entry, now),
        )

    def _expires_in(self, entry: CacheEntry, now: float | None = None) -> float | None:
        left = entry.expires_at - (self.clock() if now is None else now)
        return None if left == float("inf") else left

    def _stale_entry(self, key: Hashable) -> CacheEntry | None:
        """The entry of a key that has expired, and not too long ago."""
        entry = self._visible.get(key)
        if entry is None or self.clock() >= entry.expires_at + self._stale_seconds:
            return None
        return entry

    def _stale(self, entry: CacheEntry, pipeline: str) -> Lookup:
        self._count_outcome(pipeline, "stale", entry.cost_seconds)
        with self._lock:
            entry.hits += 1  # it was of use: it is not evicted unused
        return self._answered(entry, "stale")

    # --- leading

    def _lead(
        self, flight: Flight, reason: MissReason, generate: Callable[[], Any], ttl: float | None, gate: Gate | None
    ) -> Lookup:
        try:
            with leading(flight):
                value, cost = self._generate(generate, flight.pipeline, gate, "miss")
        except BaseException as error:
            self._crash(flight, error)
            raise
        return self._land(flight, reason, value, cost, ttl)

    async def _alead(
        self, flight: Flight, reason: MissReason, generate: Callable[[], Awaitable[Any]], ttl: float | None
    ) -> Lookup:
        try:
            with leading(flight):
                value, cost = await self._agenerate(generate, flight.pipeline, "miss")
        except BaseException as error:
            self._crash(flight, error)
            raise
        return self._land(flight, reason, value, cost, ttl)

    def _crash(self, flight: Flight, error: BaseException) -> None:
        """The leader's error is everybody's; its cancellation or interruption is its own."""
        try:
            if isinstance(error, Exception) and not isinstance(error, concurrent.futures.CancelledError):
                self._flights.fail(flight, error)
            else:
                self._flights.land(flight, ABANDONED)
        except Exception as failure:  # noqa: BLE001  # fail open: the leader's own error is what its caller gets
            self.note_internal_error("flight", failure)

    def _land(self, flight: Flight, reason: MissReason, value: Any, cost: float, ttl: float | None) -> Lookup:
        stored = False
        try:
            stored = self._put(flight.key, value, ttl, cost, flight.pipeline, flight)
        except Exception as error:  # noqa: BLE001  # fail open: the result is there, whatever storing it does
            self.note_internal_error("store", error)
        finally:
            expires_in = ttl if stored else None
            self._arrive(flight, Landing(value, cost, expires_in))
        return Lookup(value, "miss", reason=reason, stored=stored, cost_seconds=cost, expires_in_seconds=expires_in)

    def _arrive(self, flight: Flight, landing: Landing) -> None:
        try:
            self._flights.land(flight, landing)
        except Exception as failure:  # noqa: BLE001  # fail open: those who wait have their answer by now
            self.note_internal_error("flight", failure)

    def _generate(
        self, generate: Callable[[], Any], pipeline: str, gate: Gate | None, purpose: SpentPurpose
    ) -> tuple[Any, float]:
        try:
            with gate or nullcontext():
                started = self._generation_starts(pipeline)
                try:
                    value = generate()
                finally:
                    cost = self._generation_ends(pipeline, started)
        except BaseException as error:
            self._generation_failed(pipeline, error)
            raise
        self._generation_succeeded(pipeline, cost, purpose)
        return value, cost

    async def _agenerate(
        self, generate: Callable[[], Awaitable[Any]], pipeline: str, purpose: SpentPurpose
    ) -> tuple[Any, float]:
        started = self._generation_starts(pipeline)
        try:
            try:
                value = await generate()
            finally:
                cost = self._generation_ends(pipeline, started)
        except BaseException as error:
            self._generation_failed(pipeline, error)
            raise
        self._generation_succeeded(pipeline, cost, purpose)
        return value, cost

    def _generation_starts(self, pipeline: str) -> float:
        with self._lock:
            self._store.ledger(pipeline).generating += 1
        return self.clock()

    def _generation_ends(self, pipeline: str, started: float) -> float:
        cost = self.clock() - started
        with self._lock:
            self._store.ledger(pipeline).generating -= 1
        return cost

    def _generation_failed(self, pipeline: str, error: BaseException) -> None:
        with self._lock:
            self._store.ledger(pipeline).failures[failure_kind(error)] += 1

    def _generation_succeeded(self, pipeline: str, cost: float, purpose: SpentPurpose) -> None:
        with self._lock:
            ledger = self._store.ledger(pipeline)
            ledger.generation_duration.observe(cost)
            ledger.spent_seconds[purpose] += cost

    # --- following

    def _wait(self, flight: Flight, wait_seconds: float | None) -> Landing:
        try:
            error = flight.future.exception(timeout=wait_seconds)
        except concurrent.futures.TimeoutError:
            self._give_up(flight, wait_seconds)
        except BaseException:
            self._count_outcome(flight.pipeline, "coalesced")  # interrupted: its lookup ends here
            raise
        if error is not None:
            self._count_outcome(flight.pipeline, "coalesced")
            raise error
        return flight.future.result()

    async def _await(self, flight: Flight, wait_seconds: float | None) -> Landing:
        waiter = asyncio.wrap_future(flight.future)
        try:
            done, _ = await asyncio.wait({waiter}, timeout=wait_seconds)
        except BaseException:
            # Cancelled: its lookup ends here. The flight goes on; only this caller's ear for it is closed.
            waiter.cancel()
            self._count_outcome(flight.pipeline, "coalesced")
            raise
        if not done:
            waiter.cancel()
            self._give_up(flight, wait_seconds)
        error = waiter.exception()
        if error is not None:
            self._count_outcome(flight.pipeline, "coalesced")
            raise error
        return waiter.result()

    def _give_up(self, flight: Flight, wait_seconds: float | None) -> NoReturn:
        self._count_outcome(flight.pipeline, "coalesced")
        raise FlightTimeoutError(f"waited {wait_seconds} seconds for a generation that another caller leads") from None

    def _coalesced(self, flight: Flight, landing: Landing) -> Lookup:
        self._count_outcome(flight.pipeline, "coalesced", landing.cost_seconds)
        return Lookup(
            landing.value,
            "coalesced",
            cost_seconds=landing.cost_seconds,
            expires_in_seconds=landing.expires_in_seconds,
        )
