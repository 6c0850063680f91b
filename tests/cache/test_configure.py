"""`configure`: all of a valid change, or none of an invalid one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.cache import LRUCache
from recoup.errors import ConfigurationError

from .support import assert_consistent

GOOD = {
    "max_size": st.integers(1, 10),
    "max_memory_mb": st.floats(0.001, 10.0) | st.integers(1, 10),
    "ttl_seconds": st.none() | st.integers(0, 10**6) | st.floats(0.0, 1e6),
    "enabled": st.booleans(),
}
BAD: dict[str, list[Any]] = {
    "max_size": [0, -1, 1.0, 1.5, True, False, "10", None, math.nan, math.inf],
    "max_memory_mb": [0, -1, True, "1", None, math.nan, math.inf, -math.inf, 1e-9, 1e305, 10**400],
    "ttl_seconds": [-1, -0.5, True, False, "60", math.nan, math.inf, -math.inf, 10**400],
    "enabled": [0, 1, None, "true", "no"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_that_cannot_be_used_is_refused_with_its_name_and_changes_nothing(name: str, value: Any) -> None:
    cache = LRUCache(max_size=3)
    for key in "abc":
        cache[key] = key
    before = cache.config()

    for others in ({}, {"max_size": 1}, {"enabled": False}, {"ttl_seconds": 1}, {"max_memory_mb": 1e-3}):
        with pytest.raises(ConfigurationError, match=name) as caught:
            cache.configure(**{**others, name: value})
        assert isinstance(caught.value, ValueError)
        assert (before, 3) == (cache.config(), len(cache))
    with pytest.raises(ConfigurationError, match=name):
        LRUCache(**{name: value})
    assert {0} == set(cache.stats().config_changes.values())


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=GOOD), st.data())
def test_all_or_nothing(changes: dict[str, Any], data: st.DataObject) -> None:
    spoilt = data.draw(st.none() | st.sampled_from(sorted(BAD)))
    if spoilt is not None:
        changes = {**changes, spoilt: data.draw(st.sampled_from(BAD[spoilt]))}
    cache = LRUCache(max_size=5, max_memory_mb=1)
    for number in range(5):
        cache[number] = bytes(50_000)
    before = cache.config()

    if spoilt is not None:
        with pytest.raises(ConfigurationError):
            cache.configure(**changes)
        assert before == cache.config()
        assert 5 == len(cache)
    else:
        after = cache.configure(**changes)
        assert after == cache.config() == {**before, **changes, "ttl_seconds": after["ttl_seconds"]}
        assert (changes.get("ttl_seconds", before["ttl_seconds"]) or None) == after["ttl_seconds"]
        assert {name: int(before[name] != after[name]) for name in before} == cache.stats().config_changes
    assert_consistent(cache)


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError):
        LRUCache().configure(size=1)  # type: ignore[call-arg]


def test_nothing_given_nothing_changed() -> None:
    cache = LRUCache()

    assert cache.config() == cache.configure()
    assert {0} == set(cache.stats().config_changes.values())


def test_a_new_time_to_live_holds_for_entries_stored_from_now_on(make_cache: Any, clock: Any) -> None:
    cache = make_cache(ttl_seconds=100)
    cache["before"] = 1
    cache.configure(ttl_seconds=5)
    cache["after"] = 1
    clock.advance(5)

    assert ["before"] == [key for key in ("before", "after") if key in cache]


@pytest.mark.parametrize("options", [{"ttl_jitter": 0.6}, {"ttl_jitter": -0.1}, {"stale_seconds": -1}, {"ttl_jitter": True}])  # fmt: skip  # noqa: E501
def test_the_other_options_are_checked_too(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LRUCache(**options)
