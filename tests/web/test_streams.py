"""Answers that are passed on as they come: to their caller, to those who join, and again as a hit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.support import wait_until
from recoup import LRUCache
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings

from .asgi_client import Asking, Client, LoopThread, Serving
from .conftest import Serve
from .scripted import EVENTS, Scripted

OPTIONS = """
path = "/v1/chat"
ignore_headers = ["Authorization", "Cookie"]
max_concurrent = 50
max_result_mb = 0.25
"""


@pytest.fixture
def upstream(loop: LoopThread) -> Iterator[Scripted]:
    scripted = Scripted(loop)
    yield scripted
    scripted.close()


@pytest.fixture
def front(
    loop: LoopThread, upstream: Scripted, serve: Serve, cache: LRUCache, tmp_path: Path
) -> Iterator[Callable[..., Serving]]:
    """Makes an application with one pipeline before the upstream."""
    made: list[PipelineRegistry] = []

    def make(options: str = OPTIONS, **settings: Any) -> Serving:
        file = tmp_path / "pipelines.toml"
        file.write_text(f'[pipelines.chat]\nkind = "http"\nurl = "{upstream.url}/up"\n{options}')
        registry = load_pipelines(file)
        loop.run(registry.start())
        made.append(registry)
        return serve(Settings(wait_seconds=60.0, **settings), cache, registry)

    yield make
    for registry in made:
        loop.run(registry.close(0.0))


class Chat:
    """Callers of one pipeline, each with the same request unless it says otherwise."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def ask(self, body: bytes = b'{"stream": true}', **given: Any) -> Asking:
        return self._serving.asking("/v1/chat", body, content_type="application/json", **given)

    def client(self) -> Client:
        return self._serving.test_client()


def got(asking: Asking) -> bytes:
    return b"".join(asking.exchange.body)


def header(asking: Asking, name: str) -> str:
    """All values of a header; empty where there are none."""
    return ", ".join(value.decode("latin-1") for key, value in asking.exchange.headers if key == name.encode())


def wait_for(*asked: Asking) -> None:
    """Wait for the last requests of a test: all that they asked for is answered, stored and counted."""
    for asking in asked:
        asking.wait()
    asked[0].settle()


def ends(cache: LRUCache) -> dict[str, int]:
    return {end: count for end, count in cache.stats().pipelines["chat"].streams.items() if count}


class TestAsTheyCome:
    def test_a_part_is_at_the_caller_before_the_next_one_is_made(self, front, upstream):
        asking = Chat(front()).ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        for number in range(3):
            turn.part(b"data: %d\n\n" % number)
            wait_until(lambda number=number: got(asking).endswith(b"data: %d\n\n" % number))
        turn.end()
        asking.settle()
        assert (b"data: 0\n\ndata: 1\n\ndata: 2\n\n", True) == (got(asking), asking.exchange.finished)

    @pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson", "text/plain", "image/png"])
    def test_whatever_the_media_type(self, front, upstream, kind):
        asking = Chat(front()).ask()
        turn = upstream.next()
        turn.begin(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})
        turn.part(b"one\n")
        wait_until(lambda: got(asking) == b"one\n")
        turn.end()
        asking.settle()
        assert asking.exchange.finished

    def test_an_answer_with_a_length_that_comes_slowly_is_passed_on_too(self, front, upstream):
        asking = Chat(front()).ask()
        turn = upstream.next()
        turn.begin(200, {"Content-Type": "text/plain", "Content-Length": "6"})
        turn.part(b"one")
        wait_until(lambda: got(asking) == b"one")
        turn.part(b"two")
        turn.end()
        asking.settle()
        assert ("6", b"onetwo") == (header(asking, "content-length"), got(asking))

    def test_a_follower_gets_what_there_is_and_then_the_rest(self, front, upstream, cache):
        chat = Chat(front())
        leader = chat.ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(leader) == b"data: 1\n\n")
        follower = chat.ask()
        wait_until(lambda: got(follower) == b"data: 1\n\n")
        turn.part(b"data: 2\n\n")
        wait_until(lambda: got(follower) == b"data: 1\n\ndata: 2\n\n")
        turn.end()
        wait_for(leader, follower)
        assert got(leader) == got(follower)
        assert "collapsed" in header(follower, "cache-status")
        assert (1, 1, 1) == (upstream.count, cache.stats().misses, cache.stats().coalesced)

    def test_a_follower_recoups_what_the_stream_took_and_cost(self, front, upstream, cache):
        """As one who has waited for all of it does, although its caller has read the end before that is stored."""
        chat = Chat(front(f'{OPTIONS}[pipelines.chat.price]\ncurrency = "USD"\nper_generation = 0.5\n'))
        leader = chat.ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(leader) == b"data: 1\n\n")
        followers = [chat.ask() for _ in range(3)]
        wait_until(lambda: all(got(follower) == b"data: 1\n\n" for follower in followers))
        turn.end()
        wait_for(leader, *followers)
        stats = cache.stats()
        assert (3, {"USD": 1.5}, {"USD": 0.5}) == (stats.coalesced, stats.recouped_cost, stats.generated_cost)
        assert stats.recouped_seconds == pytest.approx(3 * stats.generation_seconds)

    def test_a_follower_who_leaves_in_mid_stream_recoups_nothing(self, front, upstream, cache):
        chat = Chat(front())
        leader = chat.ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(leader) == b"data: 1\n\n")
        follower = chat.ask()
        wait_until(lambda: got(follower) == b"data: 1\n\n")
        follower.leave()
        wait_until(lambda: cache.stats().coalesced == 1)
        turn.end()
        wait_for(leader)
        assert (1, 0.0) == (cache.stats().coalesced, cache.stats().recouped_seconds)

    def test_a_hit_replays_the_same_bytes_at_once(self, front, upstream, cache):
        chat = Chat(front())
        asking = chat.ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        turn.part(b"data: 2\n\n")
        turn.end()
        asking.settle()
        hit = chat.client().post("/v1/chat", data=b'{"stream":true}', content_type="application/json")
        assert (got(asking), "text/event-stream") == (hit.data, hit.headers["Content-Type"])
        assert hit.headers["Cache-Status"].startswith("recoup; hit; ttl=")
        assert {"complete": 1} == ends(cache)

    def test_streamed_and_whole_are_two_keys(self, front, upstream):
        chat = Chat(front())
        asking = chat.ask(b'{"stream": true}')
        upstream.next().answer(200, b"a stream")
        asking.settle()
        other = chat.ask(b'{"stream": false}')
        upstream.next().answer(200, b"a text")
        other.wait()
        assert (b"a stream", b"a text") == (got(asking), got(other))

    def test_the_first_byte_is_counted_when_it_comes(self, front, upstream, cache):
        asking = Chat(front()).ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(asking) != b"")
        turn.end()
        asking.settle()
        histograms = cache.stats().histograms["chat"]
        first, whole = histograms.first_byte["miss"], histograms.request_duration["miss"]
        assert (1, 1) == (first.count, whole.count)
        assert first.total < whole.total


class TestPastTheCache:
    @pytest.mark.parametrize("how", ["no-store", "disabled"])
    def test_a_bypass_is_passed_on_as_it_comes_too(self, front, upstream, cache, how):
        if how == "disabled":
            cache.configure(enabled=False)
        given = {"headers": {"Cache-Control": "no-store"}} if how == "no-store" else {}
        asking = Chat(front()).ask(**given)
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(asking) == b"data: 1\n\n")
        turn.end()
        asking.settle()
        assert header(asking, "cache-status").startswith("recoup; fwd=bypass; detail=")
        assert {"not_stored": 1} == ends(cache)
        assert (1, 0) == (cache.stats().bypassed, len(cache))

    def test_one_that_is_generated_anew_takes_the_place_of_the_old_one(self, front, upstream, cache):
        chat = Chat(front())
        for part in (b"data: old\n\n", b"data: new\n\n"):
            asking = chat.ask(headers={"Cache-Control": "no-cache"})
            turn = upstream.next()
            turn.begin(200, EVENTS)
            turn.part(part)
            turn.end()
            asking.settle()
        hit = chat.client().post("/v1/chat", data=b'{"stream": true}', content_type="application/json")
        assert b"data: new\n\n" == hit.data


class TestLeaving:
    def test_a_caller_who_leaves_ends_nothing(self, front, upstream, cache):
        chat = Chat(front())
        leader = chat.ask()
        turn = upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        follower = chat.ask()
        wait_until(lambda: got(leader) == got(follower) == b"data: 1\n\n")
        leader.leave()
        leader.wait()
        turn.part(b"data: 2\n\n")
        wait_until(lambda: got(follower) == b"data: 1\n\ndata: 2\n\n")
        follower.leave()
        follower.wait()
        assert ({}, 0) == (ends(cache), len(cache))
        turn.end()
        wait_for(leader, follower)
        assert not leader.exchange.finished
        assert ({"complete": 1}, 1) == (ends(cache), len(cache))


class TestBreakingOff:
    def test_it_breaks_off_for_everybody_and_is_not_stored(self, front, upstream, cache):
        chat = Chat(front())
        leader, turn = chat.ask(), upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        follower = chat.ask()
        wait_until(lambda: got(leader) == got(follower) == b"data: 1\n\n")
        turn.cut()
        wait_for(leader, follower)
        assert [(200, False)] * 2 == [(it.exchange.status, it.exchange.finished) for it in (leader, follower)]
        assert (0, {"cut": 1}) == (len(cache), ends(cache))
        assert 1 == cache.stats().generation_failures["upstream"]

    def test_one_that_takes_too_long_breaks_off(self, front, upstream, cache, loop):
        asking, turn = Chat(front(OPTIONS + "timeout_seconds = 900")).ask(), upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: 1\n\n")
        wait_until(lambda: got(asking) == b"data: 1\n\n")
        loop.skip(901.0)
        asking.settle()
        assert (b"data: 1\n\n", False) == (got(asking), asking.exchange.finished)
        assert 1 == cache.stats().generation_failures["timeout"]

    def test_what_breaks_off_before_anything_was_passed_on_is_an_error(self, front, upstream):
        asking, turn = Chat(front()).ask(), upstream.next()
        turn.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
        turn.cut()
        asking.settle()
        assert 502 == asking.exchange.status or not asking.exchange.finished

    def test_so_is_a_stream_that_has_sent_only_its_headers(self, front, upstream, cache):
        asking, turn = Chat(front()).ask(), upstream.next()
        turn.begin(200, EVENTS)
        turn.cut()
        asking.settle()
        assert (502, True) == (asking.exchange.status, asking.exchange.finished)
        assert b"application/problem+json" == dict(asking.exchange.headers)[b"content-type"]
        assert (0, {"cut": 1}) == (len(cache), ends(cache))


class TestEndingWell:
    DONE = OPTIONS + 'stream_end = ["[DONE]", "message_stop"]'

    @pytest.mark.parametrize(
        ("parts", "stored"),
        [
            ([b"data: 1\n\n", b"data: [DONE]\n\n"], True),
            ([b"data: 1\r\n\r\n", b"data: [DONE]\r\n\r\n"], True),
            ([b"data: [DO", b"NE]\n", b"\n"], True),
            ([b"data: [DONE]\n\n: bye\n\n"], True),
            ([b"event: message_stop\ndata: {}\n\n"], True),
            ([b"data: 1\n\n"], False),
            ([b"data: [DONE]\n\ndata: 1\n\n"], False),
            ([b'data: "[DONE]"\n\n'], False),
        ],
        ids=["data", "crlf", "in pieces", "a comment after it", "event name", "none", "not the last", "not all of it"],
    )
    def test_a_stream_is_stored_where_its_last_event_ends_it_well(self, front, upstream, cache, parts, stored):
        asking, turn = Chat(front(self.DONE)).ask(), upstream.next()
        turn.begin(200, EVENTS)
        for part in parts:
            turn.part(part)
        turn.end()
        asking.settle()
        assert (b"".join(parts), True) == (got(asking), asking.exchange.finished)
        assert ({"complete" if stored else "not_stored": 1}, int(stored)) == (ends(cache), len(cache))

    def test_what_is_no_stream_of_events_needs_no_such_event(self, front, upstream, cache):
        asking = Chat(front(self.DONE)).ask()
        upstream.next().answer(200, b"{}", Content_Type="application/json")
        asking.settle()
        assert 1 == len(cache)

    def test_after_such_an_event_nothing_can_break_it(self, front, upstream, cache):
        asking, turn = Chat(front(self.DONE)).ask(), upstream.next()
        turn.begin(200, EVENTS)
        turn.part(b"data: [DONE]\n\n")
        wait_until(lambda: got(asking) != b"")
        turn.cut()
        asking.settle()
        assert (True, 1) == (asking.exchange.finished, len(cache))


class TestOversized:
    BIG = b"x" * 2**18

    def test_it_passes_through_and_is_not_stored(self, front, upstream, cache):
        chat = Chat(front())
        leader, turn = chat.ask(), upstream.next()
        follower = chat.ask()
        turn.begin(200, EVENTS)
        for _ in range(8):
            turn.part(self.BIG)
        turn.end()
        wait_for(leader, follower)
        assert self.BIG * 8 == got(leader) == got(follower)
        assert ({"too_large": 1}, 0) == (ends(cache), len(cache))

    def test_nobody_joins_it_any_more(self, front, upstream, cache):
        chat = Chat(front())
        leader, turn = chat.ask(), upstream.next()
        turn.begin(200, EVENTS)
        turn.part(self.BIG)
        turn.part(b"more")
        wait_until(lambda: len(got(leader)) == len(self.BIG) + 4)
        chat.ask()
        again = upstream.next()
        again.begin(200, EVENTS)
        assert 1 == cache.stats().miss_reasons["too_large"]
        turn.end(), again.end()
        leader.wait()

    def test_what_the_budget_has_no_room_for_passes_through(self, front, upstream, cache):
        asking, turn = Chat(front(OPTIONS.replace("0.25", "64"), in_flight_mb=1)).ask(), upstream.next()
        turn.begin(200, EVENTS)
        for _ in range(12):
            turn.part(self.BIG)
        turn.end()
        asking.settle()
        assert (self.BIG * 12, True) == (got(asking), asking.exchange.finished)
        assert {"too_large": 1} == ends(cache)

    def test_all_that_was_held_is_given_back(self, front, upstream, cache):
        serving = front()
        asking, turn = Chat(serving).ask(), upstream.next()
        turn.begin(200, EVENTS)
        for _ in range(8):
            turn.part(self.BIG)
        turn.end()
        asking.settle()
        assert {"bodies": 0, "results": 0, "answers": 0} == serving.service.in_flight.used()


KEEPING_OUT = [
    ({"Cache-Control": "no-store"}, "no-store"),
    ({"Cache-Control": "Private, max-age=60"}, "private"),
    ({"Cache-Control": 'no-cache="Set-Cookie"'}, "no-cache"),
    ({"Cache-Control": "max-age=0"}, '"max-age=0"'),
    ({"Cache-Control": "max-age=60", "Age": "60"}, '"max-age=0"'),
    ({"Cache-Control": "s-maxage=0, max-age=60"}, '"max-age=0"'),
    ({"Cache-Control": "max-age=soon"}, '"max-age=0"'),
    ({"Set-Cookie": "a=b"}, "set-cookie"),
    ({"Vary": "X-Tenant"}, "vary"),
    ({"Vary": "*"}, "vary"),
]


class TestTheUpstreamsWord:
    @pytest.mark.parametrize(("headers", "word"), KEEPING_OUT)
    def test_it_keeps_a_result_from_being_stored_and_says_so(self, front, upstream, cache, headers, word):
        asking, turn = Chat(front()).ask(), upstream.next()
        turn.begin(200, {**EVENTS, **headers})
        turn.part(b"data: mine\n\n")
        turn.end()
        asking.settle()
        assert f"recoup; fwd=uri-miss; detail=cold; not-stored={word}; key=" in header(asking, "cache-status")
        assert 0 == len(cache)

    @pytest.mark.parametrize(("headers", "word"), KEEPING_OUT)
    def test_or_from_nothing_where_the_pipeline_ignores_it(self, front, upstream, cache, headers, word):
        asking = Chat(front(OPTIONS + 'upstream_cache_control = "ignore"')).ask()
        turn = upstream.next()
        turn.begin(200, {**EVENTS, **headers})
        turn.part(b"data: ours\n\n")
        turn.end()
        asking.settle()
        assert 1 == len(cache)

    @pytest.mark.parametrize(
        ("headers", "ttl"),
        [
            ({"Cache-Control": "max-age=60"}, 60.0),
            ({"Cache-Control": "max-age=60, s-maxage=90"}, 90.0),
            ({"Cache-Control": "max-age=60", "Age": "20"}, 40.0),
            ({"Vary": "Accept-Encoding"}, 3600.0),
            ({}, 3600.0),
        ],
    )
    def test_it_sets_the_ttl(self, front, upstream, cache, headers, ttl):
        asking = Chat(front()).ask()
        upstream.next().answer(200, b"x", **{name.replace("-", "_"): value for name, value in headers.items()})
        asking.settle()
        (entry,) = cache.entries()
        assert ttl == entry["expires_in_seconds"]

    def test_followers_then_generate_for_themselves_all_at_once_with_their_own_headers(self, front, upstream, cache):
        chat = Chat(front())
        leader, turn = chat.ask(headers={"Authorization": "leader"}), upstream.next()
        followers = [chat.ask(headers={"Authorization": f"follower {number}"}) for number in range(3)]
        turn.begin(200, {**EVENTS, "Cache-Control": "private"})
        turn.part(b"data: leader\n\n")
        turns = [upstream.next() for _ in followers]
        for other in turns:
            other.begin(200, {**EVENTS, "Cache-Control": "private"})
            other.part(b"data: %b\n\n" % other.headers["authorization"].encode())
            other.end()
        for follower in followers:
            follower.wait()
        turn.end()
        leader.settle()
        assert [b"data: follower %d\n\n" % number for number in range(3)] == [got(it) for it in followers]
        assert b"data: leader\n\n" == got(leader)
        assert {"cold": 1, "uncacheable": 3} == {
            reason: count for reason, count in cache.stats().miss_reasons.items() if count
        }

    def test_it_holds_under_api_generate_too(self, front, upstream, cache):
        serving = front()
        asking = serving.asking("/api/generate/chat", b"{}", content_type="application/json")
        upstream.next().answer(200, b"mine", Cache_Control="no-store")
        asking.settle()
        assert (b"mine", 0) == (got(asking), len(cache))
