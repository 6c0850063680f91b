"""Whatever fails inside the cache, the caller gets its result, and the failure is counted and logged."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from recoup.cache import LRUCache, cached_result
from recoup.errors import NotCachedError

from .support import Threads, assert_consistent


def failures(cache: LRUCache) -> dict[str, int]:
    return {part: count for part, count in cache.stats().internal_errors.items() if count}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.ERROR, logger="recoup.cache")
    return lambda: [record.part for record in caplog.records if record.exc_info]  # type: ignore[attr-defined]


class NoHash:
    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class NoEquality:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")


def test_a_sizer_that_raises(logged: Any) -> None:
    def sizer(value: Any) -> int:
        raise RuntimeError("cannot tell")

    cache = LRUCache(sizer=sizer)
    lookup = cache.fetch("a", lambda: "mesh")

    assert ("mesh", "miss", False) == (lookup.value, lookup.outcome, lookup.stored)
    assert cache.set("a", 1) is False
    assert {"sizer": 2} == failures(cache)
    assert ["sizer", "sizer"] == logged()


@pytest.mark.parametrize("size", [-1, "many", None, 1.5])
def test_a_sizer_that_gives_no_size(size: Any) -> None:
    cache = LRUCache(sizer=lambda _: size)

    assert cache.set("a", 1) is False
    assert {"sizer": 1} == failures(cache)
    assert 0 == cache.stats().memory_bytes


def test_a_value_that_cannot_be_measured_takes_its_predecessor_with_it() -> None:
    cache = LRUCache(sizer=lambda value: len(value))
    cache["a"] = b"old"
    cache["a"] = 1

    assert "a" not in cache
    assert_consistent(cache)


def test_a_key_without_a_hash(logged: Any) -> None:
    cache = LRUCache()
    lookup = cache.fetch(NoHash(), lambda: "mesh")

    assert ("mesh", "bypass", False) == (lookup.value, lookup.outcome, lookup.stored)
    assert {"lookup": 1} == failures(cache)
    assert ["lookup"] == logged()
    assert 1 == cache.stats().lookups


def test_a_key_whose_equality_raises(logged: Any) -> None:
    cache = LRUCache()
    assert "mesh" == cache.fetch(NoEquality(), lambda: "mesh").value
    assert "other" == Threads([lambda: cache.fetch(NoEquality(), lambda: "other")]).join()[0].value

    assert 2 == cache.stats().lookups
    assert failures(cache)
    assert sum(failures(cache).values()) == len(logged())


@pytest.mark.parametrize("method", ["insert", "count_reads", "shrink", "after_write", "_replace"])
def test_a_broken_store(monkeypatch: pytest.MonkeyPatch, logged: Any, method: str) -> None:
    cache = LRUCache(max_size=1 if method == "shrink" else 1000)

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    cache["old"] = 1
    with monkeypatch.context() as patch:
        patch.setattr(type(cache._state.store), method, broken)
        assert 1 == cache.try_hit("old").value  # type: ignore[union-attr]
        assert "mesh" == cache.fetch("a", lambda: "mesh").value
        assert "again" == cache.fetch("old", lambda: "again", mode="refresh").value
    assert logged()
    assert len(logged()) == sum(failures(cache).values())
    assert 1 == cache.fetch("b", lambda: 1).value


def test_a_decorated_function_on_a_broken_store(monkeypatch: pytest.MonkeyPatch, logged: Any) -> None:
    cache = LRUCache()

    @cached_result(cache=cache)
    def function(x: int) -> int:
        return x

    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(type(cache._state.store), "insert", broken)
    assert [1, 1] == [function(1), function(1)]
    assert ["store", "store"] == logged()


def test_coroutines_too() -> None:
    cache = LRUCache()

    async def generate() -> str:
        return "mesh"

    assert "mesh" == asyncio.run(cache.afetch(NoHash(), generate)).value
    assert {"lookup": 1} == failures(cache)


def test_the_generators_own_error_is_never_hidden() -> None:
    cache = LRUCache()

    def fail() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        cache.fetch(NoHash(), fail)


@pytest.mark.parametrize("enabled", [True, False])
def test_only_if_cached_never_generates(enabled: bool) -> None:
    cache = LRUCache(enabled=enabled)

    with pytest.raises(NotCachedError):
        cache.fetch("a", lambda: pytest.fail("generated"), mode="only_if_cached")
    assert (int(enabled), int(not enabled)) == (cache.stats().misses, cache.stats().bypassed)


def test_what_others_note_is_counted_and_logged(logged: Any) -> None:
    cache = LRUCache()
    cache.note_internal_error("telemetry", RuntimeError("no"))

    assert {"telemetry": 1} == failures(cache)
    assert ["telemetry"] == logged()
