"""Results near their end and past it, and refusals that are stored, as callers in front of an upstream see them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.support import wait_until
from recoup import LRUCache
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings

from .asgi_client import Asking, LoopThread, Serving
from .conftest import Serve
from .pipelines import Clock
from .scripted import EVENTS, Scripted, Turn

PATHS = ["/v1/chat", "/api/generate/chat"]
JSON = {"Content_Type": "application/json"}
BOTH = """
stale_while_revalidate_seconds = 60
stale_if_error_seconds = 600
"""
Begin = Callable[..., "Place"]


class Place:
    """One pipeline before an upstream, both of this test."""

    def __init__(self, serving: Serving, upstream: Scripted, cache: LRUCache) -> None:
        self.serving = serving
        self.upstream = upstream
        self.cache = cache

    def begin(self, path: str, **headers: str) -> Asking:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serving.asking(path, b'{"model": "all"}', "POST", content_type="application/json", headers=named)

    def generate(self, path: str, body: bytes, status: int = 200, **headers: str) -> Asking:
        """A request that the upstream answers."""
        asking = self.begin(path)
        self.upstream.next().answer(status, body, **{**JSON, **headers})
        return waited(asking)

    def ask(self, path: str, **headers: str) -> Asking:
        """A request that is answered without waiting for the upstream."""
        return waited(self.begin(path, **headers))

    def refreshed(self, answer: Callable[[Turn], None]) -> None:
        """Let the upstream answer the refresh that has begun, and wait for its end."""
        before = sum(self.cache.stats().refreshes.values())
        answer(self.upstream.next())
        wait_until(lambda: sum(self.cache.stats().refreshes.values()) == before + 1)

    @property
    def refreshes(self) -> dict[tuple[str, str], int]:
        return {words: count for words, count in self.cache.stats().refreshes.items() if count}


def waited(asking: Asking) -> Asking:
    asking.wait()
    return asking


def header(asking: Asking, name: str) -> str:
    return ", ".join(value.decode() for key, value in asking.exchange.headers if key == name.encode())


def status(asking: Asking) -> str:
    return header(asking, "cache-status").partition("; key=")[0]


def seen(asking: Asking) -> tuple[int, bytes]:
    return asking.exchange.status, b"".join(asking.exchange.body)


@pytest.fixture
def begin(loop: LoopThread, serve: Serve, cache: LRUCache, tmp_path: Path) -> Iterator[Begin]:
    upstream = Scripted(loop)
    registries: list[PipelineRegistry] = []

    def make(options: str) -> Place:
        file = tmp_path / "pipelines.toml"
        file.write_text(
            f'[pipelines.chat]\nkind = "http"\nurl = "{upstream.url}/up"\npath = "/v1/chat"\nttl_seconds = 100\n'
            f"ignore_headers = ['Authorization', 'Cookie']\n{options}"
        )
        registries.append(registry := load_pipelines(file))
        loop.run(registry.start())
        return Place(serve(Settings(wait_seconds=60.0), cache, registry), upstream, cache)

    yield make
    for registry in registries:
        loop.run(registry.close(0.0))
    upstream.close()


def dead(turn: Turn) -> None:
    turn.answer(500, b'{"error": "dead"}', **JSON)


@pytest.mark.parametrize("path", PATHS)
class TestWhileRevalidating:
    def test_it_answers_at_once_and_the_upstream_is_asked_behind(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(BOTH)
        place.generate(path, b'"old"')
        clock.advance(130)
        stale = [place.ask(path) for _ in range(5)]

        assert {(200, b'"old"')} == {seen(asking) for asking in stale}
        assert {"recoup; hit; ttl=-30"} == {status(asking) for asking in stale}
        assert {"130"} == {header(asking, "age") for asking in stale}
        assert {""} == {header(asking, "warning") for asking in stale}
        place.refreshed(lambda turn: turn.answer(200, b'"new"', **JSON))
        hit = place.ask(path)
        assert ((200, b'"new"'), "recoup; hit; ttl=100") == (seen(hit), status(hit))
        stats = place.cache.pipeline_stats("chat")
        assert (2, 5, 1, 1) == (place.upstream.count, stats.stale, stats.misses, stats.hits)
        assert {("stale", "stored"): 1} == place.refreshes

    def test_requests_for_a_new_one_get_none_that_is_stale(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(BOTH)
        place.generate(path, b'"old"')
        clock.advance(130)
        for directive in ("no-cache", "max-age=1000", "no-store"):
            asking = place.begin(path, Cache_Control=directive)
            dead(place.upstream.next())
            assert seen(waited(asking))[0] in (500, 502)
        only = place.ask(path, Cache_Control="only-if-cached")
        assert "recoup; hit; ttl=-30" == status(only)
        assert (4, {}) == (place.upstream.count, place.refreshes)

    def test_a_dead_upstream_is_not_asked_by_each_hit(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(BOTH)
        place.generate(path, b'"old"')
        clock.advance(101)
        place.ask(path)
        place.refreshed(dead)
        for _ in range(20):
            assert (200, b'"old"') == seen(place.ask(path))
        assert 2 == place.upstream.count
        clock.advance(1)
        place.ask(path)
        place.refreshed(dead)
        assert ({("stale", "failed"): 2}, 3) == (place.refreshes, place.upstream.count)
        assert {"upstream": 2}.items() <= place.cache.stats().generation_failures.items()

    def test_a_purge_while_it_is_asked_again_holds(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(f"{BOTH}groups = ['{{/model}}']")
        place.generate(path, b'"old"')
        clock.advance(101)
        place.ask(path)
        turn = place.upstream.next()
        purged = place.serving.test_client().post("/api/cache/purge", json={"groups": ["all"]})
        assert 200 == purged.status_code
        turn.answer(200, b'"from before"', **JSON)
        wait_until(lambda: bool(place.refreshes))
        again = place.generate(path, b'"after"')
        assert ((200, b'"after"'), {("stale", "failed"): 1}) == (seen(again), place.refreshes)

    def test_a_soft_purge_makes_it_stale(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(f"{BOTH}groups = ['{{/model}}']")
        place.generate(path, b'"old"')
        place.serving.test_client().post("/api/cache/purge", json={"groups": ["all"], "soft": True})
        clock.advance(2)
        asking = place.ask(path)
        assert ((200, b'"old"'), "recoup; hit; ttl=-2") == (seen(asking), status(asking))
        place.refreshed(lambda turn: turn.answer(200, b'"new"', **JSON))
        assert (200, b'"new"') == seen(place.ask(path))

    def test_it_is_answered_while_the_service_ends_and_nothing_is_asked(
        self, begin: Begin, clock: Clock, path: str, loop: LoopThread
    ) -> None:
        place = begin(BOTH)
        place.generate(path, b'"old"')
        clock.advance(101)
        place.ask(path)
        turn = place.upstream.next()
        loop.loop.call_soon_threadsafe(place.serving.service.admission.close)
        wait_until(lambda: not len(place.cache._state.refreshes))
        assert (200, b'"old"') == seen(place.ask(path))
        turn.cut()
        assert {("stale", "failed"): 1} == place.refreshes
        assert place.serving.service.in_flight.used()["bodies"] == 0

    def test_an_entry_that_answers_stale_is_shown_and_can_be_deleted(
        self, begin: Begin, clock: Clock, path: str
    ) -> None:
        place = begin(BOTH)
        key = header(place.generate(path, b'"old"'), "cache-status").split('key="')[1][:32]
        clock.advance(101)
        client: Any = place.serving.test_client()
        shown = client.get(f"/api/cache/entries/{key}")
        assert (200, -1) == (shown.status_code, shown.json["expires_in_seconds"])
        assert 204 == client.delete(f"/api/cache/entries/{key}").status_code
        assert 404 == client.get(f"/api/cache/entries/{key}").status_code


@pytest.mark.parametrize("path", PATHS)
class TestIfError:
    @pytest.mark.parametrize("code", [500, 502, 503, 504])
    def test_a_stale_result_stands_in(self, begin: Begin, clock: Clock, path: str, code: int) -> None:
        place = begin("stale_if_error_seconds = 600")
        place.generate(path, b'"old"')
        clock.advance(130)
        asking = place.begin(path)
        place.upstream.next().answer(code, b"dead")
        asking.wait()
        assert ((200, b'"old"'), "recoup; hit; ttl=-30") == (seen(asking), status(asking))
        stats = place.cache.stats()
        assert (1, 1, 1) == (stats.misses, stats.stale, stats.generation_failures["upstream"])

    def test_so_it_does_where_the_upstream_is_gone(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin("stale_if_error_seconds = 600")
        place.generate(path, b'"old"')
        clock.advance(130)
        place.upstream.close()
        asking = place.begin(path)
        place.upstream.next().cut()  # a connection that was kept open
        assert (200, b'"old"') == seen(waited(asking))

    @pytest.mark.parametrize("code", [400, 403, 404, 429])
    def test_not_for_what_the_upstream_refuses(self, begin: Begin, clock: Clock, path: str, code: int) -> None:
        place = begin("stale_if_error_seconds = 600")
        place.generate(path, b'"old"')
        clock.advance(130)
        assert code == seen(place.generate(path, b'{"error": "no"}', code))[0]
        assert (2, 0) == (place.cache.stats().misses, place.cache.stats().stale)

    def test_nor_where_nothing_was_configured(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin("")
        place.generate(path, b'"old"')
        clock.advance(100)
        assert seen(place.generate(path, b"dead", 500))[0] in (500, 502)

    def test_where_there_is_no_room_to_wait(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin("stale_if_error_seconds = 600")
        place.generate(path, b'"old"')
        clock.advance(130)
        place.serving.service.admission.close()
        asking = place.ask(path)
        assert ((200, b'"old"'), 1) == (seen(asking), place.cache.stats().stale)


def test_a_stale_stream_is_replayed_and_streamed_anew_behind(begin: Begin, clock: Clock) -> None:
    place = begin(BOTH)
    asking = place.begin("/v1/chat")
    stream(place.upstream.next(), b"data: old\n\n")
    asking.wait()
    clock.advance(101)
    stale = place.ask("/v1/chat")
    assert (200, b"data: old\n\n" * 3) == seen(stale)
    assert ("recoup; hit; ttl=-1", "text/event-stream") == (status(stale), header(stale, "content-type"))
    place.refreshed(lambda turn: stream(turn, b"data: new\n\n"))
    assert (200, b"data: new\n\n" * 3) == seen(place.ask("/v1/chat"))


def test_a_stream_that_has_begun_is_not_replaced(begin: Begin, clock: Clock) -> None:
    """Its caller has seen the beginning: it breaks off, and is counted as the miss that it was."""
    place = begin("stale_if_error_seconds = 600")
    asking = place.begin("/v1/chat")
    stream(place.upstream.next(), b"data: old\n\n")
    asking.wait()
    clock.advance(101)
    asking = place.begin("/v1/chat")
    turn = place.upstream.next()
    turn.begin(200, EVENTS)
    turn.part(b"data: new\n\n")
    wait_until(lambda: bool(asking.exchange.body))
    turn.cut()
    asking.wait()
    assert not asking.exchange.finished
    assert (2, 0) == (place.cache.stats().misses, place.cache.stats().stale)


def stream(turn: Turn, event: bytes) -> None:
    turn.begin(200, EVENTS)
    for _ in range(3):
        turn.part(event)
    turn.end()


@pytest.mark.parametrize("path", PATHS)
def test_a_hit_late_in_its_life_has_the_upstream_asked_behind(begin: Begin, clock: Clock, path: str) -> None:
    place = begin("refresh_ahead = 0.8")
    place.generate(path, b'"old"')
    clock.advance(79)
    place.ask(path)
    assert 1 == place.upstream.count
    clock.advance(1)
    assert {"recoup; hit; ttl=20"} == {status(place.ask(path)) for _ in range(5)}
    place.refreshed(lambda turn: turn.answer(200, b'"new"', **JSON))
    clock.advance(30)
    hit = place.ask(path)
    assert ((200, b'"new"'), "recoup; hit; ttl=70") == (seen(hit), status(hit))
    assert ({("ahead", "stored"): 1}, 2) == (place.refreshes, place.upstream.count)


class TestTheUpstreamsWord:
    @pytest.mark.parametrize(
        ("options", "word", "stale_for", "if_error_for"),
        [
            ("", "max-age=10, stale-while-revalidate=20, stale-if-error=40", 20, 40),
            (BOTH, "max-age=10, stale-while-revalidate=20", 20, 600),
            (BOTH, "max-age=10, must-revalidate", 0, 0),
            (BOTH, "max-age=10, proxy-revalidate, stale-if-error=40", 0, 0),
            ('upstream_cache_control = "ignore"', "max-age=10, stale-while-revalidate=20", 0, 0),
        ],
        ids=["taken", "before the options", "must-revalidate", "proxy-revalidate", "ignored"],
    )
    def test_it_is_taken_where_it_is_obeyed(
        self, begin: Begin, clock: Clock, options: str, word: str, stale_for: int, if_error_for: int
    ) -> None:
        place = begin(options)
        key = header(place.generate("/v1/chat", b'"old"', Cache_Control=word), "cache-status").split('"')[1]
        entry = place.cache._state.store.live[key]
        assert (stale_for, if_error_for) == (
            entry.staleness.while_revalidate_seconds,
            entry.staleness.if_error_seconds,
        )

    def test_a_result_that_becomes_private_ends_the_one_that_was_everybody_s(self, begin: Begin, clock: Clock) -> None:
        place = begin(BOTH)
        place.generate("/v1/chat", b'"old"')
        clock.advance(101)
        place.ask("/v1/chat")
        place.refreshed(lambda turn: turn.answer(200, b'"mine"', Cache_Control="private", **JSON))
        again = place.generate("/v1/chat", b'"new"')
        assert (200, b'"new"') == seen(again)


class TestNegative:
    OPTIONS = "negative_ttl_seconds = { 404 = 30, 410 = 60 }"
    BODY = b'{"error": {"message": "no such model", "type": "invalid_request_error", "code": "model_not_found"}}'

    def test_below_its_path_a_stored_refusal_is_the_upstream_s_own(self, begin: Begin, clock: Clock) -> None:
        place = begin(self.OPTIONS)
        first = place.generate("/v1/chat", self.BODY, 404, X_Code="7", Request_Id="r")
        again = place.ask("/v1/chat")
        assert (404, self.BODY) == seen(first) == seen(again)
        for asking in (first, again):
            assert ("7", "r", "application/json") == tuple(
                header(asking, name) for name in ("x-code", "request-id", "content-type")
            )
        assert "recoup; fwd=uri-miss; stored; detail=cold" == status(first)
        assert "recoup; hit; ttl=30" == status(again)
        stats = place.cache.stats()
        assert (1, 1, 1) == (stats.misses, stats.hits, stats.generation_failures["refused"])
        assert 0 == stats.generations

    def test_elsewhere_it_is_a_problem_each_time(self, begin: Begin, clock: Clock) -> None:
        place = begin(self.OPTIONS)
        first = place.generate("/api/generate/chat", self.BODY, 404)
        again = place.ask("/api/generate/chat")
        assert 404 == seen(first)[0] == seen(again)[0]
        assert json.loads(seen(first)[1]) == json.loads(seen(again)[1])
        assert "application/problem+json" == header(again, "content-type")
        assert self.BODY.decode() == json.loads(seen(again)[1])["upstream_body"]
        assert ("recoup; fwd=uri-miss; stored; detail=cold", "recoup; hit; ttl=30") == (status(first), status(again))
        assert 1 == place.upstream.count

    @pytest.mark.parametrize("stored_at", PATHS)
    def test_both_ways_share_it(self, begin: Begin, stored_at: str) -> None:
        place = begin(self.OPTIONS)
        place.generate(stored_at, self.BODY, 404)
        own, problem = (place.ask(path) for path in PATHS)
        assert ((404, self.BODY), 404, 1) == (seen(own), seen(problem)[0], place.upstream.count)

    @pytest.mark.parametrize("path", PATHS)
    def test_it_goes_after_its_time(self, begin: Begin, clock: Clock, path: str) -> None:
        place = begin(f"{BOTH}{self.OPTIONS}")
        place.generate(path, self.BODY, 404)
        clock.advance(30)
        assert (200, b'"here"') == seen(place.generate(path, b'"here"'))

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize(
        ("code", "headers"),
        [
            (400, {}),
            (500, {}),
            (404, {"Cache_Control": "no-store"}),
            (404, {"Set_Cookie": "a=b"}),
        ],
    )
    def test_others_are_not_stored(self, begin: Begin, path: str, code: int, headers: dict[str, str]) -> None:
        place = begin(self.OPTIONS)
        for _ in range(2):
            assert seen(place.generate(path, self.BODY, code, **headers))[0] in (code, 502)
        assert (2, 0) == (place.upstream.count, len(place.cache))

    @pytest.mark.parametrize("path", PATHS)
    def test_past_the_cache_it_is_the_refusal_that_it_was(self, begin: Begin, path: str) -> None:
        place = begin(self.OPTIONS)
        asking = place.begin(path, Cache_Control="no-store")
        place.upstream.next().answer(404, self.BODY, **JSON)
        assert 404 == seen(waited(asking))[0]
        assert "recoup; fwd=bypass; detail=request" == status(asking)
        stats = place.cache.stats()
        assert (1, 0, 0) == (stats.generation_failures["refused"], stats.generations, stats.entries)

    def test_the_upstream_may_want_it_shorter(self, begin: Begin, clock: Clock) -> None:
        place = begin(self.OPTIONS)
        place.generate("/v1/chat", self.BODY, 404, Cache_Control="max-age=5")
        assert "recoup; hit; ttl=5" == status(place.ask("/v1/chat"))

    def test_a_refresh_that_is_refused_so_replaces_what_was_there(self, begin: Begin, clock: Clock) -> None:
        place = begin(f"{BOTH}{self.OPTIONS}")
        place.generate("/v1/chat", b'"old"')
        clock.advance(101)
        place.ask("/v1/chat")
        place.refreshed(lambda turn: turn.answer(410, b"gone"))
        assert ((410, b"gone"), {("stale", "stored"): 1}) == (seen(place.ask("/v1/chat")), place.refreshes)

    def test_conditions_on_results_do_not_matter_to_it(self, begin: Begin) -> None:
        place = begin(f"{self.OPTIONS}\nstore_unless = ['/error']")
        place.generate("/v1/chat", self.BODY, 404)
        assert "recoup; hit; ttl=30" == status(place.ask("/v1/chat"))

    def test_entries_show_it(self, begin: Begin) -> None:
        place = begin(self.OPTIONS)
        place.generate("/v1/chat", self.BODY, 404)
        client: Any = place.serving.test_client()
        shown = client.get("/api/cache/entries").json["entries"]
        assert ["application/json"] == [entry["content_type"] for entry in shown]


def test_what_is_configured_is_shown(begin: Begin) -> None:
    place = begin(f"{BOTH}refresh_ahead = 0.5\nnegative_ttl_seconds = {{ 404 = 30 }}")
    client: Any = place.serving.test_client()
    (shown,) = client.get("/api/pipelines").json["pipelines"]
    assert {
        "path": "/v1/chat",
        "stale_while_revalidate_seconds": 60,
        "stale_if_error_seconds": 600,
        "refresh_ahead": 0.5,
        "negative_ttl_seconds": {"404": 30},
    }.items() <= shown.items()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("stale_while_revalidate_seconds = -1", "stale_while_revalidate_seconds=-1: expected a number from 0"),
        ("stale_if_error_seconds = true", "stale_if_error_seconds=True: expected a number from 0"),
        ("refresh_ahead = 0", "refresh_ahead=0: expected a number above 0"),
        ("refresh_ahead = 1.0", "refresh_ahead=1.0: expected a number above 0 and below 1"),
        ("refresh_ahead = 80", "refresh_ahead=80: expected a number above 0"),
        ("negative_ttl_seconds = 30", "negative_ttl_seconds=30: expected a table of statuses"),
        ("negative_ttl_seconds = { 503 = 30 }", "negative_ttl_seconds='503': expected a status from 400 to 499"),
        ("negative_ttl_seconds = { 401 = 30 }", "negative_ttl_seconds='401': expected a status from 400 to 499"),
        ("negative_ttl_seconds = { 429 = 30 }", "negative_ttl_seconds='429': expected a status from 400 to 499"),
        ("negative_ttl_seconds = { 4xx = 30 }", "negative_ttl_seconds='4xx': expected a status from 400 to 499"),
        ("negative_ttl_seconds = { 404 = 0 }", "negative_ttl_seconds.404=0: expected a number above 0"),
        ("stale_for = 3", "unknown option stale_for"),
    ],
)
def test_what_cannot_be_used_stops_the_start(tmp_path: Path, line: str, problem: str) -> None:
    file = tmp_path / "pipelines.toml"
    file.write_text(
        textwrap.dedent(f"""
        [pipelines.chat]
        kind = "http"
        url = "http://127.0.0.1:9/up"
        {line}
        """)
    )
    with pytest.raises(Exception, match=problem) as raised:
        load_pipelines(file)
    assert "pipeline 'chat'" in str(raised.value)
