"""One conformance suite for every policy's order of eviction, behind the protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoup.cache import CacheEntry, ResultCache
from recoup.cache.counters import PipelineCounters
from recoup.cache.policies import POLICIES, LRUOrder, Order
from recoup.cache.policies.rings import Ring

_COUNTERS = PipelineCounters("test")


def entry(key: Any, size: int = 1, cost: float = 1.0) -> CacheEntry[Any]:
    return CacheEntry(key, key, _COUNTERS, size, cost_seconds=cost)


def rings_of(order: Order) -> list[Ring]:
    """The queues of an order, whose weights are counted."""
    members = [
        getattr(order, name, None) for name in ("_small", "_main", "_window", "_probation", "_protected", "_ring")
    ]
    return [member for member in members if isinstance(member, Ring)]


def walked(order: Order) -> list[Any]:
    """The keys in the order of a walk."""
    keys, item = [], order.first()
    while item is not None:
        keys.append(item.key)
        item = order.after(item)
    return keys


def reads(*entries: CacheEntry[Any]) -> Counter[CacheEntry[Any]]:
    """Reads, in their order, as the store hands them over."""
    return Counter(reversed(entries))


@pytest.mark.parametrize("make_order", [policy.make_order for policy in POLICIES.values()], ids=POLICIES)
class TestEveryOrder:
    def test_an_empty_one_has_no_victim(self, make_order: Callable[[], Order]) -> None:
        order = make_order()

        assert (None, None, []) == (order.victim(), order.first(), list(order.newest_first()))

    def test_both_walks_come_by_every_entry_once(self, make_order: Callable[[], Order]) -> None:
        order, entries = make_order(), [entry(number) for number in range(50)]
        for one in entries:
            order.insert(one)
        order.touch(reads(*entries[10:20], *entries[5:15]))

        assert set(range(50)) == set(walked(order)) == {one.key for one in order.newest_first()}
        assert 50 == len(walked(order)) == len(list(order.newest_first()))

    def test_what_is_removed_is_no_victim_and_may_come_back(self, make_order: Callable[[], Order]) -> None:
        order, one, other = make_order(), entry("one"), entry("other")
        order.insert(one)
        order.insert(other)
        order.remove(one)
        assert (["other"], (None, None)) == (walked(order), (one.newer, one.older))
        order.insert(one)
        assert {"one", "other"} == set(walked(order))

    def test_a_read_of_what_was_removed_meanwhile_is_passed_over(self, make_order: Callable[[], Order]) -> None:
        order, one, other = make_order(), entry("one"), entry("other")
        order.insert(one)
        order.insert(other)
        order.remove(one)
        order.touch(reads(one, other, one))

        assert ["other"] == walked(order)

    @settings(deadline=None)
    @given(st.data())
    def test_it_holds_what_was_inserted_and_not_removed(
        self, make_order: Callable[[], Order], data: st.DataObject
    ) -> None:
        order, held, out = make_order(), list[CacheEntry[Any]](), [entry(number) for number in range(8)]
        for _ in range(data.draw(st.integers(0, 30))):
            what = data.draw(st.sampled_from(["insert", "remove", "evict", "replace", "grow", "touch"]))
            by_bytes = data.draw(st.booleans())
            if what == "insert" and out:
                held.append(out.pop(data.draw(st.integers(0, len(out) - 1))))
                order.insert(held[-1])
            elif what == "remove" and held:
                out.append(held.pop(data.draw(st.integers(0, len(held) - 1))))
                order.remove(out[-1])
            elif what == "evict" and held:
                victim = order.victim(by_bytes)
                assert victim is order.victim(by_bytes)
                held.remove(victim)
                out.append(victim)
                order.remove(victim)
            elif what == "replace" and held:
                place = data.draw(st.integers(0, len(held) - 1))
                old, held[place] = held[place], entry(held[place].key, data.draw(st.integers(1, 100)))
                order.replace(old, held[place])
                assert (None, None) == (old.newer, old.older)
            elif what == "grow" and held:
                one = data.draw(st.sampled_from(held))
                one.size_bytes += 50
                order.grew(one, 50)
            else:
                order.touch(reads(*data.draw(st.lists(st.sampled_from([*held, *out]), max_size=10))))
            assert sorted(one.key for one in held) == sorted(walked(order))  # type: ignore[type-var]
            assert sorted(one.key for one in held) == sorted(one.key for one in order.newest_first())  # type: ignore[type-var]
            assert {(None, None)} >= {(one.newer, one.older) for one in out}
        for one in held:
            order.remove(one)
        for ring in rings_of(order):
            assert (0, 0) == (ring.entries, ring.size_bytes)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_limits_hold_under_it(policy: str) -> None:
    cache = ResultCache[int](policy=policy, max_size=5)
    for number in range(200):
        cache.get(number % 7)
        cache[number % 11] = number
        assert len(cache) <= 5

    assert 5 == len(cache.entries()) == cache.stats().entries


class TestLRU:
    def test_the_entry_that_was_used_longest_ago_goes_first(self) -> None:
        order, (a, b, c) = LRUOrder(), map(entry, "abc")
        for one in (a, b, c):
            order.insert(one)
        assert ["a", "b", "c"] == walked(order)
        assert a is order.victim()
        order.touch(reads(a, c, b, a))

        assert ["c", "b", "a"] == walked(order)
        assert ["a", "b", "c"] == [one.key for one in order.newest_first()]
