"""The eight groups of behaviour that the product was specified with."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from clock import FakeClock
from recoup import CacheEntry, LRUCache, get_cache, set_cache
from recoup.errors import ConfigurationError

#: Bytes in a megabyte, as the limits count them.
MB = 2**20
TIME_LIMIT = 30.0


def keys_by_recency(cache: LRUCache) -> list[object]:
    return [entry["key"] for entry in cache.entries()]


def run_together(count: int, work) -> None:
    """Run `work(number)` in threads that begin together, and raise what one of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(TIME_LIMIT)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIME_LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]


class TestLRUCacheBasics:
    def test_initialisation_with_the_defaults_of_the_contract(self) -> None:
        cache = LRUCache()

        assert {
            "max_size": 1000,
            "max_memory_mb": 512,
            "ttl_seconds": 86400,
            "enabled": True,
            "policy": "lru",
        } == cache.config()
        assert 0 == len(cache)
        assert 0 == cache.stats().memory_bytes

    def test_initialisation_with_limits_of_ones_own(self) -> None:
        cache = LRUCache(max_size=7, max_memory_mb=1.5, ttl_seconds=60, enabled=False)

        assert {
            "max_size": 7,
            "max_memory_mb": 1.5,
            "ttl_seconds": 60,
            "enabled": False,
            "policy": "lru",
        } == cache.config()
        assert 3 * MB // 2 == cache.stats().max_memory_bytes

    def test_initialisation_takes_keyword_arguments_only(self) -> None:
        with pytest.raises(TypeError):
            LRUCache(10)  # type: ignore[call-arg]

    @pytest.mark.parametrize("options", [{"max_size": 0}, {"max_memory_mb": 0}, {"ttl_seconds": -1}, {"enabled": 1}])
    def test_initialisation_refuses_what_cannot_be_used(self, options: dict) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            LRUCache(**options)

    def test_what_is_set_is_got(self) -> None:
        cache = LRUCache()

        assert cache.set("mesh", b"solid") is True
        assert b"solid" == cache.get("mesh")
        assert b"solid" == cache["mesh"]
        assert "mesh" in cache
        assert 1 == len(cache)

    def test_setting_again_replaces(self) -> None:
        cache = LRUCache()
        cache["mesh"] = "coarse"
        cache["mesh"] = "fine"

        assert "fine" == cache["mesh"]
        assert 1 == len(cache)
        assert 1 == cache.stats().invalidations["replaced"]

    def test_none_is_a_value(self) -> None:
        cache = LRUCache()
        cache.set("nothing", None)

        assert cache.get("nothing", "default") is None
        assert "nothing" in cache
        assert 1 == cache.stats().hits

    def test_a_miss_gives_the_default(self) -> None:
        cache = LRUCache()

        assert cache.get("absent") is None
        assert "default" == cache.get("absent", "default")
        with pytest.raises(KeyError, match="absent"):
            cache["absent"]
        assert (0, 3) == (cache.stats().hits, cache.stats().misses)
        assert 3 == cache.stats().miss_reasons["cold"]

    def test_delete_removes_and_says_whether_there_was_one(self) -> None:
        cache = LRUCache()
        cache["mesh"] = b"solid"

        assert cache.delete("mesh") is True
        assert cache.delete("mesh") is False
        assert "mesh" not in cache
        assert (0, 0) == (len(cache), cache.stats().memory_bytes)
        assert 1 == cache.stats().invalidations["deleted"]
        with pytest.raises(KeyError):
            del cache["mesh"]

    def test_clear_removes_everything_and_says_how_many(self) -> None:
        cache = LRUCache()
        for number in range(5):
            cache[number] = number

        assert 5 == cache.clear()
        assert 0 == cache.clear()
        assert (0, 0) == (len(cache), cache.stats().memory_bytes)
        assert 5 == cache.stats().invalidations["cleared"]

    def test_clear_of_one_pipeline_leaves_the_others(self) -> None:
        cache = LRUCache()
        cache.set("a", 1, pipeline="relief")
        cache.set("b", 2, pipeline="llm")
        cache.set("c", 3, pipeline="relief")

        assert 2 == cache.clear("relief")
        assert 0 == cache.clear("unheard-of")
        assert ["b"] == list(cache)

    def test_it_is_walked_from_what_was_stored_longest_ago(self) -> None:
        cache = LRUCache()
        for key in ("a", "b", "a"):
            cache[key] = key
        cache.get("b")

        assert ["b", "a"] == list(cache)
        assert ["b", "a"] == [entry["key"] for entry in cache.entries(sort="oldest")]


class TestLRUCacheEviction:
    def test_the_least_recently_used_goes_first(self) -> None:
        cache = LRUCache(max_size=3)
        for key in "abc":
            cache[key] = key
        cache.get("a")
        cache["d"] = "d"

        assert ["d", "a", "c"] == keys_by_recency(cache)
        assert "b" not in cache

    def test_setting_again_makes_an_entry_the_newest(self) -> None:
        cache = LRUCache(max_size=3)
        for key in "abca":
            cache[key] = key
        cache["d"] = "d"

        assert ["d", "a", "c"] == keys_by_recency(cache)

    def test_asking_whether_a_key_is_in_does_not_renew_it(self) -> None:
        cache = LRUCache(max_size=2)
        cache["a"] = cache["b"] = 1
        assert "a" in cache
        cache["c"] = 1

        assert ["c", "b"] == keys_by_recency(cache)

    def test_the_memory_limit_evicts_from_the_oldest(self) -> None:
        cache = LRUCache(max_memory_mb=1)
        for number in range(20):
            cache[number] = bytes(100_000)

        stats = cache.stats()
        assert stats.memory_bytes <= MB
        assert 10 == len(cache)
        assert list(range(10, 20)) == sorted(cache)  # type: ignore[type-var]
        assert {"size": 0, "memory": 10, "quota": 0, "expired": 0} == stats.evictions

    def test_one_large_value_makes_room_for_itself(self) -> None:
        cache = LRUCache(max_memory_mb=1)
        for number in range(10):
            cache[number] = bytes(100_000)
        cache["large"] = bytes(900_000)

        assert "large" in cache
        assert cache.stats().memory_bytes <= MB
        assert 9 == cache.stats().evictions["memory"]

    def test_a_value_larger_than_the_whole_limit_is_not_stored(self) -> None:
        cache = LRUCache(max_memory_mb=1)
        cache["small"] = b"s"

        assert cache.set("huge", bytes(MB + 1)) is False
        assert ["small"] == list(cache)
        cache.get("huge")
        assert 1 == cache.stats().miss_reasons["too_large"]

    def test_the_count_limit_holds_after_every_write(self) -> None:
        cache = LRUCache(max_size=5)
        for number in range(50):
            cache[number] = number
            assert len(cache) == min(number + 1, 5)

        assert {"size": 45, "memory": 0, "quota": 0, "expired": 0} == cache.stats().evictions

    def test_evictions_are_tracked_by_cause_and_use(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(max_size=2, clock=clock)
        cache.set("used", 1, pipeline="llm")
        cache.get("used")
        cache.set("unused", 2, pipeline="relief")
        clock.now += 10
        cache["a"] = cache["b"] = 3

        stats = cache.stats()
        assert 1 == stats.pipelines["llm"].evictions["size"] == stats.pipelines["relief"].evictions["size"]
        assert (0, 1) == (stats.pipelines["llm"].unused_evictions, stats.pipelines["relief"].unused_evictions)
        assert 10.0 == stats.histograms["llm"].eviction_age.total
        cache.get("unused")
        assert 1 == cache.stats().miss_reasons["evicted"]


class TestLRUCacheStatistics:
    def test_the_hit_ratio_is_hits_over_lookups(self) -> None:
        cache = LRUCache()
        assert cache.stats().hit_ratio is None
        cache["a"] = 1
        for key in "aaab":
            cache.get(key)

        stats = cache.stats()
        assert 0.75 == stats.hit_ratio
        assert (3, 1, 4) == (stats.hits, stats.misses, stats.lookups)

    def test_bypasses_do_not_count_for_the_hit_ratio(self) -> None:
        cache = LRUCache()
        cache["a"] = 1
        cache.get("a")
        cache.configure(enabled=False)
        cache.get("a")

        assert 1.0 == cache.stats().hit_ratio
        assert 1 == cache.stats().bypassed

    def test_hits_recoup_the_cost_of_what_answered(self) -> None:
        cache = LRUCache()
        cache.set("mesh", b"solid", cost_seconds=2.5)
        cache.get("mesh")
        cache.get("mesh")

        assert 5.0 == cache.stats().recouped_seconds

    def test_generating_again_what_was_evicted_is_regretted(self) -> None:
        cache = LRUCache(max_size=1)
        cache.set("a", 1, cost_seconds=2.0)
        cache.set("b", 1, cost_seconds=1.0)
        assert 0.0 == cache.stats().regretted_seconds
        cache.set("a", 1, cost_seconds=3.0)

        assert 3.0 == cache.stats().regretted_seconds

    def test_memory_is_tracked_with_value_key_and_bookkeeping(self) -> None:
        cache = LRUCache()
        cache["mesh"] = bytes(10_000)
        held = cache.stats().memory_bytes

        assert 10_000 < held <= 11_000
        assert held == cache.entries()[0]["size_bytes"] == cache.stats().pipelines["default"].memory_bytes
        assert held / MB == cache.stats().as_dict()["memory_mb"]
        cache.delete("mesh")
        assert 0 == cache.stats().memory_bytes

    def test_reset_sets_the_counts_back_and_keeps_the_entries(self) -> None:
        cache = LRUCache(max_size=2)
        for number in range(4):
            cache[number] = number
        cache.get(3)
        cache.get("absent")
        cache.configure(ttl_seconds=1000)
        cache.reset_stats()

        stats = cache.stats()
        assert (0, 0, 0, None) == (stats.hits, stats.misses, stats.unused_evictions, stats.hit_ratio)
        assert {0} == {*stats.evictions.values(), *stats.miss_reasons.values(), *stats.config_changes.values()}
        assert (2, 2) == (stats.entries, stats.peak_entries)
        assert stats.memory_bytes == stats.peak_memory_bytes > 0
        assert 0 == stats.histograms["default"].entry_size.count
        assert 3 == cache.get(3)

    def test_maximums_are_kept(self) -> None:
        cache = LRUCache(max_size=4)
        for number in range(9):
            cache[number] = bytes(1000)
        most = cache.stats().memory_bytes
        cache.clear()
        cache["small"] = b""

        stats = cache.stats()
        assert (1, 4) == (stats.entries, stats.peak_entries)
        assert most == stats.peak_memory_bytes > stats.memory_bytes


class TestLRUCacheTTL:
    def test_an_entry_expires_at_the_end_of_its_time(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(ttl_seconds=10, clock=clock)
        cache["a"] = 1
        clock.now += 9.75
        assert 1 == cache.get("a")
        clock.now += 0.25

        assert cache.get("a") is None
        assert "a" not in cache
        stats = cache.stats()
        assert (0, 0) == (stats.entries, stats.memory_bytes)
        assert (1, 1) == (stats.miss_reasons["expired"], stats.evictions["expired"])

    def test_reading_does_not_prolong_a_life(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(ttl_seconds=10, clock=clock)
        cache["a"] = 1
        clock.now += 6
        cache.get("a")
        clock.now += 6

        assert cache.get("a") is None

    def test_setting_again_begins_a_new_life(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(ttl_seconds=10, clock=clock)
        cache["a"] = 1
        clock.now += 6
        cache["a"] = 2
        clock.now += 6

        assert 2 == cache.get("a")

    def test_the_default_is_a_day(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(clock=clock)
        cache["a"] = 1

        assert 86400.0 == cache.entries()[0]["expires_in_seconds"]
        clock.now += 86400
        assert cache.get("a") is None

    @pytest.mark.parametrize(("given", "lives"), [(5, 5), (0.5, 0.5), (99999, 99999), (None, None), (0, None)])
    def test_a_ttl_of_ones_own_overrides_the_default(self, given: float | None, lives: float | None) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(ttl_seconds=100, clock=clock)
        cache.set("a", 1, ttl_seconds=given)
        assert lives == cache.entries()[0]["expires_in_seconds"]
        clock.now += 10.0**9 if lives is None else lives - 0.25
        assert 1 == cache.get("a")
        clock.now += 0.25

        assert (1 if lives is None else None) == cache.get("a")


class TestLRUCacheConfiguration:
    def test_the_configuration_is_what_was_given(self) -> None:
        cache = LRUCache(max_size=10)
        config = cache.config()

        assert {"max_size": 10, "max_memory_mb": 512, "ttl_seconds": 86400, "enabled": True, "policy": "lru"} == config
        config["max_size"] = 99
        assert 10 == cache.config()["max_size"]

    def test_a_smaller_size_evicts_at_once_from_the_oldest(self) -> None:
        cache = LRUCache(max_size=10)
        for number in range(10):
            cache[number] = number
        cache.get(0)

        assert 3 == cache.configure(max_size=3)["max_size"]
        assert [0, 9, 8] == keys_by_recency(cache)
        assert 7 == cache.stats().evictions["size"]

    def test_a_larger_size_takes_more(self) -> None:
        cache = LRUCache(max_size=2)
        cache.configure(max_size=5)
        for number in range(9):
            cache[number] = number

        assert 5 == len(cache)

    def test_less_memory_evicts_at_once(self) -> None:
        cache = LRUCache(max_memory_mb=4)
        for number in range(30):
            cache[number] = bytes(100_000)
        cache.configure(max_memory_mb=1)

        assert 10 == len(cache)
        assert cache.stats().memory_bytes <= MB == cache.stats().max_memory_bytes
        assert 20 == cache.stats().evictions["memory"]

    def test_one_bad_value_and_nothing_is_changed(self) -> None:
        cache = LRUCache(max_size=10)
        for number in range(10):
            cache[number] = number
        before = cache.config()

        with pytest.raises(ConfigurationError, match="max_memory_mb"):
            cache.configure(max_size=1, ttl_seconds=5, max_memory_mb=-1)
        assert before == cache.config()
        assert 10 == len(cache)
        assert {0} == set(cache.stats().config_changes.values())

    def test_disabled_it_answers_nothing_and_keeps_what_it_has(self) -> None:
        cache = LRUCache()
        cache["a"] = 1
        cache.configure(enabled=False)

        assert cache.get("a") is None
        assert cache.set("b", 2) is False
        cache.configure(enabled=True)
        assert 1 == cache.get("a")
        assert "b" not in cache


class TestLRUCacheThreadSafety:
    def test_concurrent_access_counts_exactly(self) -> None:
        cache = LRUCache(max_size=64)
        rounds = 2_000

        def work(number: int) -> None:
            for step in range(rounds):
                key = (step * 7 + number) % 96
                if cache.get(key) is None:
                    cache.set(key, key)

        run_together(8, work)

        stats = cache.stats()
        assert 8 * rounds == stats.hits + stats.misses
        assert stats.memory_bytes == sum(entry["size_bytes"] for entry in cache.entries(limit=1000))

    def test_concurrent_eviction_keeps_the_limits_and_the_books(self) -> None:
        cache = LRUCache(max_size=20, max_memory_mb=1)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            run_together(8, lambda number: [cache.set((number, step), bytes(60_000)) for step in range(200)])
        finally:
            sys.setswitchinterval(interval)

        stats = cache.stats()
        assert len(cache) == stats.entries <= 20
        assert stats.memory_bytes <= MB
        assert 8 * 200 == stats.entries + sum(stats.evictions.values())
        assert stats.memory_bytes == sum(entry["size_bytes"] for entry in cache.entries(limit=1000))


class TestLRUCacheEntries:
    def test_the_summary_of_an_entry(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(clock=clock, ttl_seconds=60)
        cache.set("mesh", b"solid", pipeline="relief", cost_seconds=1.5)
        clock.now += 2
        cache.get("mesh")
        clock.now += 3

        (entry,) = cache.entries()
        assert entry.pop("size_bytes") == cache.stats().memory_bytes
        assert {
            "key": "mesh",
            "pipeline": "relief",
            "age_seconds": 5.0,
            "idle_seconds": 3.0,
            "expires_in_seconds": 55.0,
            "hits": 1,
            "cost_seconds": 1.5,
            "groups": [],
            "price": 0.0,
            "tier": "memory",
        } == entry

    def test_pages_sorts_and_pipelines(self) -> None:
        clock = FakeClock(500.0)
        cache = LRUCache(clock=clock)
        for key, size, cost in [("a", 300, 1.0), ("b", 100, 3.0), ("c", 200, 2.0)]:
            cache.set(key, bytes(size), cost_seconds=cost, pipeline="even" if key == "b" else "odd")
            clock.now += 1
        for key in "bba":
            cache.get(key)

        def listed(**options) -> list[object]:
            return [entry["key"] for entry in cache.entries(**options)]

        assert ["a", "b", "c"] == listed() == listed(sort="recent") == listed(sort="oldest")
        assert ["a", "c", "b"] == listed(sort="largest")
        assert ["b", "a", "c"] == listed(sort="most_hit")
        assert ["b", "c", "a"] == listed(sort="costliest")
        assert ["b"] == listed(limit=1, offset=1)
        assert ["a", "c"] == listed(pipeline="odd")
        assert [] == listed(offset=3) == listed(limit=0) == listed(pipeline="unheard-of")

    def test_a_page_or_a_sort_that_cannot_be_is_refused(self) -> None:
        cache = LRUCache()
        for options in ({"limit": -1}, {"offset": -1}, {"sort": "newest"}):
            with pytest.raises(ConfigurationError, match=next(iter(options))):
                cache.entries(**options)

    def test_accesses_are_counted(self) -> None:
        cache = LRUCache()
        cache["a"] = cache["b"] = 1
        for _ in range(3):
            cache.get("a")
        cache.get("absent")

        assert {"a": 3, "b": 0} == {entry["key"]: entry["hits"] for entry in cache.entries()}
        cache["a"] = 2
        assert 0 == cache.inspect("a")["hits"]  # type: ignore[index]

    def test_looking_at_entries_counts_nothing(self) -> None:
        cache = LRUCache()
        cache["a"] = cache["b"] = 1
        for sort in ("recent", "oldest", "largest", "most_hit", "costliest"):
            cache.entries(sort=sort)
        cache.inspect("a")

        assert 0 == cache.stats().lookups
        assert ["b", "a"] == keys_by_recency(cache)

    def test_an_entry_that_was_hit_tells_what_it_is(self) -> None:
        cache = LRUCache()
        cache.set("mesh", b"solid", cost_seconds=1.5, pipeline="relief")
        entry = cache.try_hit("mesh")

        assert isinstance(entry, CacheEntry)
        assert ("mesh", b"solid", "relief", 1.5) == (entry.key, entry.value, entry.pipeline, entry.cost_seconds)


class TestLRUCacheSingleton:
    @pytest.fixture(autouse=True)
    def _no_cache_yet(self) -> Iterator[None]:
        set_cache(None)
        yield
        set_cache(None)

    def test_there_is_one_global_instance(self) -> None:
        caches: list[LRUCache] = []
        run_together(16, lambda _: caches.append(get_cache()))  # type: ignore[arg-type]

        assert isinstance(caches[0], LRUCache)
        assert {id(caches[0])} == set(map(id, caches))

    def test_what_it_holds_persists_between_uses(self) -> None:
        get_cache().set("mesh", b"solid")

        assert b"solid" == get_cache().get("mesh")
        assert 1 == get_cache().stats().hits

    def test_it_is_made_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CACHE_MAX_SIZE", "17")

        assert 17 == get_cache().config()["max_size"]
        monkeypatch.setenv("CACHE_MAX_SIZE", "18")
        assert 17 == get_cache().config()["max_size"]
