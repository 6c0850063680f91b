"""Quotas: limits of one pipeline within the cache's, and what others cannot take from it."""

from __future__ import annotations

from typing import Any

import pytest

from clock import FakeClock
from recoup.cache import LRUCache
from recoup.errors import ConfigurationError

MB = 2**20


class Sized:
    """A value that is accounted for with so many megabytes, and takes none."""

    def __init__(self, megabytes: float) -> None:
        self.bytes = int(megabytes * MB)


def size_of(value: Any) -> int:
    return value.bytes if isinstance(value, Sized) else len(value)


@pytest.fixture
def cache(clock: FakeClock) -> LRUCache:
    return LRUCache(max_size=100_000, max_memory_mb=512, sizer=size_of, clock=clock)


def chats(cache: LRUCache, count: int = 1000) -> None:
    for number in range(count):
        cache.set(("chat", number), b"x" * 1000, pipeline="chat")


def paint(cache: LRUCache, count: int, megabytes: float = 100) -> list[bool]:
    return [cache.set(("image", number), Sized(megabytes), pipeline="images") for number in range(count)]


class TestAReserve:
    def test_keeps_five_large_images_from_evicting_small_answers(self, cache: LRUCache) -> None:
        cache.set_quota("chat", reserve_memory_mb=64)
        chats(cache)
        assert [True] * 8 == paint(cache, 8)
        assert (1000, 5) == (cache.count("chat"), cache.count("images"))
        assert [cache.get(("chat", number)) is not None for number in range(1000)] == [True] * 1000
        assert 3 == cache.stats().pipelines["images"].evictions["memory"]

    def test_is_needed_for_that(self, cache: LRUCache) -> None:
        chats(cache)
        paint(cache, 8)
        assert 0 == cache.count("chat")

    def test_protects_no_more_than_it_is(self, cache: LRUCache) -> None:
        cache.set_quota("chat", reserve_memory_mb=64)
        for number in range(200):
            cache.set(("chat", number), Sized(1), pipeline="chat")
        paint(cache, 20, 40)
        held = cache.pipeline_stats("chat").memory_bytes
        assert 63 * MB < held <= 64 * MB

    def test_bounds_what_a_result_of_another_pipeline_may_take(self, cache: LRUCache) -> None:
        cache.set_quota("chat", reserve_memory_mb=64)
        assert [False] == paint(cache, 1, 449)
        assert "too_large" == cache.fetch(("image", 0), lambda: Sized(1), pipeline="images").reason
        assert cache.set("chat", Sized(511), pipeline="chat")

    def test_is_not_taken_by_the_limit_of_entries_and_whoever_needs_room_makes_it(self, clock: FakeClock) -> None:
        cache = LRUCache(max_size=3, max_memory_mb=512, sizer=size_of, clock=clock)
        cache.set_quota("chat", reserve_memory_mb=64)
        cache.set_quota("images", reserve_memory_mb=64)
        for number in range(2):
            cache.set(("chat", number), b"x", pipeline="chat")
        assert [True, True] == paint(cache, 2, 1)
        assert [("chat", 0), ("chat", 1), ("image", 1)] == list(cache)
        assert 1 == cache.stats().pipelines["images"].evictions["size"]

    def test_must_leave_something_to_share(self, cache: LRUCache) -> None:
        cache.set_quota("chat", reserve_memory_mb=300)
        with pytest.raises(ConfigurationError, match=r"reserve 512 MB .*: expected less than max_memory_mb, 512"):
            cache.set_quota("images", reserve_memory_mb=212)
        with pytest.raises(ConfigurationError, match="expected less than max_memory_mb, 300"):
            cache.configure(max_memory_mb=300, max_size=5)
        assert (512, 100_000) == (cache.config()["max_memory_mb"], cache.config()["max_size"])
        cache.set_quota("chat", reserve_memory_mb=100)
        cache.set_quota("images", reserve_memory_mb=212)


class TestLimitsOfItsOwn:
    def test_evict_the_oldest_of_the_pipeline_with_a_cause_of_their_own(self, cache: LRUCache) -> None:
        cache.set("other", b"x")
        cache.set_quota("chat", max_entries=3)
        chats(cache, 3)
        cache.get(("chat", 0))
        cache.set(("chat", 3), b"x", pipeline="chat")
        assert {"other", ("chat", 0), ("chat", 2), ("chat", 3)} == set(cache)
        assert {"quota": 1} == {cause: n for cause, n in cache.stats().evictions.items() if n}
        assert "evicted" == cache.fetch(("chat", 1), lambda: b"", pipeline="chat").reason

    def test_of_memory_hold_at_once_when_they_are_set(self, cache: LRUCache) -> None:
        paint(cache, 5)
        cache.set_quota("images", max_memory_mb=250)
        assert [("image", 3), ("image", 4)] == list(cache)
        assert [False] == paint(cache, 1, 251)
        assert 3 == cache.stats().evictions["quota"]

    @pytest.mark.parametrize(
        "quota",
        [
            {"max_entries": 0},
            {"max_entries": 1.5},
            {"max_memory_mb": 0},
            {"max_memory_mb": "1"},
            {"reserve_memory_mb": -1},
            {"reserve_memory_mb": None},
            {"max_memory_mb": 10, "reserve_memory_mb": 11},
        ],
        ids=repr,
    )
    def test_are_refused_where_they_cannot_be_used(self, cache: LRUCache, quota: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=next(reversed(quota))):
            cache.set_quota("chat", **quota)
        assert {} == cache.stats().pipelines

    def test_keep_the_order_of_what_is_held_already(self, cache: LRUCache) -> None:
        for number in range(6):
            cache.set(number, b"x", pipeline="chat" if number % 2 else "images")
        cache.get(1)
        before = [entry["key"] for entry in cache.entries()]
        cache.set_quota("chat", max_entries=10)
        cache.set_quota("images", max_entries=2)
        assert [key for key in before if key != 0] == [entry["key"] for entry in cache.entries()]
