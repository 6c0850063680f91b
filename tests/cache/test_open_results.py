"""Results that are answered with before they are whole, and results that must not answer anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from recoup.cache import Lookup, LRUCache
from recoup.cache.open_results import UNSHARED_SECONDS, Decision, OpenResult
from recoup.errors import GenerationFailedError

from .test_async import run, settle


class Film(OpenResult):
    """An open result that ends when the test says so."""

    def __init__(self, result: Any = "film") -> None:
        self.result = result
        self.may_end = asyncio.Event()

    async def whole(self) -> Any:
        await self.may_end.wait()
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Studio:
    """A generator of films, and a caller's lookups of one key."""

    def __init__(self, cache: LRUCache, **decision: Any) -> None:
        self.cache = cache
        self.films: list[Film] = []
        self.results: list[Any] = []
        self.decision = Decision(**decision)

    async def generate(self) -> Film:
        film = Film(self.results.pop(0) if self.results else "film")
        self.films.append(film)
        return film

    def ask(self, *, early: bool = True) -> tuple[asyncio.Task[Lookup[Any]], list[Lookup[Any]]]:
        opened: list[Lookup[Any]] = []
        on_open = opened.append if early else None
        ask = self.cache.afetch("a", self.generate, decide=lambda _: self.decision, on_open=on_open)
        return asyncio.create_task(ask), opened


def test_its_caller_is_given_it_at_once_and_it_is_stored_at_its_end(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache)
        task, opened = studio.ask()
        await settle()
        assert [("miss", studio.films[0])] == [(lookup.outcome, lookup.value) for lookup in opened]
        assert "a" not in cache
        studio.films[0].may_end.set()
        assert ("film", True) == ((await task).value, (await task).stored)
        assert "film" == cache["a"]

    run(main())


def test_followers_join_it_while_it_lasts_and_are_counted_at_its_end(cache: LRUCache, clock: Any) -> None:
    async def main() -> None:
        studio = Studio(cache)
        leader, _ = studio.ask()
        early, opened_early = studio.ask()
        await settle()
        late, opened_late = studio.ask()
        await settle()
        assert [studio.films] * 2 == [[lookup.value for lookup in opened] for opened in (opened_early, opened_late)]
        assert 0 == cache.stats().coalesced
        clock.advance(7.0)
        studio.films[0].may_end.set()
        outcomes = [lookup.outcome for lookup in await asyncio.gather(leader, early, late)]
        assert ["miss", "coalesced", "coalesced"] == outcomes
        assert (1, 2, 14.0) == (cache.stats().misses, cache.stats().coalesced, cache.stats().recouped_seconds)

    run(main())


def test_a_follower_that_takes_only_whole_results_waits_for_the_end(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache)
        studio.ask()
        follower, opened = studio.ask(early=False)
        await settle()
        assert not follower.done()
        studio.films[0].may_end.set()
        assert "film" == (await follower).value
        assert [] == opened

    run(main())


def test_whoever_joined_waits_no_more_and_has_no_limit_of_waiting(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache)
        studio.ask()
        await settle()
        opened: list[Lookup[Any]] = []
        follower = asyncio.create_task(cache.afetch("a", studio.generate, wait_seconds=0.001, on_open=opened.append))
        await settle()
        await asyncio.sleep(0.01)
        assert (1, False) == (len(opened), follower.done())
        studio.films[0].may_end.set()
        assert "coalesced" == (await follower).outcome

    run(main())


def test_one_that_breaks_off_is_everybodys_error_and_is_not_stored(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache)
        studio.results = [GenerationFailedError("cut")]
        tasks = [studio.ask()[0] for _ in range(3)]
        await settle()
        studio.films[0].may_end.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [GenerationFailedError] * 3 == [type(result) for result in results]
        stats = cache.stats()
        assert (1, 2, 1, 0) == (stats.misses, stats.coalesced, stats.generation_failures["error"], len(cache))

    run(main())


def test_one_for_its_caller_alone_releases_those_who_wait_all_at_once(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache, share=False)
        tasks = [studio.ask()[0] for _ in range(5)]
        await settle()
        assert 5 == len(studio.films)
        for film in studio.films:
            film.may_end.set()
        assert ["miss"] * 5 == [lookup.outcome for lookup in await asyncio.gather(*tasks)]
        assert {"cold": 1, "uncacheable": 4} == {
            reason: count for reason, count in cache.stats().miss_reasons.items() if count
        }
        assert 0 == len(cache)

    run(main())


def test_for_a_minute_nobody_waits_for_such_a_key(cache: LRUCache, clock: Any) -> None:
    async def main() -> None:
        studio = Studio(cache, share=False)
        first, _ = studio.ask()
        await settle()
        studio.films[0].may_end.set()
        await first
        clock.advance(UNSHARED_SECONDS - 1)
        studio.ask()
        studio.ask()
        await settle()
        assert 3 == len(studio.films)
        clock.advance(UNSHARED_SECONDS + 1)
        studio.decision = Decision()
        studio.ask()
        studio.ask()
        await settle()
        assert 4 == len(studio.films)

    run(main())


def test_a_result_of_such_a_key_that_may_be_kept_ends_the_minute(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache, share=False)
        first, _ = studio.ask()
        await settle()
        studio.films[0].may_end.set()
        await first
        studio.decision = Decision()
        second, _ = studio.ask()
        await settle()
        studio.films[1].may_end.set()
        assert (await second).stored
        cache.delete("a")
        studio.ask()
        studio.ask()
        await settle()
        assert 3 == len(studio.films)

    run(main())


def test_a_plain_result_for_its_caller_alone_releases_those_who_wait(cache: LRUCache) -> None:
    async def main() -> None:
        calls = 0

        async def generate() -> int:
            nonlocal calls
            calls += 1
            number = calls
            await asyncio.sleep(0)
            return number

        asked = [cache.afetch("a", generate, decide=lambda _: Decision(share=False)) for _ in range(4)]
        values = [lookup.value for lookup in await asyncio.gather(*asked)]
        assert [1, 2, 3, 4] == sorted(values)
        assert "a" not in cache

    run(main())


def test_one_that_cannot_be_joined_any_more_is_generated_anew(cache: LRUCache) -> None:
    async def main() -> None:
        studio = Studio(cache)
        studio.ask()
        joined, _ = studio.ask()
        await settle()
        studio.films[0].joinable = False
        studio.ask()
        await settle()
        assert 2 == len(studio.films)
        studio.decision = Decision(share=False, reason="too_large")
        studio.films[0].may_end.set()
        assert "coalesced" == (await joined).outcome
        assert 1 == cache.stats().miss_reasons["too_large"]

    run(main())


@pytest.mark.parametrize("how", ["delete", "clear"])
def test_what_was_invalidated_meanwhile_is_not_stored_even_where_nobody_may_join(cache: LRUCache, how: str) -> None:
    async def main() -> None:
        studio = Studio(cache, share=False)
        first, _ = studio.ask()
        await settle()
        studio.films[0].may_end.set()
        await first
        studio.decision = Decision()
        second, _ = studio.ask()
        await settle()
        cache.delete("a") if how == "delete" else cache.clear()
        studio.films[1].may_end.set()
        assert not (await second).stored
        assert 0 == len(cache)

    run(main())


def test_a_decision_sets_the_ttl(cache: LRUCache) -> None:
    async def main() -> float | None:
        async def generate() -> str:
            return "mesh"

        lookup = await cache.afetch("a", generate, ttl_seconds=100, decide=lambda _: Decision(ttl_seconds=5.0))
        return lookup.expires_in_seconds

    assert 5.0 == run(main())


def test_the_first_byte_is_counted_apart_from_the_last_only_where_it_comes_earlier(cache: LRUCache) -> None:
    cache.register("llm")
    cache.record_request("llm", "hit", 0.001)
    cache.record_stream("llm", "miss", 0.2, 3.0, "t")
    histograms = cache.stats().histograms["llm"]
    assert (1, 0.001) == (histograms.first_byte["hit"].count, histograms.first_byte["hit"].total)
    assert (1, pytest.approx(0.2)) == (histograms.first_byte["miss"].count, histograms.first_byte["miss"].total)  # type: ignore[comparison-overlap]
    assert (1, 3.0) == (histograms.request_duration["miss"].count, histograms.request_duration["miss"].total)


def test_an_observer_of_an_open_result_that_fails_costs_nobody_the_result(cache: LRUCache) -> None:
    async def main() -> None:
        film = Film()
        film.may_end.set()

        async def generate() -> Film:
            return film

        def fail(_: object) -> None:
            raise RuntimeError("no")

        assert "film" == (await cache.afetch("a", generate, on_open=fail)).value
        assert 1 == cache.stats().internal_errors["flight"]

    run(main())
