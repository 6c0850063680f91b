"""Groups: results are purged by the names that they carry, at once, whatever is held, and hits cost what they cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from clock import FakeClock
from recoup.cache import LRUCache, cached_result
from recoup.cache.open_results import Decision, OpenResult
from recoup.errors import ConfigurationError

#: More than are let go at once.
MANY = 3000
LIMIT = 30.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(100.0)


@pytest.fixture
def cache(clock: FakeClock) -> LRUCache:
    return LRUCache(max_size=10 * MANY, clock=clock)


def fill(cache: LRUCache, count: int, group: str = "a", **options: Any) -> None:
    for number in range(count):
        cache.set((group, number), number, groups=[group], **options)


class TestAHardPurge:
    def test_takes_the_members_of_a_group_out_and_no_others(self, cache: LRUCache) -> None:
        cache.set(1, "one", groups=["a", "b"])
        cache.set(2, "two", groups=["b"])
        cache.set(3, "three")
        cache.purge(["a"])
        assert [None, "two", "three"] == [cache.get(key) for key in (1, 2, 3)]
        assert {"purged": 1} == {c: n for c, n in cache.stats().invalidations.items() if n}
        assert 1 == cache.stats().miss_reasons["invalidated"]

    def test_of_a_pipeline_leaves_the_members_in_others(self, cache: LRUCache) -> None:
        cache.set(1, 1, groups=["a"], pipeline="llm")
        cache.set(2, 2, groups=["a"], pipeline="relief")
        cache.purge(["a"], pipeline="llm")
        assert [2] == list(cache)

    def test_holds_for_what_was_stored_before_it_alone(self, cache: LRUCache) -> None:
        cache.purge(["a"])
        cache.set(1, 1, groups=["a"])
        assert 1 == cache.get(1)

    @pytest.mark.parametrize("count", [3, MANY], ids=["few", "many"])
    def test_answers_nothing_from_then_on(self, cache: LRUCache, count: int) -> None:
        fill(cache, count)
        cache.set("other", "kept", groups=["b"])
        cache.purge(["a"])
        assert [False] * count == [("a", number) in cache for number in range(count)]
        assert ["other"] == [entry["key"] for entry in cache.entries(limit=count)]
        assert [] == cache.entries(limit=count, sort="oldest", group="a")
        assert cache.inspect(("a", 0)) is None
        assert not cache.delete(("a", 0))
        assert [None] * count == [cache.get(("a", number)) for number in range(count)]
        assert "kept" == cache["other"]
        assert {"purged": count} == {c: n for c, n in cache.stats().invalidations.items() if n}
        assert count == cache.stats().miss_reasons["invalidated"]

    def test_of_many_leaves_the_readers_as_they_were_once_it_is_done(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        fill(cache, 5, "b")
        live = cache._state.visible
        cache.purge(["a"])
        assert live is not cache._state.visible
        assert [0, 1, 2, 3, 4] == [cache.get(("b", number)) for number in range(5)]
        while len(cache) > 5:
            before = len(cache)
            cache.stats()
            assert len(cache) < before
        assert live is cache._state.visible

    @pytest.mark.parametrize("let_go", ["get", "delete", "clear"])
    def test_of_many_leaves_the_readers_as_they_were_whoever_lets_the_last_go(
        self, cache: LRUCache, let_go: str
    ) -> None:
        live = cache._state.visible
        fill(cache, MANY)
        cache.purge(["a"])
        if let_go == "clear":
            cache.clear()
        else:
            for number in range(MANY):
                getattr(cache, let_go)(("a", number))
        assert live is cache._state.visible

    def test_of_many_goes_on_with_writes(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        cache.purge(["a"])
        for number in range(MANY):
            cache.set("same", number)
        assert ["same"] == list(cache)

    def test_of_many_makes_room_before_anything_is_evicted(self, clock: FakeClock) -> None:
        cache = LRUCache(max_size=MANY + 10, clock=clock)
        fill(cache, 10, "kept")
        fill(cache, MANY)
        cache.purge(["a"])
        fill(cache, MANY, "new")
        assert 0 == sum(cache.stats().evictions.values())
        assert MANY + 10 == len(cache)

    def test_of_many_is_not_undone_by_storing_a_member_anew(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        cache.purge(["a"])
        cache.set(("a", 7), "new", groups=["a"])
        assert "new" == cache.get(("a", 7))
        while cache._state.store.groups.pending:
            cache.stats()
        assert [("a", 7)] == list(cache)
        assert {"purged": MANY} == {c: n for c, n in cache.stats().invalidations.items() if n}

    def test_of_many_is_not_counted_by_a_clear(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        cache.set("other", 1)
        cache.purge(["a"])
        assert 1 == cache.clear()
        assert 0 == cache.stats().memory_bytes

    def test_holds_in_a_cache_that_is_disabled_and_enabled_again(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        cache.configure(enabled=False)
        cache.purge(["a"])
        assert ("a", 1) not in cache
        cache.configure(enabled=True)
        assert cache.get(("a", 1)) is None

    def test_counts_a_fetch_as_one_miss_and_what_was_not_purged_as_one_hit(self, cache: LRUCache) -> None:
        fill(cache, MANY)
        cache.set("other", 1)
        cache.purge(["a"])
        assert "hit" == cache.fetch("other", lambda: 2).outcome
        lookup = cache.fetch(("a", 1), lambda: 2)
        assert ("miss", "invalidated", 2) == (lookup.outcome, lookup.reason, lookup.value)
        assert 2 == cache.stats().lookups


class TestASoftPurge:
    @pytest.mark.parametrize("count", [3, MANY], ids=["few", "many"])
    def test_lets_the_members_expire(self, clock: FakeClock, count: int) -> None:
        cache = LRUCache(max_size=2 * MANY, stale_seconds=10, clock=clock)
        fill(cache, count)
        cache.purge(["a"], soft=True)
        assert cache.get(("a", 1)) is None
        assert 1 == cache.stats().miss_reasons["expired"]
        assert count == len(cache)
        clock.advance(10)
        while cache._state.store.groups.pending or cache._state.store.live:
            cache.stats()
        assert count == cache.stats().evictions["expired"]

    def test_lets_them_be_served_stale_while_one_is_generated_anew(self, clock: FakeClock) -> None:
        cache = LRUCache(stale_seconds=10, clock=clock)
        cache.set(1, "old", groups=["a"])
        cache.purge(["a"], soft=True)
        inner: list[Any] = []

        def generate() -> str:
            thread = threading.Thread(target=lambda: inner.append(cache.fetch(1, lambda: "never")))
            thread.start()
            thread.join(LIMIT)
            return "new"

        assert "new" == cache.fetch(1, generate, groups=["a"]).value
        assert [("stale", "old")] == [(lookup.outcome, lookup.value) for lookup in inner]
        assert "new" == cache.get(1)

    @pytest.mark.parametrize("count", [3, MANY], ids=["few", "many"])
    def test_and_a_hard_one_after_it_takes_them_out(self, clock: FakeClock, count: int) -> None:
        cache = LRUCache(max_size=2 * MANY, stale_seconds=10, clock=clock)
        fill(cache, count)
        cache.purge(["a"], soft=True)
        cache.purge(["a"])
        assert cache.get(("a", 1)) is None
        while cache._state.store.groups.pending:
            cache.stats()
        assert 0 == len(cache)

    def test_counts_from_the_first_of_several(self, clock: FakeClock) -> None:
        cache = LRUCache(max_size=2 * MANY, stale_seconds=10, clock=clock)
        fill(cache, MANY)
        cache.purge(["a"], soft=True)
        clock.advance(3)
        cache.purge(["a"], soft=True)
        assert {-3.0} == {
            cache._state.store.purges.find(("a", n), clock.now).as_dict(clock.now)["expires_in_seconds"]  # type: ignore[union-attr]
            for n in range(MANY)
        }  # type: ignore[union-attr]  # it is held


class TestAGenerationThatBeganBeforeAPurge:
    def test_answers_its_caller_and_is_not_stored(self, cache: LRUCache) -> None:
        def generate() -> str:
            cache.purge(["a"])
            return "old"

        lookup = cache.fetch(1, generate, groups=["a"])
        assert ("old", False) == (lookup.value, lookup.stored)
        assert "invalidated" == cache.fetch(1, lambda: "new", groups=["a"]).reason

    def test_of_another_group_or_pipeline_is_stored(self, cache: LRUCache) -> None:
        def generate() -> str:
            cache.purge(["b"])
            cache.purge(["a"], pipeline="other")
            return "kept"

        assert cache.fetch(1, generate, groups=["a"]).stored

    def test_is_not_joined_after_it(self, cache: LRUCache) -> None:
        inner: list[Any] = []

        def generate() -> str:
            cache.purge(["a"])
            thread = threading.Thread(target=lambda: inner.append(cache.fetch(1, lambda: "new", groups=["a"])))
            thread.start()
            thread.join(LIMIT)
            return "old"

        assert "old" == cache.fetch(1, generate, groups=["a"]).value
        assert [("miss", "new")] == [(lookup.outcome, lookup.value) for lookup in inner]
        assert "new" == cache.get(1)

    def test_is_stored_as_expired_where_the_purge_is_soft(self, clock: FakeClock) -> None:
        cache = LRUCache(stale_seconds=10, clock=clock)

        def generate() -> str:
            cache.purge(["a"], soft=True)
            return "old"

        assert cache.fetch(1, generate, groups=["a"]).stored
        assert 1 not in cache
        assert [0.0] == [entry["expires_in_seconds"] for entry in cache.entries()]

    def test_does_not_replace_what_came_after_a_soft_purge(self, clock: FakeClock) -> None:
        cache = LRUCache(stale_seconds=10, clock=clock)

        def generate() -> str:
            cache.purge(["a"], soft=True)
            cache.set(1, "new", groups=["a"])
            return "old"

        assert not cache.fetch(1, generate, groups=["a"]).stored
        assert "new" == cache.get(1)

    @pytest.mark.parametrize("soft_first", [False, True], ids=["hard", "soft then hard"])
    def test_is_held_against_it_by_the_groups_that_only_its_result_names(
        self, clock: FakeClock, soft_first: bool
    ) -> None:
        cache = LRUCache(stale_seconds=10, clock=clock)

        async def generate() -> str:
            if soft_first:
                cache.purge(["late"], soft=True)
            cache.purge(["late"])
            return "old"

        async def ask() -> Any:
            return await cache.afetch(1, generate, decide=lambda _: Decision(groups=("late",)))

        lookup = asyncio.run(ask())
        assert ("old", False) == (lookup.value, lookup.stored)
        assert 0 == len(cache)

    def test_lets_who_joined_before_have_it_and_who_joined_later_generate(self, cache: LRUCache) -> None:
        """Until the result names its groups, nobody can know that it was purged."""

        async def ask() -> list[Any]:
            may_end, began = asyncio.Event(), asyncio.Event()

            async def generate() -> str:
                began.set()
                await may_end.wait()
                return "old"

            async def anew() -> str:
                return "new"

            def fetch(make: Callable[[], Any]) -> asyncio.Task[Any]:
                return asyncio.ensure_future(cache.afetch(1, make, decide=lambda _: Decision(groups=("late",))))

            leader = fetch(generate)
            await began.wait()
            before = fetch(anew)
            await asyncio.sleep(0)
            cache.purge(["late"])
            after = fetch(anew)
            await asyncio.sleep(0)
            may_end.set()
            return await asyncio.gather(leader, before, after)  # type: ignore[return-value]

        lookups = asyncio.run(ask())
        assert [("miss", "old"), ("coalesced", "old"), ("miss", "new")] == [
            (lookup.outcome, lookup.value) for lookup in lookups
        ]
        assert "new" == cache.get(1)

    def test_is_not_joined_as_a_stream_once_its_beginning_names_a_group_that_was_purged(self, cache: LRUCache) -> None:
        class Stream(OpenResult):
            async def whole(self) -> str:
                await may_end.wait()
                return "old"

        async def ask() -> None:
            nonlocal may_end  # type: ignore[misc]
            may_end, began, may_open = asyncio.Event(), asyncio.Event(), asyncio.Event()
            opened: list[str] = []

            async def generate() -> Stream:
                began.set()
                await may_open.wait()
                return Stream()

            async def anew() -> str:
                return "new"

            def fetch(name: str, make: Callable[[], Any]) -> asyncio.Task[Any]:
                return asyncio.ensure_future(
                    cache.afetch(
                        1, make, decide=lambda _: Decision(groups=("late",)), on_open=lambda _: opened.append(name)
                    )
                )

            leader = fetch("leader", generate)
            await began.wait()
            before = fetch("before", anew)
            await asyncio.sleep(0)
            cache.purge(["late"])
            after = fetch("after", anew)
            await asyncio.sleep(0)
            may_open.set()
            while not opened:
                await asyncio.sleep(0)
            assert "new" == (await fetch("latest", anew)).value
            may_end.set()
            lookups = await asyncio.gather(leader, before, after)
            assert ["old", "old", "new"] == [lookup.value for lookup in lookups]
            assert ["leader", "before"] == opened

        may_end: asyncio.Event
        asyncio.run(ask())
        assert "new" == cache.get(1)


class TestWhatGroupsTake:
    def test_entries_show_them_and_are_listed_by_them(self, cache: LRUCache) -> None:
        cache.set(1, 1, groups=["b", "a", "b"], pipeline="llm")
        cache.set(2, 2, groups=["a"], pipeline="relief")
        cache.set(3, 3)
        assert [["a"], ["b", "a"]] == [entry["groups"] for entry in cache.entries(group="a")]
        assert [1] == [entry["key"] for entry in cache.entries(group="a", pipeline="llm", sort="largest")]
        assert (2, 1, 0) == (cache.count(group="a"), cache.count("llm", "b"), cache.count(group="c"))

    def test_is_accounted_for_and_given_back(self, cache: LRUCache) -> None:
        cache.set(1, b"")
        plain = cache.stats().memory_bytes
        cache.set(1, b"", groups=["a"])
        first = cache.stats().memory_bytes - plain
        cache.set(2, b"", groups=["a"])
        second = cache.stats().memory_bytes - 2 * plain - first
        assert 0 < second < first
        cache.delete(1)
        assert plain + first == cache.stats().memory_bytes == cache.entries()[0]["size_bytes"]
        cache.delete(2)
        assert 0 == cache.stats().memory_bytes
        assert {} == cache._state.store.groups._by_pipeline

    def test_is_checked_before_anything_is_generated(self, cache: LRUCache) -> None:
        for bad in ("a", [""], ["x" * 257], [1], ["\ud800"], [str(n) for n in range(33)], None):
            with pytest.raises(ConfigurationError, match="groups"):
                cache.set(1, 1, groups=bad)  # type: ignore[arg-type]  # that is the point
            with pytest.raises(ConfigurationError, match="groups"):
                cache.fetch(1, lambda: pytest.fail("generated"), groups=bad)  # type: ignore[arg-type]  # likewise
        assert 0 == cache.stats().lookups


class TestADecoratedFunction:
    def test_puts_its_results_into_groups_by_name_or_by_its_arguments(self, cache: LRUCache) -> None:
        @cached_result(cache=cache, groups=["all"])
        def one(x: int) -> int:
            return x

        @cached_result(cache=cache, groups=lambda x, *, tags=(): [f"x:{x}", *tags])
        def other(x: int, *, tags: tuple[str, ...] = ()) -> int:
            return x

        @cached_result(cache=cache, groups=lambda x: ["all"])
        async def third(x: int) -> int:
            return x

        one(1)
        other(1, tags=("big",))
        asyncio.run(third(1))
        assert [["all"], ["x:1", "big"], ["all"]] == [entry["groups"] for entry in cache.entries(sort="recent")[::-1]]
        cache.purge(["all"])
        assert [["x:1", "big"]] == [entry["groups"] for entry in cache.entries()]

    def test_refuses_what_is_no_list_of_names_where_it_is_decorated(self, cache: LRUCache) -> None:
        with pytest.raises(ConfigurationError, match="groups='a'"):
            cached_result(cache=cache, groups="a")
