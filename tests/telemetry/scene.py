"""A cache that has lived through one of everything, and its figures as a registry exports them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from clock import FakeClock
from recoup import ConcurrencyLimiter, LRUCache
from recoup.errors import FlightTimeoutError, WorkerDiedError
from recoup.telemetry import CacheCollector
from tiers.fake import DictTier

EPOCH = 1_700_000_000.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
RESULT = b"result"


def registry_of(cache: LRUCache) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(CacheCollector(cache))
    return registry


def elsewhere(work: Callable[[], object]) -> None:
    """Do something in another thread, and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def a_full_life() -> LRUCache:
    """Pipeline `relief` with every outcome, miss reason, cause and failure; `idle` with nothing; one entry is kept."""
    clock = FakeClock()
    cache = LRUCache(
        max_size=2,
        max_memory_mb=1,
        ttl_seconds=100,
        stale_seconds=50,
        clock=clock,
        wall_clock=lambda: EPOCH,
        tiers=[DictTier(keeps=False)],
        codec="bytes",
    )
    cache.register("idle", currency="EUR")
    cache.register("relief", ConcurrencyLimiter(2, 2))
    _miss_and_hit(cache, clock)
    _evict(cache, clock)
    _invalidate(cache, clock)
    _expire(cache, clock)
    _fail(cache, clock)
    cache.configure(max_size=3)
    cache.note_internal_error("sizer", ValueError("no size"))
    return cache


def _miss_and_hit(cache: LRUCache, clock: FakeClock) -> None:
    """Outcomes: 1 miss, 2 hits at the age of 10 seconds. Recouped: 2 x 2 seconds."""
    cache.fetch("a", clock.costing(2.0, RESULT), pipeline="relief")
    clock.now += 10
    for _ in range(2):
        cache.fetch("a", clock.costing(2.0, RESULT), pipeline="relief")
    cache.record_request("relief", "miss", 2.0, TRACE)
    cache.record_request("relief", "hit", 0.00004, TRACE)
    cache.record_request("relief", "hit", 0.3)


def _evict(cache: LRUCache, clock: FakeClock) -> None:
    """5 misses, one of them of `a`, which had been evicted: 2 seconds are regretted.

    Of size go `a` (it had hits), `b`, `c`, and `a` again; of memory goes `large`. The last four had no hit.
    """
    cache.fetch("b", clock.costing(3.0, RESULT), pipeline="relief")
    cache.fetch("c", clock.costing(4.0, RESULT), pipeline="relief")
    cache.fetch("a", clock.costing(2.0, RESULT), pipeline="relief")
    cache.fetch("large", clock.costing(1.0, bytes(900_000)), pipeline="relief")
    cache.fetch("larger", clock.costing(1.0, bytes(900_000)), pipeline="relief")


def _invalidate(cache: LRUCache, clock: FakeClock) -> None:
    """5 misses: 2 cold, 2 invalidated, 1 too large. Clears 2 entries, deletes 1, replaces 1."""
    cache.clear("relief")
    cache.fetch("d", clock.costing(1.0, RESULT), pipeline="relief")
    cache.delete("d")
    cache.fetch("d", clock.costing(1.0, RESULT), pipeline="relief")
    cache.fetch("d", clock.costing(1.0, RESULT), pipeline="relief", mode="refresh")
    for _ in range(2):
        cache.fetch("huge", clock.costing(1.0, bytes(2_000_000)), pipeline="relief")
    cache.clear("relief")


def _expire(cache: LRUCache, clock: FakeClock) -> None:
    """2 cold misses, 1 expired, 1 hit, 1 stale, 1 coalesced that gave up, 1 bypass. Recouped: 2 x 5 seconds."""
    for _ in range(2):
        cache.fetch("e", clock.costing(5.0, RESULT), pipeline="relief")
    clock.now += 120

    def while_others_ask() -> bytes:
        elsewhere(lambda: cache.fetch("e", clock.costing(5.0, RESULT), pipeline="relief"))
        clock.now += 6
        return RESULT

    cache.fetch("e", while_others_ask, pipeline="relief")

    def while_another_waits() -> bytes:
        elsewhere(lambda: _give_up_at_once(cache))
        return RESULT

    cache.fetch("f", while_another_waits, pipeline="relief")
    cache.fetch("e", clock.costing(1.0, RESULT), pipeline="relief", mode="bypass")


def _give_up_at_once(cache: LRUCache) -> None:
    with pytest.raises(FlightTimeoutError):
        cache.fetch("f", lambda: RESULT, pipeline="relief", wait_seconds=0.0)


def _fail(cache: LRUCache, clock: FakeClock) -> None:
    """2 cold misses that give no result."""
    for key, error in (("g", TimeoutError("late")), ("h", WorkerDiedError("killed"))):

        def fail(error: Exception = error) -> bytes:
            clock.now += 1
            raise error

        with pytest.raises(type(error)):
            cache.fetch(key, fail, pipeline="relief")
