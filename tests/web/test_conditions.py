"""What a pipeline leaves out of its keys and its store, and what its generations cost, as callers see it."""

from __future__ import annotations

import json
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
from .scripted import EVENTS, Scripted

OPTIONS = """
path = "/v1/chat"
ignore_headers = ["Authorization", "Cookie"]
ignore_json = ["/user"]
ignore_query = ["utm"]
json_defaults = { "/n" = 1 }
store_unless = ["/error"]
store_only_if = { "/end" = ["stop"] }
[pipelines.chat.price]
currency = "USD"
per_generation = 1.0
per_unit = { "/usage" = 0.5 }
"""
PATHS = ["/v1/chat", "/api/generate/chat"]


class Place:
    """One pipeline before an upstream, both of this test."""

    def __init__(self, serving: Serving, upstream: Scripted) -> None:
        self._serving = serving
        self.upstream = upstream

    def begin(self, path: str, body: bytes = b"{}") -> Asking:
        return self._serving.asking(path, body, "POST", content_type="application/json")

    def ask(self, path: str, answer: Any, body: bytes = b"{}") -> str:
        """What `Cache-Status` says of a request that is generated."""
        asking = self.begin(path, body)
        self.upstream.next().answer(200, json.dumps(answer).encode(), Content_Type="application/json")
        asking.wait()
        assert answer == json.loads(b"".join(asking.exchange.body))
        return status(asking)

    def hit(self, path: str, body: bytes = b"{}") -> str:
        """What it says of one that is not."""
        asking = self.begin(path, body)
        asking.wait()
        assert self.upstream.none_waits()
        return status(asking)


def status(asking: Asking) -> str:
    return next(value.decode() for name, value in asking.exchange.headers if name == b"cache-status")


@pytest.fixture
def place(loop: LoopThread, serve: Serve, cache: LRUCache, tmp_path: Path) -> Iterator[Place]:
    upstream = Scripted(loop)
    file = tmp_path / "pipelines.toml"
    file.write_text(f'[pipelines.chat]\nkind = "http"\nurl = "{upstream.url}/up"\n{OPTIONS}')
    registry: PipelineRegistry = load_pipelines(file)
    loop.run(registry.start())
    yield Place(serve(Settings(wait_seconds=60.0), cache, registry), upstream)
    loop.run(registry.close(0.0))
    upstream.close()


@pytest.mark.parametrize("path", PATHS)
def test_noise_is_passed_on_and_shares_a_result(place: Place, path: str) -> None:
    asking = place.begin(path, b'{"user": "ann", "n": 1, "q": 2}')
    turn = place.upstream.next()
    assert b'{"user": "ann", "n": 1, "q": 2}' == turn.body
    turn.answer(200, b'{"end":"stop"}', Content_Type="application/json")
    asking.wait()
    for body in (b'{"q":2}', b'{"q":2,"user":"bob"}', b'{"n":1,"q":2}'):
        assert "; hit" in place.hit(path, body)
    assert "; hit" in place.hit(f"{path}?utm=mail", b'{"q":2}')
    assert "detail=cold" in place.ask(path, {"end": "stop"}, b'{"n":2,"q":2}')
    assert "detail=cold" in place.ask(f"{path}?other=1", {"end": "stop"}, b'{"q":2}')


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("word", "answer"), [("store_unless", {"end": "stop", "error": 1}), ("store_only_if", {"end": "length"})]
)
def test_a_result_that_is_kept_out_is_answered_and_says_why(
    place: Place, cache: LRUCache, path: str, word: str, answer: Any
) -> None:
    first, again = place.ask(path, answer), place.ask(path, answer)
    assert (f"not-stored={word}" in first, "detail=cold" in first) == (True, True)
    assert (f"not-stored={word}" in again, "detail=uncacheable" in again) == (True, True)
    assert "; stored" in place.ask(path, {"end": "stop"})
    assert "; hit" in place.hit(path)
    assert {"cold": 1, "uncacheable": 2}.items() <= cache.stats().miss_reasons.items()


@pytest.mark.parametrize("path", PATHS)
def test_those_who_were_waiting_get_what_is_kept_out(place: Place, cache: LRUCache, path: str) -> None:
    leader = place.begin(path)
    turn = place.upstream.next()
    follower = place.begin(path)
    wait_until(lambda: waiting(cache) == 1)
    turn.answer(200, b'{"error":1}', Content_Type="application/json")
    for asking in (leader, follower):
        asking.wait()
        assert b'{"error":1}' == b"".join(asking.exchange.body)
    assert "collapsed" in status(follower)
    assert 1 == place.upstream.count


def waiting(cache: LRUCache) -> int:
    """Lookups that follow another one's generation now."""
    return sum(len(flight.future._done_callbacks) for flight in cache._state.flights.all())  # type: ignore[attr-defined, misc]


def stream(place: Place, *data: object, ends: Callable[[Any], None] | None = None) -> Asking:
    asking = place.begin("/v1/chat")
    turn = place.upstream.next()
    turn.begin(200, EVENTS)
    for part in data:
        turn.part(f"data: {json.dumps(part)}\n\n".encode())
    turn.end() if ends is None else ends(turn)
    asking.wait()
    return asking


@pytest.mark.parametrize(
    ("end", "data"),
    [
        ("complete", [{"d": 1}, {"end": None}, {"end": "stop"}, {"usage": 4}]),
        ("not_stored", [{"d": 1}, {"end": "length"}]),
        ("not_stored", [{"d": 1}]),
        ("not_stored", [{"error": 1}, {"end": "stop"}]),
    ],
)
def test_the_events_of_a_stream_decide(place: Place, cache: LRUCache, end: Any, data: list[object]) -> None:
    stream(place, *data)
    wait_until(lambda: sum(cache.stats().streams.values()) == 1)
    assert 1 == cache.stats().streams[end]
    assert (end == "complete") == (len(cache) == 1)


def test_money_is_counted_for_results_and_for_streams(place: Place, cache: LRUCache) -> None:
    place.ask("/v1/chat", {"end": "stop", "usage": 6}, b'{"q":1}')
    place.hit("/v1/chat", b'{"q":1}')
    place.hit("/v1/chat", b'{"q":1,"user":1}')
    stream(place, {"usage": 100}, {"end": "stop", "usage": 2}, {"usage": None})
    wait_until(lambda: sum(cache.stats().streams.values()) == 1)
    place.hit("/v1/chat")
    stats = cache.stats()
    assert ({"USD": 4.0 + 2.0}, {"USD": 8.0 + 2.0}) == (stats.generated_cost, stats.recouped_cost)
    assert {"USD": 0.0} == stats.regretted_cost
