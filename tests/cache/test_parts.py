"""The small parts: what left and why, the limiter, the histogram, the measure, the statistics."""

from __future__ import annotations

import math
import random
import threading
from typing import Any

import numpy as np
import pytest

from clock import FakeClock
from recoup.cache import ConcurrencyLimiter, LRUCache, measure
from recoup.cache.ghosts import GhostList
from recoup.cache.histogram import Histogram
from recoup.cache.stats import CORE_PARTS, MISS_REASONS, OUTCOMES, Exemplar
from recoup.errors import GENERATION_ERROR_KINDS, ConfigurationError, QueueFullError

from .support import TIME_LIMIT, Threads, wait_until


class TestDepartures:
    @pytest.mark.parametrize("reason", ["expired", "evicted", "invalidated", "too_large"])
    def test_it_remembers_why(self, reason: Any) -> None:
        ghosts = GhostList(10)
        ghosts.note("a", reason)

        assert (reason, None) == (ghosts.reason("a"), ghosts.reason("b"))
        ghosts.take("a")
        assert ghosts.reason("a") is None

    def test_the_newest_reason_counts(self) -> None:
        ghosts = GhostList(10)
        ghosts.note("a", "evicted")
        ghosts.note("a", "invalidated")

        assert "invalidated" == ghosts.reason("a")

    @pytest.mark.parametrize("keys", [range(2000), [f"key {number}" for number in range(2000)]])
    def test_about_as_many_as_the_limit_of_entries_are_remembered(self, keys: Any) -> None:
        ghosts = GhostList(2000)
        for key in keys:
            ghosts.note(key, "evicted")

        assert 0.9 * 2000 < sum(ghosts.reason(key) == "evicted" for key in keys)

    def test_it_is_bounded_and_never_tells_of_what_did_not_leave(self) -> None:
        ghosts = GhostList(1)
        for number in range(100_000):
            ghosts.note(("left", number), "evicted")

        assert 4096 >= sum(ghosts.reason(("left", number)) is not None for number in range(100_000))
        assert {None} == {ghosts.reason(("never", number)) for number in range(20_000)}

    def test_what_is_remembered_survives_a_higher_limit(self) -> None:
        """The table has more words for a million entries, and every reason is found in it."""
        ghosts = GhostList(1000)
        for number in range(900):
            ghosts.note(f"key {number}", "evicted" if number % 2 else "expired")
        known = [ghosts.reason(f"key {number}") for number in range(900)]
        grown = ghosts.grown(50_000)

        assert known == [grown.reason(f"key {number}") for number in range(900)]
        assert grown is grown.grown(10)

    def test_reasons_survive_reset_of_the_statistics(self) -> None:
        cache = LRUCache(max_size=1)
        cache["a"] = cache["b"] = 1
        cache.reset_stats()
        cache.get("a")

        assert 1 == cache.stats().miss_reasons["evicted"]


class TestConcurrencyLimiter:
    def test_so_many_at_one_time_so_many_waiting_and_no_more(self) -> None:
        limiter = ConcurrencyLimiter(2, 3)
        leave = threading.Event()
        inside: list[int] = []

        def enter() -> None:
            with limiter:
                inside.append(limiter.in_progress)
                assert leave.wait(TIME_LIMIT)

        entered = Threads([enter] * 5)
        wait_until(lambda: (limiter.in_progress, limiter.waiting) == (2, 3))
        with pytest.raises(QueueFullError, match="2 are generating and 3 wait"), limiter:
            pytest.fail("let in")
        leave.set()
        entered.join()
        assert (0, 0) == (limiter.in_progress, limiter.waiting)
        assert 5 == len(inside)
        assert max(inside) <= 2

    def test_an_error_inside_gives_the_turn_back(self) -> None:
        limiter = ConcurrencyLimiter(1, 0)
        for _ in range(3):
            with pytest.raises(ValueError, match="inside"), limiter:
                raise ValueError("inside")

        assert 0 == limiter.in_progress

    def test_it_estimates_when_to_come_again(self) -> None:
        clock = FakeClock()
        limiter = ConcurrencyLimiter(1, 0, clock=clock)
        with limiter:
            clock.advance(7.5)
        with limiter, pytest.raises(QueueFullError) as caught, limiter:
            pytest.fail("let in")

        assert 8 == caught.value.retry_after_seconds

    @pytest.mark.parametrize("limits", [(0, 1), (1, -1)])
    def test_limits_out_of_their_bounds_are_refused(self, limits: tuple[int, int]) -> None:
        with pytest.raises(ConfigurationError):
            ConcurrencyLimiter(*limits)


class TestHistogram:
    def test_a_bucket_holds_what_is_at_most_its_bound(self) -> None:
        histogram = Histogram((1.0, 5.0))
        for value in (0.0, 1.0, 1.5, 5.0, 5.5, math.inf):
            histogram.observe(value)

        assert (2, 2, 2) == histogram.snapshot().counts
        assert 6 == histogram.snapshot().count

    def test_each_bucket_keeps_its_newest_exemplar(self) -> None:
        histogram = Histogram((1.0,))
        older, newer, large = (Exemplar(name, value, 0.0) for name, value in [("a", 0.5), ("b", 0.7), ("c", 9.0)])
        for exemplar in (older, newer, large):
            histogram.observe(exemplar.value, exemplar.trace_id, exemplar.timestamp)
        histogram.observe(0.1)

        assert {0: newer, 1: large} == histogram.snapshot().exemplars

    @pytest.mark.parametrize("count", [0, 1, 2, 50, 1000])
    def test_many_at_once_come_to_what_each_alone_comes_to(self, count: int) -> None:
        bounds = (0.1, 0.2, 0.5, 0.9)
        drawn = random.Random(count)
        values = [drawn.choice([*bounds, 0.0, 2.0, drawn.random()]) for _ in range(count)]
        trace_ids = [str(number) for number in range(count)]
        together, alone = Histogram(bounds), Histogram(bounds)
        for histogram in (together, alone):
            histogram.observe(0.3, "before", 1.0)
        together.observe_all(values, trace_ids, 2.0)
        for value, trace_id in zip(values, trace_ids, strict=True):
            alone.observe(value, trace_id, 2.0)

        assert alone.snapshot().counts == together.snapshot().counts
        assert alone.snapshot().exemplars == together.snapshot().exemplars
        assert pytest.approx(alone.snapshot().total) == together.snapshot().total

    def test_a_snapshot_stays_as_it_is(self) -> None:
        histogram = Histogram((1.0,))
        before = histogram.snapshot()
        histogram.observe(0.5, "a")

        assert ((0, 0), {}) == (before.counts, before.exemplars)


class TestMeasure:
    def test_bytes_count_by_length_and_arrays_by_their_data(self) -> None:
        assert [0, 1, 5000] == [measure(bytes(size)) for size in (0, 1, 5000)]
        assert 8000 == measure(np.zeros(1000))
        assert measure(np.zeros(1000)[:10]) >= 8000

    def test_a_shared_object_counts_once(self) -> None:
        shared = "x" * 10_000

        assert measure([shared] * 10) < 11_000
        assert measure([shared, "y" * 10_000]) > 20_000

    def test_containers_and_attributes_are_followed(self) -> None:
        class Holder:
            def __init__(self) -> None:
                self.inside = {"deep": [("x" * 10_000,)]}

        class Slotted:
            __slots__ = ("inside",)

        slotted = Slotted()
        slotted.inside = "x" * 10_000  # type: ignore[attr-defined]
        assert 10_000 < measure(Holder()) < 11_500
        assert 10_000 < measure(slotted) < 10_500
        assert 10_000 < measure({"x" * 10_000: 1}) < 10_700

    def test_what_contains_itself_has_a_size(self) -> None:
        value: list[Any] = [1]
        value.append(value)

        assert 0 < measure(value) < 200

    def test_classes_and_functions_are_the_programs(self) -> None:
        assert 0 == measure(dict) == measure(math) == measure(test_every_word_is_there_from_the_start) == measure(None)


def test_every_word_is_there_from_the_start() -> None:
    cache = LRUCache()
    cache.register("llm")
    stats = cache.stats()

    assert set(MISS_REASONS) == set(stats.pipelines["llm"].miss_reasons)
    assert set(GENERATION_ERROR_KINDS) == set(stats.pipelines["llm"].generation_failures)
    assert set(OUTCOMES) == set(stats.histograms["llm"].request_duration)
    assert set(CORE_PARTS) <= set(stats.internal_errors)
    assert stats.as_dict()["hit_ratio"] is None
    assert {"llm"} == set(stats.as_dict()["pipelines"])


def test_what_callers_waited_is_counted_by_outcome_with_exemplars() -> None:
    cache = LRUCache(wall_clock=lambda: 123.0)
    for _ in range(5000):
        cache.record_request("llm", "hit", 0.0002)
    cache.record_request("llm", "miss", 2.0, trace_id="abc")
    durations = cache.stats().histograms["llm"].request_duration

    assert (5000, 1) == (durations["hit"].count, durations["miss"].count)
    assert [Exemplar("abc", 2.0, 123.0)] == list(durations["miss"].exemplars.values())
    assert pytest.approx(1.0) == durations["hit"].total


def test_uptime_passes_with_the_clock() -> None:
    clock = FakeClock()
    cache = LRUCache(clock=clock)
    clock.advance(12.5)

    assert 12.5 == cache.stats().uptime_seconds
