"""What a cache counted is what a scrape shows."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import DuplicateTimeseries

import recoup
from clock import FakeClock
from recoup import ConcurrencyLimiter, LRUCache
from recoup.cache.stats import BYPASS_REASONS, SPENT_PURPOSES, CacheStats
from recoup.telemetry import METRICS, CacheCollector
from recoup.telemetry.catalogue import HTTP_REQUESTS, Metric
from recoup.telemetry.families import distributions, empty
from tiers.fake import DictTier

from .scene import EPOCH, RESULT, TRACE, a_full_life, registry_of

LOOKUPS = 500

#: What is no cache's: collectors of their own export these.
DOORS = {"recoup_http_requests", "recoup_in_flight_bytes", "recoup_in_flight_limit_bytes", "recoup_log_lines_dropped"}


@pytest.fixture(scope="module")
def lived() -> CollectorRegistry:
    return registry_of(a_full_life())


def value_of(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


class TestFigures:
    """Each metric after the life in `scene`, counted by hand there."""

    @pytest.mark.parametrize(
        ("outcome", "count"), [("hit", 3), ("stale", 1), ("coalesced", 1), ("miss", 16), ("bypass", 1)]
    )
    def test_lookups_by_outcome(self, lived: CollectorRegistry, outcome: str, count: int) -> None:
        assert count == value_of(lived, "recoup_lookups_total", pipeline="relief", outcome=outcome)

    @pytest.mark.parametrize(
        ("reason", "count"), [("cold", 11), ("expired", 1), ("evicted", 1), ("invalidated", 2), ("too_large", 1)]
    )
    def test_misses_by_reason(self, lived: CollectorRegistry, reason: str, count: int) -> None:
        assert count == value_of(lived, "recoup_misses_total", pipeline="relief", reason=reason)

    @pytest.mark.parametrize(("cause", "count"), [("size", 4), ("memory", 1), ("quota", 0), ("expired", 1)])
    def test_evictions_by_cause(self, lived: CollectorRegistry, cause: str, count: int) -> None:
        assert count == value_of(lived, "recoup_evictions_total", pipeline="relief", cause=cause)

    @pytest.mark.parametrize(("cause", "count"), [("cleared", 2), ("deleted", 1), ("purged", 0), ("replaced", 1)])
    def test_invalidations_by_cause(self, lived: CollectorRegistry, cause: str, count: int) -> None:
        assert count == value_of(lived, "recoup_invalidations_total", pipeline="relief", cause=cause)

    @pytest.mark.parametrize(
        ("error", "count"),
        [
            ("error", 0),
            ("rejected", 0),
            ("worker_died", 1),
            ("upstream", 0),
            ("refused", 0),
            ("queue_full", 0),
            ("timeout", 1),
            ("cancelled", 0),
        ],
    )
    def test_failures_by_error(self, lived: CollectorRegistry, error: str, count: int) -> None:
        assert count == value_of(lived, "recoup_generation_failures_total", pipeline="relief", error=error)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("recoup_unused_evictions_total", 4),
            ("recoup_entries", 2),
            ("recoup_recouped_seconds_total", 14.0),
            ("recoup_regretted_seconds_total", 2.0),
            ("recoup_generations_in_progress", 0),
            ("recoup_generations_waiting", 0),
            ("recoup_generation_duration_seconds_count", 15),
            ("recoup_generation_duration_seconds_sum", 30.0),
            ("recoup_entry_size_bytes_count", 12),
            ("recoup_hit_age_seconds_count", 3),
            ("recoup_hit_age_seconds_sum", 20.0),
            ("recoup_eviction_age_seconds_count", 6),
        ],
    )
    def test_figures_of_a_pipeline(self, lived: CollectorRegistry, name: str, value: float) -> None:
        assert value == pytest.approx(value_of(lived, name, pipeline="relief"))

    @pytest.mark.parametrize("name", ["generated", "recouped", "regretted"])
    def test_money_is_zero_from_the_start_where_there_is_a_price_and_absent_elsewhere(
        self, lived: CollectorRegistry, name: str
    ) -> None:
        series = f"recoup_{name}_cost_total"
        assert 0.0 == value_of(lived, series, pipeline="idle", currency="EUR")
        labels = [sample.labels for family in lived.collect() for sample in family.samples if sample.name == series]
        assert [{"pipeline": "idle", "currency": "EUR"}] == labels

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("recoup_entries_limit", 3),
            ("recoup_memory_limit_bytes", 2**20),
            ("recoup_enabled", 1),
            ("recoup_ttl_seconds", 100),
        ],
    )
    def test_the_configuration(self, lived: CollectorRegistry, name: str, value: float) -> None:
        assert value == value_of(lived, name)

    @pytest.mark.parametrize(
        ("bound", "count"), [("1.0", 1), ("5.0", 3), ("15.0", 4), ("60.0", 5), ("300.0", 6), ("+Inf", 6)]
    )
    def test_buckets_are_cumulative(self, lived: CollectorRegistry, bound: str, count: int) -> None:
        """Evictions at the ages of 1, 2, 3, 6, 17 and over 100 seconds."""
        assert count == value_of(lived, "recoup_eviction_age_seconds_bucket", pipeline="relief", le=bound)

    def test_memory_is_what_the_cache_says_that_it_holds(self) -> None:
        cache = a_full_life()

        assert cache.stats().memory_bytes == value_of(registry_of(cache), "recoup_memory_bytes", pipeline="relief")

    @pytest.mark.parametrize(("setting", "count"), [("max_size", 1), ("max_memory_mb", 0), ("ttl_seconds", 0)])
    def test_configuration_changes(self, lived: CollectorRegistry, setting: str, count: int) -> None:
        assert count == value_of(lived, "recoup_config_changes_total", setting=setting)

    @pytest.mark.parametrize(("part", "count"), [("sizer", 1), ("store", 0), ("telemetry", 0)])
    def test_internal_errors(self, lived: CollectorRegistry, part: str, count: int) -> None:
        assert count == value_of(lived, "recoup_internal_errors_total", part=part)

    def test_the_build(self, lived: CollectorRegistry) -> None:
        labels = {"version": recoup.__version__, "python": platform.python_version()}

        assert 1 == value_of(lived, "recoup_build_info", **labels)

    @pytest.mark.parametrize(
        ("outcome", "count", "seconds"), [("miss", 1, 2.0), ("hit", 2, 0.30004), ("stale", 0, 0.0)]
    )
    def test_what_callers_waited(self, lived: CollectorRegistry, outcome: str, count: int, seconds: float) -> None:
        name, labels = "recoup_request_duration_seconds", {"pipeline": "relief", "outcome": outcome}

        assert (count, pytest.approx(seconds)) == (  # type: ignore[comparison-overlap]
            value_of(lived, f"{name}_count", **labels),
            value_of(lived, f"{name}_sum", **labels),
        )


class TestGauges:
    def test_generations_in_progress_and_waiting_are_of_this_moment(self) -> None:
        cache, limiter, seen = LRUCache(), ConcurrencyLimiter(1, 1), []
        cache.register("relief", limiter)
        registry = registry_of(cache)
        waiter = threading.Thread(target=lambda: cache.fetch("b", lambda: b"", pipeline="relief", limiter=limiter))

        def generate() -> bytes:
            waiter.start()
            until(lambda: limiter.waiting == 1)
            seen.append(value_of(registry, "recoup_generations_in_progress", pipeline="relief"))
            seen.append(value_of(registry, "recoup_generations_waiting", pipeline="relief"))
            return b""

        cache.fetch("a", generate, pipeline="relief", limiter=limiter)
        waiter.join(60)

        assert [1, 1] == seen
        assert 0 == value_of(registry, "recoup_generations_in_progress", pipeline="relief")
        assert 0 == value_of(registry, "recoup_generations_waiting", pipeline="relief")

    def test_a_disabled_cache_is_shown_as_one(self) -> None:
        assert 0 == value_of(registry_of(LRUCache(enabled=False)), "recoup_enabled")

    def test_entries_that_never_expire_are_shown_as_a_ttl_of_zero(self) -> None:
        assert 0 == value_of(registry_of(LRUCache(ttl_seconds=None)), "recoup_ttl_seconds")


class TestZeros:
    def test_every_known_label_value_is_exported_as_zero_before_the_first_lookup(self) -> None:
        cache = LRUCache(tiers=[DictTier()], codec="bytes")
        cache.register("relief")
        families = {family.name: family for family in CacheCollector(cache).collect()}

        for metric in (metric for metric in METRICS if metric.values and metric.name not in DOORS):
            samples = families[metric.name.removesuffix("_total")].samples
            for label, words in metric.values.items():
                assert set(words) == {sample.labels[label] for sample in samples}
            assert {0} == {sample.value for sample in samples}

    def test_no_series_is_made_up_for_a_pipeline_that_nobody_knows(self) -> None:
        samples = [sample for family in CacheCollector(LRUCache()).collect() for sample in family.samples]

        assert [] == [sample.name for sample in samples if "pipeline" in sample.labels]

    def test_a_word_that_the_catalogue_does_not_know_is_counted_all_the_same(self) -> None:
        cache = LRUCache()
        cache.note_internal_error("second_tier", OSError("gone"))

        assert 1 == value_of(registry_of(cache), "recoup_internal_errors_total", part="second_tier")

    def test_a_reset_of_the_statistics_sets_the_counters_to_zero_and_keeps_the_gauges(self) -> None:
        cache = a_full_life()
        cache.reset_stats()
        registry = registry_of(cache)

        assert 0 == value_of(registry, "recoup_lookups_total", pipeline="relief", outcome="hit")
        assert 2 == value_of(registry, "recoup_entries", pipeline="relief")


class Counted:
    """A cache that gives nothing but its statistics, and counts how often it is asked."""

    def __init__(self, cache: LRUCache) -> None:
        self._cache = cache
        self.asked = 0

    def stats(self) -> CacheStats:
        self.asked += 1
        return self._cache.stats()


class TestScrapes:
    def test_registering_takes_no_snapshot(self) -> None:
        counted = Counted(LRUCache())
        CollectorRegistry(auto_describe=True).register(CacheCollector(counted))

        assert 0 == counted.asked

    def test_a_scrape_takes_one_snapshot_and_nothing_else(self) -> None:
        counted = Counted(a_full_life())
        registry = CollectorRegistry()
        registry.register(CacheCollector(counted))
        generate_latest(registry)

        assert 1 == counted.asked

    def test_a_second_cache_in_one_registry_is_refused(self) -> None:
        registry = registry_of(LRUCache())

        with pytest.raises(DuplicateTimeseries):
            registry.register(CacheCollector(LRUCache()))

    def test_described_is_what_is_collected(self) -> None:
        collector = CacheCollector(LRUCache())

        assert [family_of(family) for family in collector.describe()] == [
            family_of(family) for family in collector.collect()
        ]

    def test_everything_of_the_catalogue_but_http_is_collected(self) -> None:
        collected = {family_of(family)[0] for family in CacheCollector(LRUCache()).collect()}

        assert {metric.name.removesuffix("_total") for metric in METRICS} - DOORS == collected
        assert HTTP_REQUESTS in METRICS

    @pytest.mark.load
    def test_a_scrape_costs_the_same_with_ten_entries_and_with_a_hundred_thousand(self) -> None:
        few, many = (seconds_of_a_scrape(filled(entries)) for entries in (10, 100_000))

        assert many < 3 * few


class TestThreads:
    def test_counters_never_decrease_and_end_exact_while_sixteen_threads_look_up(self) -> None:
        cache, ended = LRUCache(max_size=8), threading.Event()
        seen: list[float] = []
        registry = registry_of(cache)
        threads = [threading.Thread(target=look_up, args=(cache, number)) for number in range(16)]
        scraper = threading.Thread(target=scrape, args=(registry, ended, seen))
        scraper.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        ended.set()
        scraper.join(60)

        assert sorted(seen) == seen
        assert 16 * LOOKUPS == lookups(registry)


class TestLabelValues:
    NAME = 'we"ird\n\\ü'

    def test_whatever_a_pipeline_is_called_can_be_read_back(self) -> None:
        cache = LRUCache()
        cache.register(self.NAME)
        text = generate_latest(registry_of(cache)).decode()

        assert {self.NAME} == {
            sample.labels["pipeline"]
            for family in parse_text(text)
            for sample in family.samples
            if "pipeline" in sample.labels
        }

    def test_whatever_a_trace_is_called_can_be_read_back(self) -> None:
        """But for a quote: written as it should be, prometheus-client's own parser stumbles over it."""
        cache, trace = LRUCache(), self.NAME.replace('"', "")
        cache.record_request("relief", "hit", 0.1, trace)
        families = parse_openmetrics("\n".join(openmetrics(cache)) + "\n")
        exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]

        assert [trace] == [exemplar.labels["trace_id"] for exemplar in exemplars]


class TestExemplars:
    def test_they_stand_on_the_buckets_of_request_durations_and_nowhere_else(self) -> None:
        lines = [line for line in openmetrics(a_full_life()) if " # " in line]

        assert [
            f'recoup_request_duration_seconds_bucket{{le="5e-05",outcome="hit",pipeline="relief"}} 1.0'
            f' # {{trace_id="{TRACE}"}} 4e-05 {EPOCH}',
            f'recoup_request_duration_seconds_bucket{{le="2.5",outcome="miss",pipeline="relief"}} 1.0'
            f' # {{trace_id="{TRACE}"}} 2.0 {EPOCH}',
        ] == sorted(lines, key=lambda line: "miss" in line)

    def test_prometheus_text_has_none(self) -> None:
        assert b" # " not in generate_latest(registry_of(a_full_life()))

    @pytest.mark.parametrize(("length", "shown"), [(120, 1), (121, 0)])
    def test_an_identifier_longer_than_openmetrics_allows_makes_none(self, length: int, shown: int) -> None:
        cache = LRUCache()
        cache.record_request("relief", "hit", 0.1, "x" * length)

        assert shown == sum(" # " in line for line in openmetrics(cache))

    def test_an_empty_histogram_has_every_bucket_at_zero(self) -> None:
        metric = Metric("seconds", "histogram", (), "seconds", "Seconds.", buckets=(1.0, 2.0))
        samples = distributions(metric, [((), empty(metric))]).samples

        assert [("1.0", 0), ("2.0", 0), ("+Inf", 0)] == [
            (sample.labels["le"], sample.value) for sample in samples if "le" in sample.labels
        ]


def look_up(cache: LRUCache, number: int) -> None:
    for turn in range(LOOKUPS):
        cache.fetch((number * turn) % 16, lambda: b"x", pipeline="relief")


def scrape(registry: CollectorRegistry, ended: threading.Event, seen: list[float]) -> None:
    while not ended.is_set():
        seen.append(lookups(registry))


def lookups(registry: CollectorRegistry) -> float:
    """All lookups of one scrape."""
    samples = [sample for family in registry.collect() if family.name == "recoup_lookups" for sample in family.samples]
    return sum(sample.value for sample in samples)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Give other threads their turn until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0)


def family_of(family) -> tuple[str, str, str]:
    return family.name, family.type, family.unit


def openmetrics(cache: LRUCache) -> list[str]:
    return generate_openmetrics(registry_of(cache)).decode().splitlines()


def filled(entries: int) -> LRUCache:
    cache = LRUCache(max_size=entries)
    for key in range(entries):
        cache.set(key, b"x", pipeline="relief")
    return cache


def seconds_of_a_scrape(cache: LRUCache) -> float:
    """The best of several, so that what else the machine does is not measured."""
    registry, best = registry_of(cache), float("inf")
    for _ in range(9):
        start = time.thread_time()
        generate_latest(registry)
        best = min(best, time.thread_time() - start)
    return best


def test_what_a_bypass_spends_is_told_apart_from_what_a_miss_spends() -> None:
    clock = FakeClock()
    cache = LRUCache(clock=clock)
    cache.fetch("a", clock.costing(2.0, RESULT), pipeline="relief")
    cache.fetch("a", clock.costing(3.0, RESULT), pipeline="relief", mode="bypass")
    cache.configure(enabled=False)
    cache.fetch("a", clock.costing(4.0, RESULT), pipeline="relief")

    registry = registry_of(cache)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"pipeline": "relief", **labels})

    assert {"miss": 2.0, "bypass": 7.0, "refresh": 0.0, "verification": 0.0} == {
        purpose: value("recoup_spent_seconds_total", purpose=purpose) for purpose in SPENT_PURPOSES
    }
    assert {"request": 1, "credentials": 0, "disabled": 1, "uncacheable": 0, "error": 0} == {
        reason: value("recoup_bypasses_total", reason=reason) for reason in BYPASS_REASONS
    }
