"""A cache with tiers: looked up one after the other within one flight, written behind, invalidated together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clock import FakeClock
from recoup import LRUCache, ResultCache, cached_result
from recoup.cache.open_results import Decision
from recoup.errors import ConfigurationError, NotCachedError
from recoup.tiers import DiskTier

from .fake import DictTier
from .support import TIME_LIMIT, wait_until

NOW = 1_800_000_000.0


class Wall(FakeClock):
    """A wall clock."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wall() -> Wall:
    return Wall(NOW)


@pytest.fixture
def tier() -> DictTier:
    return DictTier()


@pytest.fixture
def make(tier: DictTier, clock: FakeClock, wall: Wall) -> Callable[..., LRUCache[Any]]:
    """Makes caches over the same tier: one after the other, as before and after a restart."""

    def make(**options: Any) -> LRUCache[Any]:
        known: dict[str, Any] = {"tiers": [tier], "codec": "bytes", "clock": clock, "wall_clock": wall}
        return LRUCache(**{**known, **options})

    return make


def never() -> Any:
    raise AssertionError("this was not to be generated")


async def anever() -> Any:
    raise AssertionError("this was not to be generated")


# --- what outlives memory


def test_a_result_outlives_the_process(make: Any, clock: FakeClock, wall: Wall) -> None:
    made = make().fetch("k", clock.costing(3.0, b"value"), pipeline="p", groups=["g"])
    assert ("miss", True, None) == (made.outcome, made.stored, made.tier)
    wall.advance(100)
    after = make()
    lookup = after.fetch("k", never, pipeline="p")
    assert (b"value", "hit", "disk", 3.0) == (lookup.value, lookup.outcome, lookup.tier, lookup.cost_seconds)
    assert (100, 86300) == (lookup.age_seconds, lookup.expires_in_seconds)
    stats = after.stats()
    assert (1, 0, 3.0) == (stats.hits, stats.misses, stats.recouped_seconds)
    again = after.fetch("k", never, pipeline="p")
    assert ("hit", None, 100) == (again.outcome, again.tier, again.age_seconds)
    (entry,) = after.entries()
    assert (["g"], "p", 100, 2) == (entry["groups"], entry["pipeline"], entry["age_seconds"], entry["hits"])


def test_what_was_evicted_comes_back_and_is_not_regretted(make: Any, clock: FakeClock) -> None:
    cache = make(max_size=1)
    cache.fetch("a", clock.costing(3.0, b"a"))
    cache.fetch("b", clock.costing(3.0, b"b"))
    lookup = cache.fetch("a", never)
    assert ("hit", "disk") == (lookup.outcome, lookup.tier)
    assert (0.0, 3.0) == (cache.stats().regretted_seconds, cache.stats().recouped_seconds)


def test_what_is_too_large_for_memory_is_stored_below_and_answers_all_who_wait(make: Any, tier: DictTier) -> None:
    cache = make(max_memory_mb=0.01)
    assert not cache.fetch("k", lambda: bytes(20_000)).stored
    assert 1 == len(tier.held)
    lookup = cache.fetch("k", never)
    assert (20_000, "hit", "disk") == (len(lookup.value), lookup.outcome, lookup.tier)
    assert (0, 1, 1) == (len(cache), cache.stats().hits, cache.stats().misses)
    assert 1 == cache.stats().histograms["default"].hit_age.count


def test_a_result_without_an_end_has_none_after_a_restart(make: Any) -> None:
    make(ttl_seconds=None).fetch("k", lambda: b"v")
    assert None is make(ttl_seconds=1.0).fetch("k", never).expires_in_seconds


def test_what_has_expired_is_a_miss(make: Any, wall: Wall) -> None:
    make(ttl_seconds=10).fetch("k", lambda: b"old")
    wall.advance(10)
    lookup = make().fetch("k", lambda: b"new")
    assert (b"new", "miss") == (lookup.value, lookup.outcome)


@pytest.mark.parametrize("skew", [-60.0, 60.0])
def test_a_clock_that_is_wrong_costs_as_much_of_the_life_and_nothing_else(make: Any, wall: Wall, skew: float) -> None:
    make(ttl_seconds=1000).fetch("k", lambda: b"v")
    wall.advance(skew)
    lookup = make().fetch("k", never)
    assert (min(1000, 1000 - skew), max(0, skew)) == (lookup.expires_in_seconds, lookup.age_seconds)


def test_set_and_get_go_through_the_tiers(make: Any, tier: DictTier) -> None:
    assert make().set("k", b"v", cost_seconds=2.0)
    cache = make()
    assert b"v" == cache.get("k") == cache["k"]
    assert b"none" == cache.get("other", b"none")
    with pytest.raises(KeyError):
        cache["other"]
    assert (2, 2) == (cache.stats().hits, cache.stats().misses)
    assert b"v" == make().pop("k")
    assert {} == tier.held


def test_a_lookup_that_takes_a_stored_result_or_none_searches_tiers(make: Any) -> None:
    make().set("k", b"v")
    cache = make()
    assert "disk" == cache.fetch("k", never, mode="only_if_cached").tier
    with pytest.raises(NotCachedError):
        cache.fetch("other", never, mode="only_if_cached")
    with pytest.raises(NotCachedError):
        asyncio.run(cache.afetch("other", anever, mode="only_if_cached"))
    assert {"cold": 2} == {reason: count for reason, count in cache.stats().miss_reasons.items() if count}
    assert "miss" == cache.fetch("other", lambda: b"x").outcome


def test_generating_anew_passes_the_tiers_by_and_stores_in_them(make: Any, tier: DictTier) -> None:
    make().set("k", b"old")
    cache = make()
    assert b"new" == cache.fetch("k", lambda: b"new", mode="refresh").value
    assert [] == tier.reads
    assert b"new" == make().get("k")


def test_what_may_not_be_kept_any_more_is_not_kept_below_either(make: Any, tier: DictTier) -> None:
    make().set("k", b"old")
    make().fetch("k", lambda: b"new", mode="refresh", decide=lambda _: Decision(store=False))
    assert {} == tier.held


@pytest.mark.parametrize("mode", ["bypass", "default"])
def test_past_the_cache_is_past_the_tiers(make: Any, tier: DictTier, mode: Any) -> None:
    make().set("k", b"old")
    cache = make(enabled=False)
    lookup = cache.fetch("k", lambda: b"new", mode=mode)
    assert ("bypass", b"new") == (lookup.outcome, lookup.value)
    assert [] == tier.reads
    assert b"old" == make().get("k")


# --- one flight


def test_callers_of_one_key_cause_one_read(make: Any, tier: DictTier) -> None:
    make().set("k", b"v", cost_seconds=2.0)
    cache = make()
    tier.entered.clear()
    tier.leave.clear()
    lookups: list[Any] = []
    threads = [threading.Thread(target=lambda: lookups.append(cache.fetch("k", never))) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert tier.entered.wait(TIME_LIMIT)
    tier.leave.set()
    for thread in threads:
        thread.join(TIME_LIMIT)
    assert 1 == len(tier.reads)
    assert {"hit"} == {lookup.outcome for lookup in lookups}
    stats = cache.stats()
    assert (20, 0, 0, 40.0) == (stats.hits, stats.misses, stats.coalesced, stats.recouped_seconds)


def test_coroutines_of_one_key_cause_one_read_and_one_generation(make: Any, tier: DictTier) -> None:
    async def main() -> None:
        cache = make()
        generated = asyncio.Event()

        async def generate() -> bytes:
            generated.set()
            await asyncio.sleep(0)
            return b"v"

        lookups = await asyncio.gather(*(cache.afetch("k", generate) for _ in range(20)))
        assert ["coalesced"] * 19 + ["miss"] == sorted(lookup.outcome for lookup in lookups)
        tier.reads.clear()
        after = make()
        lookups = await asyncio.gather(*(after.afetch("k", anever) for _ in range(20)))
        assert {("hit", b"v", "disk")} == {(lookup.outcome, lookup.value, lookup.tier) for lookup in lookups}
        assert 1 == len(tier.reads)
        assert 20 == after.stats().hits

    asyncio.run(main())


def test_who_waits_for_a_search_that_is_cancelled_searches_for_itself(make: Any, tier: DictTier) -> None:
    async def main() -> None:
        make().set("k", b"v")
        cache = make()
        tier.entered.clear()
        tier.leave.clear()
        first = asyncio.create_task(cache.afetch("k", anever))
        second = asyncio.create_task(cache.afetch("k", anever))
        await asyncio.to_thread(tier.entered.wait, TIME_LIMIT)
        first.cancel()
        tier.leave.set()
        assert b"v" == (await second).value
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())


# --- what is invalidated during a search


@pytest.fixture
def searching(make: Any, tier: DictTier) -> Iterator[tuple[LRUCache[Any], Callable[[], Any]]]:
    """A cache in which a search has read what is to be invalidated; and what lets it go on and gives its lookup."""
    make().set("k", b"old", pipeline="p", groups=["g"])
    cache = make()
    tier.entered.clear()
    tier.leave.clear()
    lookups: list[Any] = []
    thread = threading.Thread(target=lambda: lookups.append(cache.fetch("k", lambda: b"new", pipeline="p")))
    thread.start()
    assert tier.entered.wait(TIME_LIMIT)

    def end() -> Any:
        tier.leave.set()
        thread.join(TIME_LIMIT)
        return lookups[0]

    yield cache, end
    end()


@pytest.mark.parametrize(
    "invalidate",
    [
        lambda cache: cache.delete("k"),
        lambda cache: cache.clear(),
        lambda cache: cache.clear("p"),
        lambda cache: cache.purge(["g"]),
        lambda cache: cache.purge(["g"], "p"),
        lambda cache: cache.purge(["g"], soft=True),
    ],
    ids=["delete", "clear", "clear pipeline", "purge", "purge of a pipeline", "soft purge"],
)
def test_what_was_invalidated_during_its_search_does_not_answer(searching: Any, invalidate: Any) -> None:
    cache, end = searching
    invalidate(cache)
    lookup = end()
    assert (b"new", "miss") == (lookup.value, lookup.outcome)
    assert b"new" == cache.get("k")


@pytest.mark.parametrize(
    "invalidate", [lambda cache: cache.clear("q"), lambda cache: cache.purge(["h"])], ids=["pipeline", "group"]
)
def test_what_others_invalidate_during_a_search_does_not_concern_it(searching: Any, invalidate: Any) -> None:
    cache, end = searching
    invalidate(cache)
    assert (b"old", "hit") == ((lookup := end()).value, lookup.outcome)


def test_a_refresh_does_not_follow_a_search_and_is_not_undone_by_it(searching: Any) -> None:
    cache, end = searching
    assert b"newer" == cache.fetch("k", lambda: b"newer", pipeline="p", mode="refresh").value
    assert b"newer" == end().value
    assert b"newer" == cache.get("k")


def test_a_lookup_alone_does_not_bring_back_what_was_invalidated(make: Any, tier: DictTier) -> None:
    """`only_if_cached` beside somebody's search."""
    make().set("k", b"old")
    cache = make()
    tier.entered.clear()
    tier.leave.clear()
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(cache.get("k"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(tier.reads) == 2)
    cache.delete("k")
    tier.leave.set()
    for thread in threads:
        thread.join(TIME_LIMIT)
    assert [None, None] == results
    assert None is cache.get("k")


def test_invalidations_reach_all_tiers(clock: FakeClock, wall: Wall) -> None:
    near, far = DictTier("disk"), DictTier("shared")
    cache: LRUCache[bytes] = LRUCache(tiers=[near, far], codec="bytes", clock=clock, wall_clock=wall)
    cache.set("a", b"a", pipeline="p")
    cache.set("b", b"b", groups=["g"])
    cache.clear("p")
    assert 1 == len(near.held) == len(far.held)
    cache.purge(["g"])
    assert {} == near.held == far.held
    cache.set("c", b"c")
    assert cache.delete("c")
    assert {} == near.held == far.held
    assert not cache.delete("c")


def test_delete_says_whether_there_was_one_in_any_tier(make: Any) -> None:
    make().set("k", b"v")
    cache = make()
    assert cache.delete("k")
    assert not cache.delete("k")


# --- several tiers


def test_a_hit_in_a_lower_tier_fills_those_above(clock: FakeClock, wall: Wall) -> None:
    near, far = DictTier("disk"), DictTier("shared")

    def make() -> LRUCache[bytes]:
        return LRUCache(tiers=[near, far], codec="bytes", clock=clock, wall_clock=wall)

    make().set("k", b"v", cost_seconds=2.0, groups=["g"])
    kept = dict(near.held)
    near.held.clear()
    assert "shared" == make().fetch("k", never).tier
    assert kept == near.held
    assert "disk" == make().fetch("k", never).tier


def test_a_live_result_below_goes_before_one_that_has_expired_above(clock: FakeClock, wall: Wall) -> None:
    near, far = DictTier("disk"), DictTier("shared")

    def make(*tiers: DictTier, ttl: float) -> LRUCache[bytes]:
        return LRUCache(tiers=tiers, codec="bytes", clock=clock, wall_clock=wall, ttl_seconds=ttl)

    make(near, ttl=1).set("k", b"old")
    make(far, ttl=100).set("k", b"new")
    wall.advance(10)
    assert (b"new", "shared") == ((lookup := make(near, far, ttl=1).fetch("k", never)).value, lookup.tier)


def test_two_tiers_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two tiers have one name: disk, disk"):
        LRUCache(tiers=[DictTier(), DictTier()], codec="bytes")


def test_tiers_need_a_codec() -> None:
    with pytest.raises(ConfigurationError, match="tiers need a codec"):
        LRUCache(tiers=[DictTier()])


# --- what fails


def test_a_tier_that_fails_costs_a_generation_and_no_request(make: Any, tier: DictTier) -> None:
    tier.error = RuntimeError("broken")
    cache = make()
    cache.register("p")
    assert b"v" == cache.fetch("k", lambda: b"v").value
    assert b"v" == cache.fetch("k", never).value
    assert cache.delete("k")
    assert 0 == cache.clear()
    cache.purge(["g"])
    assert b"w" == asyncio.run(cache.afetch("k", _give(b"w"))).value
    assert {} == dict(cache.stats().tiers)
    assert cache.stats().internal_errors["tier"] >= 7
    assert cache.close()


def _give(value: bytes) -> Callable[[], Any]:
    async def give() -> bytes:
        return value

    return give


def test_a_key_that_other_processes_would_not_make_stays_in_memory(make: Any, tier: DictTier) -> None:
    cache, key = make(), object()
    assert b"v" == cache.fetch(key, lambda: b"v").value
    assert b"v" == cache.fetch(key, never).value
    assert cache.delete(key)
    assert ([], {}) == (tier.reads, tier.held)


@pytest.mark.parametrize("key", ["k", 1, 1.0, True, ("a", 1), b"k", None, "0" * 32, "0" * 31 + "g"], ids=repr)
def test_keys_of_any_kind_are_told_apart(make: Any, tier: DictTier, key: Any) -> None:
    keys: list[Any] = ["k", 1, 1.5, ("a", 1), b"k", None, "0" * 32, "0" * 31 + "g"]
    cache = make()
    for known in keys:
        cache.set(known, repr(known).encode())
    assert len(keys) == len(tier.held)
    expected = repr(key).encode() if key in keys and type(key) is not float and key is not True else None
    after = make()
    assert expected == after.get(key) or key in (1.0, True)


# --- in the library


def _cache(path: Path) -> ResultCache[Any]:
    return ResultCache(tiers=[DiskTier(path, retry_seconds=0.01)], codec="json")


def test_a_decorated_function_finds_its_results_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        cache = _cache(tmp_path)
        decorated = cached_result(pipeline="triple", cache=cache)(_triple)
        assert {"result": 15} == decorated(5) == decorated(number=5)
        assert [5] == _tripled
        assert cache.close(TIME_LIMIT)


_tripled: list[int] = []


def _triple(number: int) -> dict[str, int]:
    _tripled.append(number)
    return {"result": 3 * number}


def test_a_decorated_coroutine_function_too(tmp_path: Path) -> None:
    async def main(expected: list[int]) -> None:
        cache = _cache(tmp_path)
        decorated = cached_result(pipeline="double", cache=cache)(_double)
        assert [4, 4] == await asyncio.gather(decorated(2), decorated(2))
        assert expected == _doubled
        assert cache.close(TIME_LIMIT)

    asyncio.run(main([2]))
    asyncio.run(main([2]))


_doubled: list[int] = []


async def _double(number: int) -> int:
    _doubled.append(number)
    return 2 * number


def test_the_cache_opens_and_closes_its_tiers(make: Any, tier: DictTier) -> None:
    cache = make()
    assert (1, 0) == (tier.opened, tier.closed)
    assert cache.close(1.0)
    assert 1 == tier.closed


def test_a_cache_without_tiers_has_nothing_to_close() -> None:
    cache: LRUCache[bytes] = LRUCache()
    assert cache.close()
    assert {} == dict(cache.stats().tiers)
    assert {} == cache.stats().as_dict()["tiers"]
