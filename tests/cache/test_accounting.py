"""What is counted is exact and in order, costs as few locks as promised, and no odd value spoils it."""

from __future__ import annotations

import decimal
import logging
import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from clock import FakeClock
from recoup.cache import LRUCache, ResultCache, cached_result, set_cache
from recoup.cache.open_results import Decision
from recoup.cache.store import MOST_PIPELINES, OTHER_PIPELINES
from recoup.errors import ConfigurationError
from recoup.telemetry import CacheCollector

from .support import Threads
from .test_single_flight import Generator, in_flight


class CountingLock:
    """A lock that counts how often it is taken from outside."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.taken = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        taken = self._lock.acquire(blocking, timeout)
        if taken:
            self.taken += not self._depth
            self._depth += 1
        return taken

    def release(self) -> None:
        self._depth -= 1
        self._lock.release()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class CountingEntries(dict[Any, Any]):
    """Entries that count how often a key is looked up."""

    looked_up = 0

    def __getitem__(self, key: Any) -> Any:
        self.looked_up += 1
        return super().__getitem__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self.looked_up += 1
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.looked_up += 1
        return super().__contains__(key)

    def pop(self, *arguments: Any) -> Any:
        self.looked_up += 1
        return super().pop(*arguments)


def instrumented() -> tuple[LRUCache, CountingLock, CountingEntries]:
    cache, lock, entries = LRUCache(), CountingLock(), CountingEntries()
    cache._state.lock = cache._state.reads.lock = cache._state.waits.lock = lock  # type: ignore[assignment]
    cache._state.store.live = entries
    cache.configure(enabled=True)  # lets the readers see the other entries
    lock.taken = entries.looked_up = 0
    return cache, lock, entries


def test_a_miss_looks_its_key_up_twice_and_takes_the_lock_twice() -> None:
    cache, lock, entries = instrumented()

    assert "miss" == cache.fetch("a", lambda: b"mesh").outcome
    assert (2, 2) == (entries.looked_up, lock.taken)
    assert "hit" == cache.fetch("a", lambda: b"mesh").outcome
    assert (3, 2) == (entries.looked_up, lock.taken)


def test_with_a_limiter_a_miss_takes_the_lock_three_times() -> None:
    from recoup.cache import ConcurrencyLimiter

    cache, lock, entries = instrumented()
    cache.fetch("a", lambda: b"mesh", limiter=ConcurrencyLimiter(1, 0))

    assert (2, 3) == (entries.looked_up, lock.taken)


def test_a_failed_miss_takes_no_more() -> None:
    cache, lock, entries = instrumented()

    def fail() -> None:
        raise ValueError("no luck")

    with pytest.raises(ValueError, match="no luck"):
        cache.fetch("a", fail)
    assert (2, 2) == (entries.looked_up, lock.taken)


def test_the_sum_of_hit_ages_is_exact() -> None:
    clock = FakeClock()
    cache = LRUCache(clock=clock)
    cache["a"] = 1
    for passing in (0.1, 0.8):
        clock.advance(passing)
        cache.get("a")

    assert 1.0 == pytest.approx(cache.stats().histograms["default"].hit_age.total, abs=1e-9)


def test_the_sums_of_two_pipelines_are_exact_in_a_full_buffer() -> None:
    clock = FakeClock(10.0**6)
    cache = LRUCache(clock=clock)
    expected = {"one": 0.0, "two": 0.0}
    for name in expected:
        cache.set(name, 1, pipeline=name)
    for number in range(100_000):
        name = "one" if number % 3 else "two"
        clock.advance(2.0**-10)
        cache.get(name)
        expected[name] += (number + 1) * 2.0**-10

    histograms = cache.stats().histograms
    assert expected == {name: pytest.approx(histograms[name].hit_age.total, rel=1e-9) for name in expected}


class Recorder:
    """An observer that notes what it sees."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def hits(self, entries: Any, times: Any) -> None:
        self.seen += [("hit", entry.key, at) for entry, at in zip(entries, times, strict=True)]

    def miss(self, key: Any, pipeline: str, reason: str, at: float) -> None:
        self.seen.append(("miss", key, pipeline, reason, at))

    def stored(self, entry: Any) -> None:
        self.seen.append(("stored", entry.key, entry.size_bytes > 0))


def test_hits_and_misses_are_seen_in_the_order_in_which_they_happened() -> None:
    clock = FakeClock(5.0)
    cache = LRUCache(clock=clock)
    recorder = Recorder()
    cache["a"] = 1
    cache.observe(recorder)
    cache.get("a")
    clock.advance(1)
    cache.get("a")
    cache.get("b", pipeline="llm")
    cache.get("a")
    cache.fetch("c", lambda: 1)
    cache.stats()

    assert [
        ("hit", "a", 5.0), ("hit", "a", 6.0), ("miss", "b", "llm", "cold", 6.0),
        ("hit", "a", 6.0), ("miss", "c", "default", "cold", 6.0), ("stored", "c", True),
    ] == recorder.seen  # fmt: skip


def test_every_bypass_has_a_reason() -> None:
    cache = LRUCache()
    lookups = [
        cache.fetch("a", dict, mode="bypass"),
        cache.fetch("a", dict, mode="bypass", bypass_reason="credentials"),
        cache.fetch([], dict),  # type: ignore[arg-type]
    ]
    cache.configure(enabled=False)
    lookups.append(cache.fetch("a", dict))
    cache.get("a")

    assert ["request", "credentials", "error", "disabled"] == [lookup.bypass_reason for lookup in lookups]
    expected = {"request": 1, "credentials": 1, "disabled": 2, "uncacheable": 0, "error": 1}
    assert expected == cache.stats().bypass_reasons == cache.pipeline_stats("default").bypass_reasons
    assert 5 == cache.stats().bypassed


def test_what_is_never_kept_is_uncacheable() -> None:
    cache = LRUCache()
    reasons = [cache.fetch("a", lambda: "partial", store_if=lambda value: value == "whole").reason for _ in range(2)]
    assert ["cold", "uncacheable"] == reasons
    assert cache.fetch("a", lambda: "whole", store_if=lambda value: value == "whole").stored

    @cached_result(cache=cache, store_if=bool, pipeline="decorated")
    def function(x: int) -> int:
        return x

    assert [0, 0, 1, 1] == [function(x) for x in (0, 0, 1, 1)]
    assert (1, 1, 2) == (
        function.cache_info().hits, function.cache_info().miss_reasons["uncacheable"],
        function.cache_info().miss_reasons["cold"],
    )  # fmt: skip


@pytest.mark.parametrize("pipeline", [None, 7, "", "lone \ud800 surrogate", b"bytes", ["list"]])
def test_odd_names_of_pipelines_are_refused_at_the_door(pipeline: Any) -> None:
    cache = LRUCache()
    doors = [
        lambda: cache.fetch("a", dict, pipeline=pipeline),
        lambda: cache.set("a", 1, pipeline=pipeline),
        lambda: cache.get("a", pipeline=pipeline),
        lambda: cache.register(pipeline),
        lambda: cache.record_request(pipeline, "hit", 0.1),
        lambda: cache.record_requests(pipeline, "hit", [0.1], ["id"]),
    ]
    if pipeline is not None:
        doors.append(lambda: cached_result(pipeline=pipeline))
    for door in doors:
        with pytest.raises(ConfigurationError, match="pipeline="):
            door()

    assert {} == cache.stats().pipelines
    assert 0 == len(cache)


@pytest.mark.parametrize("cost", ["0.5", None, decimal.Decimal(1), float("nan"), float("inf"), -1, -0.5, True])
def test_odd_costs_are_refused_at_the_door(cost: Any) -> None:
    cache = LRUCache()
    with pytest.raises(ConfigurationError, match="cost_seconds="):
        cache.set("a", 1, cost_seconds=cost)

    assert 0 == len(cache)


def test_pipelines_are_bounded_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    cache = LRUCache()
    cache.register("llm")
    for number in range(3 * MOST_PIPELINES):
        cache.fetch(number, dict, pipeline=f"user-{number}")
    cache.register("relief")

    stats = cache.stats()
    assert MOST_PIPELINES + 3 == len(stats.pipelines)
    assert {"llm", "relief", OTHER_PIPELINES} <= set(stats.pipelines)
    assert 2 * MOST_PIPELINES == stats.pipelines[OTHER_PIPELINES].misses
    assert 3 * MOST_PIPELINES == stats.misses
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_a_decorated_function_has_its_series_before_its_first_call() -> None:
    def function() -> int:
        return 1

    cache, later = LRUCache(), LRUCache()
    cached_result(cache=cache, pipeline="own")(function)
    cached_result(pipeline="announced")(function)
    set_cache(later)
    try:
        cached_result(pipeline="announced later")(function)
        for one, name in ((cache, "own"), (later, "announced"), (later, "announced later")):
            registry = CollectorRegistry()
            registry.register(CacheCollector(one))
            labels = {"pipeline": name, "outcome": "hit"}
            assert 0.0 == registry.get_sample_value("recoup_lookups_total", labels)
    finally:
        set_cache(None)


class TestOneClass:
    def test_get_has_its_docstring_at_run_time(self) -> None:
        assert ResultCache.get.__doc__ == LRUCache().get.__doc__ is not None
        assert "ResultCache.get" == LRUCache().get.__qualname__

    def test_every_public_method_is_in_it_with_a_docstring(self) -> None:
        names = {name for name in dir(LRUCache) if not name.startswith("_")}

        assert names == {name for name in vars(ResultCache) if not name.startswith("_")}
        assert [] == [name for name in names if not getattr(ResultCache, name).__doc__]

    def test_a_subclass_that_overrides_get_is_obeyed(self) -> None:
        class Shouting(LRUCache[str]):
            def get(self, key: Any, default: Any = None, pipeline: str = "default") -> Any:
                value = super().get(key, default, pipeline)
                return value.upper() if isinstance(value, str) else value

        cache = Shouting()
        cache["a"] = "mesh"
        assert ["MESH"] * 3 == [cache.get("a"), cache["a"], cache.pop("a")]
        assert 3 == cache.stats().hits

    def test_a_subclass_that_overrides_try_hit_is_obeyed(self) -> None:
        class Blind(LRUCache):
            def try_hit(self, key: Any) -> None:
                return None

        cache = Blind()
        cache["a"] = 1
        assert cache.try_hit("a") is None  # type: ignore[func-returns-value]
        assert "hit" == cache.fetch("a", lambda: 2).outcome  # under the lock it looks again

    def test_an_unknown_policy_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="expected one of lru"):
            ResultCache(policy="fifo")


def test_a_buffer_hands_on_in_order_and_stays_bounded_while_the_lock_is_held() -> None:
    from recoup.cache.buffer import Buffer

    lock, handed = threading.RLock(), []  # type: ignore[var-annotated]
    buffer: Buffer[int] = Buffer(handed.extend, lock, bound=10)
    with lock:
        Threads([lambda: [buffer.append(number) for number in range(39)] and None]).join()  # type: ignore[func-returns-value]
        assert (39, []) == (len(buffer.items), handed)
    buffer.append(39)
    assert (list(range(40)), []) == (handed, buffer.items)
    buffer.append(40)
    buffer.drain()
    assert list(range(41)) == handed


def test_a_buffer_under_threads_loses_and_doubles_nothing() -> None:
    from recoup.cache.buffer import Buffer

    handed: list[tuple[int, int]] = []
    buffer: Buffer[tuple[int, int]] = Buffer(handed.extend, threading.Lock(), bound=7)

    def add(who: int) -> None:
        for number in range(5_000):
            buffer.append((who, number))

    Threads([lambda who=who: add(who) for who in range(8)]).join()  # type: ignore[misc]
    buffer.drain()
    assert 40_000 == len(handed)
    for who in range(8):
        assert list(range(5_000)) == [number for owner, number in handed if owner == who]


class TestMoney:
    """Counted as seconds are, in the currency of the pipeline."""

    def test_a_currency_has_its_zeros_from_the_start(self) -> None:
        cache = LRUCache()
        cache.register("llm", currency="EUR")
        stats = cache.stats()
        assert [{"EUR": 0.0}] * 3 == [stats.generated_cost, stats.recouped_cost, stats.regretted_cost]
        assert {} == LRUCache().stats().recouped_cost

    def test_currencies_are_never_added(self) -> None:
        cache = LRUCache()
        for pipeline, currency, price in (("a", "EUR", 2.0), ("b", "USD", 3.0), ("c", "USD", 4.0), ("d", None, 5.0)):
            cache.register(pipeline, currency=currency)
            cache.set(pipeline, 1, price=price, pipeline=pipeline)
            cache.get(pipeline, pipeline=pipeline)
        assert {"EUR": 2.0, "USD": 7.0, "XXX": 5.0} == cache.stats().recouped_cost
        assert {"USD": 4.0} == cache.stats().pipelines["c"].recouped_cost
        assert {"EUR": 0.0, "USD": 0.0, "XXX": 0.0} == cache.stats().as_dict()["generated_cost"]

    def test_every_generation_that_gave_a_result_is_paid_for(self) -> None:
        clock = FakeClock()
        cache = LRUCache(clock=clock)
        cache.register("llm", currency="USD")

        def ask(key: str, **given: Any) -> float:
            return cache.fetch(
                key,
                clock.costing(2.0, 1),
                pipeline="llm",
                decide=lambda _: Decision(store=key != "unstored", price=1.0, price_per_second=0.25),
                **given,
            ).price

        paid = [ask("a"), ask("a"), ask("a", mode="refresh"), ask("a", mode="bypass"), ask("unstored")]
        assert [1.5] * 5 == paid
        with pytest.raises(ZeroDivisionError):
            cache.fetch("b", lambda: 1 // 0, pipeline="llm", decide=lambda _: Decision(price=9.0))
        assert ({"USD": 6.0}, {"USD": 1.5}) == (cache.stats().generated_cost, cache.stats().recouped_cost)
        assert 1.5 == cache.entries()[0]["price"]

    def test_followers_are_spared_the_price_of_what_they_waited_for(self) -> None:
        cache = LRUCache()
        cache.register("llm", currency="USD")
        generate = Generator(1)
        leader, waiting = in_flight(cache, generate, 3, pipeline="llm", decide=lambda _: Decision(price=4.0))
        generate.may_end.set()
        assert [4.0] * 4 == [lookup.price for lookup in leader.join() + waiting.join()]
        assert ({"USD": 4.0}, {"USD": 12.0}) == (cache.stats().generated_cost, cache.stats().recouped_cost)

    @pytest.mark.parametrize("price", [-1, "1", None, float("nan"), float("inf"), True])
    def test_a_price_that_is_none_is_refused(self, price: Any) -> None:
        with pytest.raises(ConfigurationError, match="price="):
            LRUCache().set("a", 1, price=price)

    @pytest.mark.parametrize("currency", ["", " ", 5])
    def test_a_currency_that_is_none_is_refused(self, currency: Any) -> None:
        with pytest.raises(ConfigurationError, match="currency="):
            LRUCache().register("llm", currency=currency)

    @pytest.mark.parametrize("price", [float("nan"), float("inf"), -5.0])
    def test_a_decision_that_is_no_price_costs_nothing(self, price: float) -> None:
        cache = LRUCache()
        cache.register("llm", currency="USD")
        assert 0.0 == cache.fetch("a", lambda: 1, pipeline="llm", decide=lambda _: Decision(price=price)).price
        assert {"USD": 0.0} == cache.stats().generated_cost
