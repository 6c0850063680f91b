"""Expiry: collected in small steps, spread by jitter, and never for what never expires."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import FakeClock
from recoup import LRUCache

from .support import assert_consistent


class Value:
    """A value that a weak reference can watch."""


@pytest.mark.parametrize("size", [10, 100, 1000])
def test_what_expired_and_nobody_asks_for_is_let_go_within_a_bounded_number_of_writes(
    make_cache: Any, clock: Any, size: int
) -> None:
    cache = make_cache(max_size=2 * size, sizer=lambda _: 1)
    watched = []
    for number in range(size):
        value = Value()
        watched.append(weakref.ref(value))
        # Half of them stay, in between.
        cache.set(number, value, ttl_seconds=5 if number % 2 else None)
    del value
    clock.advance(5)
    for _ in range(size):
        cache.set("hot", 1)

    assert [None] * (size // 2) == [reference() for reference in watched[1::2]]
    assert size // 2 + 1 == len(cache)
    assert size // 2 == cache.stats().evictions["expired"]
    assert_consistent(cache)


def test_reads_that_move_entries_do_not_keep_expired_ones(make_cache: Any, clock: Any) -> None:
    cache = make_cache(max_size=500)
    for number in range(100):
        cache.set(number, number, ttl_seconds=5 if number % 2 else None)
    clock.advance(5)
    for step in range(300):
        for number in range(0, 100, 2):
            cache.get(number)
        cache.set("hot", step)

    assert 51 == len(cache)


STEPS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 15), st.sampled_from([None, 1, 3, 10, 50, 200])),
    st.tuples(st.just("get"), st.integers(0, 15), st.none()),
    st.tuples(st.just("delete"), st.integers(0, 15), st.none()),
    st.tuples(st.just("pass"), st.sampled_from([0.5, 2, 7, 30, 100]), st.none()),
)


@given(st.lists(STEPS, max_size=60), st.integers(0, 3))
def test_whatever_was_written_and_read_what_has_expired_goes_with_the_writes(
    steps: list[tuple[str, float, float | None]], reads: int
) -> None:
    clock = FakeClock()
    cache = LRUCache(max_size=12, clock=clock)
    for step, argument, ttl in steps:
        if step == "set":
            cache.set(argument, b"", ttl_seconds=ttl)
        elif step == "get":
            cache.get(argument)
        elif step == "delete":
            cache.delete(argument)
        else:
            clock.advance(argument)
    for _ in range(24):
        for key in range(reads):
            cache.get(key)
        cache.set("hot", b"", ttl_seconds=None)

    assert [] == [entry for entry in cache._state.store.live.values() if entry.expires_at <= clock.now]


def test_a_write_looks_at_no_other_entry_before_one_may_have_expired(make_cache: Any, clock: Any) -> None:
    cache = make_cache(max_size=100)
    for number in range(100):
        cache.set(number, number, ttl_seconds=10)
    order = cache._state.store.order
    looked_at = []
    cache._state.store.order = type(
        "Watched",
        (),
        {
            "__getattr__": lambda _, name: getattr(order, name),
            "after": lambda _, entry: looked_at.append(entry) or order.after(entry),  # type: ignore[func-returns-value]
        },
    )()
    clock.advance(9.9)
    for number in range(100):
        cache.set(number, number, ttl_seconds=100)
    assert [] == looked_at

    clock.advance(0.2)  # what would have expired now was replaced: one pass finds that out
    for _ in range(500):
        cache.set("hot", 1, ttl_seconds=100)
    assert 0 < len(looked_at) <= 100 + 8  # one pass, to the end of its last step


def test_statistics_collect_what_expired_where_nobody_writes(make_cache: Any, clock: Any) -> None:
    cache = make_cache()
    for number in range(100):
        cache.set(number, number, ttl_seconds=5)
    clock.advance(5)

    assert (0, 0) == (cache.stats().entries, cache.stats().memory_bytes)


def test_jitter_takes_off_at_most_its_share(make_cache: Any) -> None:
    cache = make_cache(ttl_seconds=100, ttl_jitter=0.25)
    for number in range(500):
        cache[number] = number
    lives = [entry["expires_in_seconds"] for entry in cache.entries(limit=500)]

    assert 75.0 <= min(lives) < 80.0
    assert 95.0 < max(lives) <= 100.0
    assert len(set(lives)) > 450


def test_without_jitter_lives_are_exact(make_cache: Any) -> None:
    cache = make_cache(ttl_seconds=100)
    cache["a"] = 1

    assert 100.0 == cache.entries()[0]["expires_in_seconds"]


@pytest.mark.parametrize("ttl", [None, 0])
@pytest.mark.parametrize("as_default", [True, False])
def test_none_and_0_never_expire(make_cache: Any, clock: Any, ttl: int | None, as_default: bool) -> None:
    cache = make_cache(ttl_seconds=ttl if as_default else 5, ttl_jitter=0.5)
    if as_default:
        cache["a"] = 1
        cache.fetch("b", lambda: 1)
    else:
        cache.set("a", 1, ttl_seconds=ttl)
        cache.fetch("b", lambda: 1, ttl_seconds=ttl)
    clock.advance(10.0**12)

    assert (1, 1) == (cache.get("a"), cache.get("b"))
    assert [None, None] == [entry["expires_in_seconds"] for entry in cache.entries()]


def test_a_value_that_became_too_large_takes_the_old_one_with_it(make_cache: Any) -> None:
    cache = make_cache(max_memory_mb=0.01)
    cache.set("a", b"small", cost_seconds=1)

    assert cache.set("a", bytes(20_000)) is False
    assert "a" not in cache
    assert cache.get("a") is None
    assert 1 == cache.stats().miss_reasons["too_large"] == cache.stats().invalidations["replaced"]
    lookup = cache.fetch("a", lambda: bytes(20_000))
    assert ("miss", "too_large", False) == (lookup.outcome, lookup.reason, lookup.stored)
    assert cache.set("a", b"small again") is True
    assert b"small again" == cache.get("a")


class TestStale:
    def test_a_stale_result_answers_while_another_caller_generates(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=10, stale_seconds=5)
        cache.set("a", "old", cost_seconds=2)
        clock.advance(12)
        seen = []

        def generate() -> str:
            # The same thread stands for another caller: it would not wait for itself.
            seen.append(cache.fetch("a", dict))
            return "new"

        led = cache.fetch("a", generate)
        assert ("new", "miss", "expired") == (led.value, led.outcome, led.reason)
        assert ("old", "stale", 12.0, -2.0) == (
            seen[0].value,
            seen[0].outcome,
            seen[0].age_seconds,
            seen[0].expires_in_seconds,
        )
        assert (1, 1, 0.5) == (cache.stats().stale, cache.stats().misses, cache.stats().hit_ratio)
        assert 2.0 == cache.stats().recouped_seconds
        assert "new" == cache["a"]

    def test_without_a_generation_in_progress_nothing_stale_answers(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=10, stale_seconds=5)
        cache["a"] = "old"
        clock.advance(10)

        assert cache.get("a") is None
        assert "a" not in cache
        assert "new" == cache.fetch("a", lambda: "new").value

    def test_a_leader_that_fails_leaves_the_stale_result_for_its_time(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=10, stale_seconds=5)
        cache["a"] = "old"
        clock.advance(12)
        seen = []

        def fail() -> None:
            seen.append(cache.fetch("a", dict).outcome)
            raise ValueError("no luck")

        for _ in range(2):
            with pytest.raises(ValueError, match="no luck"):
                cache.fetch("a", fail)
        assert ["stale", "stale"] == seen
        clock.advance(3)
        with pytest.raises(ValueError, match="no luck"):
            cache.fetch("a", fail)
        assert ["stale", "stale", "bypass"] == seen
        assert 0 == len(cache)
        assert 1 == cache.stats().evictions["expired"]

    def test_what_is_kept_for_its_stale_time_is_collected_after_it(self, make_cache: Any, clock: Any) -> None:
        cache = make_cache(ttl_seconds=10, stale_seconds=5)
        cache["a"] = "old"
        clock.advance(14)
        assert 1 == cache.stats().entries
        clock.advance(1)

        assert 0 == cache.stats().entries
        assert_consistent(cache)
