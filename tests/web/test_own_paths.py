"""Paths of a pipeline's own, and passthrough: what answers where, and that the answer is the upstream's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.support import wait_until
from recoup import LRUCache
from recoup.pipelines.paths import is_own_path
from recoup.pipelines.registry import PipelineRegistry, load_pipelines
from recoup.settings import Settings

from .asgi_client import Asking, LoopThread, Serving
from .conftest import Serve
from .scripted import Scripted, Turn

FILE = """
[pipelines.chat]
kind = "http"
url = "{url}/up/chat"
path = "/v1/chat"
key_headers = ["Authorization"]
keep_headers = ["OpenAI-*", "X-Kept"]
max_concurrent = 50
[pipelines.images]
kind = "http"
url = "{url}/img/*"
path = "/images/*"
ignore_headers = ["Authorization", "Cookie"]
[pipelines.look]
kind = "http"
url = "{url}/look?fixed=1"
path = "/v1/look"
method = "GET"
ignore_headers = ["Authorization", "Cookie"]
[[passthrough]]
path = "/v1/*"
url = "{url}/rest/*"
[[passthrough]]
path = "/alone"
url = "{url}/alone"
"""
ADDED = {"cache-status", "server-timing", "x-recoup-request-id"}


@pytest.fixture
def upstream(loop: LoopThread) -> Iterator[Scripted]:
    scripted = Scripted(loop)
    yield scripted
    scripted.close()


@pytest.fixture
def front(
    loop: LoopThread, upstream: Scripted, serve: Serve, cache: LRUCache, tmp_path: Path
) -> Iterator[Callable[..., Serving]]:
    """Makes an application before the upstream: by the file above, or for all of the upstream."""
    made: list[PipelineRegistry] = []

    def make(*, whole: bool = False, base: str = "", **settings: Any) -> Serving:
        file = tmp_path / "pipelines.toml"
        file.write_text(FILE.replace("{url}", upstream.url))
        registry = load_pipelines(None, upstream=upstream.url + base) if whole else load_pipelines(file)
        loop.run(registry.start())
        made.append(registry)
        return serve(Settings(wait_seconds=60.0, **settings), cache, registry)

    yield make
    for registry in made:
        loop.run(registry.close(0.0))


class Talk:
    """Requests that an upstream answers."""

    def __init__(self, serving: Serving, upstream: Scripted) -> None:
        self._serving = serving
        self._upstream = upstream
        self.turn: Turn

    def ask(self, path: str, body: bytes = b"{}", *, method: str = "POST", **given: Any) -> Asking:
        kind = given.pop("content_type", "application/json" if method == "POST" else None)
        return self._serving.asking(path, body, method, content_type=kind, **given)

    def get_answered(
        self, path: str, body: bytes = b"{}", *, status: int = 200, answer: bytes = b"an answer",
        answer_headers: dict[str, str] | None = None, **given: Any,
    ) -> Asking:  # fmt: skip
        """A request that goes on, is answered, and is done with."""
        asking = self.ask(path, body, **given)
        self.turn = self._upstream.next()
        self.turn.answer(status, answer, **{k.replace("-", "_"): v for k, v in (answer_headers or {}).items()})
        asking.settle()
        return asking

    def get(self, path: str, body: bytes = b"{}", **given: Any) -> Asking:
        """A request that is answered without going on."""
        asking = self.ask(path, body, **given)
        asking.wait()
        assert self._upstream.none_waits()
        return asking


@pytest.fixture
def talk(front: Callable[..., Serving], upstream: Scripted) -> Talk:
    return Talk(front(), upstream)


def headers(asking: Asking) -> dict[str, str]:
    named: dict[str, str] = {}
    for name, value in asking.exchange.headers:
        text = value.decode("latin-1")
        named[name.decode()] = f"{named[name.decode()]}, {text}" if name.decode() in named else text
    return named


def body(asking: Asking) -> bytes:
    return b"".join(asking.exchange.body)


HEADERS = {"Content-Type": "application/json; charset=utf-8", "OpenAI-Version": "1", "X-Kept": "k", "X-Other": "o",
           "Server": "up", "Date": "then", "X-Request-Id": "theirs", "ETag": '"e"'}  # fmt: skip


class TestTheAnswerIsTheUpstreams:
    def test_on_a_miss_to_the_header(self, talk):
        asking = talk.get_answered("/v1/chat", answer_headers=HEADERS)
        sent = {name.lower(): value for name, value in HEADERS.items()} | {"content-length": "9"}
        assert (200, b"an answer") == (asking.exchange.status, body(asking))
        assert sent == {name: value for name, value in headers(asking).items() if name not in ADDED}
        assert set(headers(asking)) >= ADDED

    def test_on_a_hit_its_status_body_content_type_and_the_headers_that_are_kept(self, talk):
        talk.get_answered("/v1/chat", status=203, answer_headers=HEADERS)
        asking = talk.get("/v1/chat")
        assert (203, b"an answer") == (asking.exchange.status, body(asking))
        assert {
            "content-type": "application/json; charset=utf-8",
            "openai-version": "1",
            "x-kept": "k",
            "content-length": "9",
            "age": "0",
        } == {name: value for name, value in headers(asking).items() if name not in ADDED}

    def test_headers_of_the_connection_stay_behind(self, talk):
        hops = {"Connection": "X-Hop, keep-alive", "X-Hop": "1", "Keep-Alive": "timeout=5", "Proxy-Authenticate": "p"}
        asking = talk.get_answered("/v1/chat", answer_headers=hops)
        assert {"content-length"} == set(headers(asking)) - ADDED

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503, 529])
    def test_errors_included(self, talk, cache, status):
        own = {"Content-Type": "application/json", "Retry-After": "7", "WWW-Authenticate": "Bearer x", "X-Other": "o"}
        asking = talk.get_answered("/v1/chat", status=status, answer=b'{"error": {}}', answer_headers=own)
        assert (status, b'{"error": {}}') == (asking.exchange.status, body(asking))
        assert {name.lower(): value for name, value in own.items()}.items() <= headers(asking).items()
        assert 0 == len(cache)
        kind = "refused" if status < 500 else "upstream"
        assert {kind: 1} == {k: n for k, n in cache.stats().generation_failures.items() if n}

    def test_an_error_is_everybodys_who_waits_but_for_its_callers_cookie(self, talk, upstream):
        leader = talk.ask("/v1/chat")
        turn = upstream.next()
        follower = talk.ask("/v1/chat")
        turn.answer(429, b"slow down", Retry_After="3", Set_Cookie="a=b")
        for asking in (leader, follower):
            asking.wait()
        assert (429, b"slow down", "3") == (
            follower.exchange.status,
            body(follower),
            headers(follower)["retry-after"],
        )
        assert ("a=b", None) == (headers(leader)["set-cookie"], headers(follower).get("set-cookie"))

    @pytest.mark.parametrize(("status", "answer"), [(202, b"later"), (206, b"a part"), (204, b""), (302, b"there")])
    def test_what_is_no_result_is_passed_on_and_not_stored(self, talk, cache, status, answer):
        for _ in range(2):
            asking = talk.get_answered("/v1/chat", status=status, answer=answer, answer_headers={"Location": "/x"})
            assert (status, answer, "/x") == (asking.exchange.status, body(asking), headers(asking)["location"])
        assert 0 == len(cache)

    def test_interim_answers_are_skipped(self, talk, upstream):
        asking = talk.ask("/v1/chat")
        turn = upstream.next()
        turn.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        turn.answer(200, b"an answer")
        asking.wait()
        assert (200, b"an answer") == (asking.exchange.status, body(asking))

    def test_an_encoding_that_nobody_asked_for_is_passed_on_and_kept(self, talk):
        for answered in (talk.get_answered, talk.get):
            given = {"answer_headers": {"Content-Encoding": "gzip"}} if answered == talk.get_answered else {}
            asking = answered("/v1/chat", **given)
            assert ("gzip", b"an answer") == (headers(asking)["content-encoding"], body(asking))

    def test_under_api_generate_nothing_of_it_is_there(self, talk):
        asking = talk.get_answered("/api/generate/chat", answer_headers=HEADERS)
        assert {"openai-version", "x-kept"}.isdisjoint(headers(asking))
        assert "x-request-id" in headers(asking)
        hit = talk.get("/v1/chat")
        assert ("1", b"an answer") == (headers(hit)["openai-version"], body(hit))


class TestWhatGoesUp:
    def test_the_body_as_it_came_and_the_content_type_with_its_parameters(self, talk):
        talk.get_answered("/v1/chat", b'{ "a":1 }', content_type="application/json; charset=utf-8")
        assert (b'{ "a":1 }', "/up/chat", "application/json; charset=utf-8") == (
            talk.turn.body,
            talk.turn.target,
            talk.turn.headers["content-type"],
        )

    def test_trace_headers_and_the_request_id(self, talk):
        given = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "tracestate": "a=b", "X-Request-Id": "mine-1"}
        talk.get_answered("/v1/chat", headers=given)
        assert {name.lower(): value for name, value in given.items()}.items() <= talk.turn.headers.items()

    def test_a_request_id_is_made_where_there_is_none(self, talk):
        asking = talk.get_answered("/v1/chat")
        assert headers(asking)["x-recoup-request-id"] == talk.turn.headers["x-request-id"]

    def test_trace_headers_are_in_no_key(self, talk):
        talk.get_answered("/v1/chat", headers={"X-Request-Id": "one", "tracestate": "a=b"})
        assert "recoup; hit" in headers(talk.get("/v1/chat", headers={"X-Request-Id": "two"}))["cache-status"]

    def test_a_key_header_is_in_the_key(self, talk):
        talk.get_answered("/v1/chat", headers={"Authorization": "a"})
        talk.get_answered("/v1/chat", headers={"Authorization": "b"})
        assert "b" == talk.turn.headers["authorization"]
        talk.get("/v1/chat", headers={"Authorization": "a"})

    def test_the_rest_of_an_open_path_is_added_and_belongs_to_the_key(self, talk):
        for rest in ("a/b", "a%20b", ""):
            talk.get_answered(f"/images/{rest}")
            talk.get(f"/images/{rest}")

    @pytest.mark.parametrize("dots", ["..", "%2e%2e", ".", "a/..", "..%2fx", "..;/x", "..\\x"])
    def test_a_path_that_leads_elsewhere_is_refused(self, front, upstream, dots):
        asking = _raw(front(), f"/images/{dots}".encode())
        asking.wait()
        assert (400, True) == (asking.exchange.status, upstream.none_waits())


def _raw(serving: Serving, path: bytes) -> Asking:
    """A request of a path as bytes, which no client would send."""
    return serving.asking("/", b"{}", content_type="application/json", path_as_sent=path)


class TestGet:
    def test_it_answers_get_and_head_and_the_query_is_in_the_key(self, talk):
        asking = talk.get_answered("/v1/look?a=1&b", b"", method="GET")
        assert ("/look?fixed=1&a=1&b", "GET") == (talk.turn.target, talk.turn.method)
        head = talk.get("/v1/look?b&a=1", b"", method="HEAD")
        assert (200, b"", "9") == (head.exchange.status, body(head), headers(head)["content-length"])
        assert b"an answer" == body(asking)
        talk.get_answered("/v1/look?a=2&b", b"", method="GET")

    def test_two_queries_that_an_upstream_can_tell_apart_are_two_keys(self, talk):
        for query in ("?a", "?a=", "?a=&a", "?a=1&a=2", "?a=2&a=1"):
            talk.get_answered(f"/v1/look{query}", b"", method="GET")

    def test_a_head_that_comes_first_has_the_result_generated(self, talk):
        head = talk.get_answered("/v1/look", b"", method="HEAD")
        assert ("GET", b"", "9") == (talk.turn.method, body(head), headers(head)["content-length"])
        assert b"an answer" == body(talk.get("/v1/look", b"", method="GET"))


class TestWhatAnswersWhere:
    def test_a_path_goes_before_all_paths_below_one(self, talk):
        talk.get_answered("/v1/chat")
        assert "/up/chat" == talk.turn.target
        talk.get_answered("/v1/chat/more")
        assert "/rest/chat/more" == talk.turn.target

    def test_another_method_than_the_pipelines_passes_through(self, talk, cache):
        talk.get_answered("/v1/chat", b"", method="DELETE")
        assert ("DELETE", "/rest/chat", 0) == (talk.turn.method, talk.turn.target, len(cache))

    def test_or_is_refused_where_nothing_passes_through(self, talk):
        asking = talk.get("/images/a", b"", method="GET")
        document = json.loads(body(asking))
        assert (405, ["POST"]) == (asking.exchange.status, document["allowed"])
        assert {"message": document["detail"], "type": "invalid_request_error", "code": "method_not_allowed"} == (
            document["error"]
        )

    def test_recoups_own_paths_go_before(self, front, upstream):
        talk = Talk(front(whole=True), upstream)
        for path in ("/metrics", "/healthz", "/readyz", "/api/pipelines", "/api/cache/stats", "/openapi.json", "/docs"):
            assert 200 == talk.get(path, b"", method="GET").exchange.status

    def test_every_path_of_recoups_own_is_known_as_one(self, front):
        own = {
            path.split("<")[0] for _, path in front().application.routes() if not path.startswith(("/v1", "/images"))
        }
        assert {"/metrics", "/api/generate/", "/docs"} <= own
        assert [] == [path for path in sorted(own) if not is_own_path(path)]

    def test_a_path_that_is_not_configured_is_not_found(self, talk):
        assert 404 == talk.get("/v2/chat").exchange.status

    @pytest.mark.parametrize("path", ["/v1/chat", "/v1/anything", "/images/a", "/alone"])
    def test_a_websocket_is_refused_with_a_reason(self, talk, path):
        asking = talk.get(path, b"", method="GET", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
        document = json.loads(body(asking))
        assert (501, "not_implemented") == (asking.exchange.status, document["error"]["code"])
        assert "WebSocket" in document["detail"]


class TestRefusalsOfRecoupsOwn:
    @pytest.mark.parametrize(
        ("given", "status", "code"),
        [
            ({"body": b'{"a": 1, "a": 2}'}, 400, "bad_request"),
            ({"headers": {"Cache-Control": "only-if-cached"}}, 504, "not_cached"),
            ({"headers": {"Content-Encoding": "br"}}, 415, "unsupported_media"),
        ],
    )
    def test_they_are_problems_that_clients_of_such_apis_read(self, talk, given, status, code):
        asking = talk.get("/v1/chat", **given)
        document = json.loads(body(asking))
        kind = "invalid_request_error" if status < 500 else "server_error"
        assert (status, document["detail"]) == (asking.exchange.status, document["error"]["message"])
        assert (kind, code) == (document["error"]["type"], document["error"]["code"])
        assert {"type", "title", "status", "detail", "instance"} <= set(document)
        assert "x-recoup-request-id" in headers(asking)

    def test_an_upstream_that_is_gone_is_a_502_of_that_shape(self, talk, upstream):
        asking = talk.ask("/v1/chat")
        upstream.next().cut()
        asking.wait()
        document = json.loads(body(asking))
        assert (502, "upstream_failed") == (asking.exchange.status, document["error"]["code"])

    def test_under_api_generate_they_have_no_such_member(self, talk):
        assert "error" not in json.loads(body(talk.get("/api/generate/chat", b"{")))


class TestPassthrough:
    def test_a_request_goes_on_as_it_is(self, talk):
        given = {"X-A": "1", "Authorization": "me", "Accept-Encoding": "br", "Connection": "X-Hop", "X-Hop": "1"}
        talk.get_answered("/v1/files?a&b=%20", b"abc", method="PUT", content_type="x/y", headers=given)
        turn = talk.turn
        assert ("PUT", "/rest/files?a&b=%20", b"abc") == (turn.method, turn.target, turn.body)
        assert {"x-a": "1", "authorization": "me", "accept-encoding": "br", "content-type": "x/y"}.items() <= (
            turn.headers.items()
        )
        assert {"x-hop", "connection", "x-request-id", "user-agent"}.isdisjoint(turn.headers)

    def test_its_answer_comes_back_as_it_is_and_is_not_stored(self, talk, cache):
        own = {"Content-Type": "text/x", "Set-Cookie": "a=b", "X-Other": "o"}
        for status in (200, 404):
            asking = talk.get_answered("/v1/files", b"", method="GET", status=status, answer_headers=own)
            assert (status, b"an answer") == (asking.exchange.status, body(asking))
            assert {name.lower(): value for name, value in own.items()}.items() <= headers(asking).items()
        assert (0, 0) == (len(cache), cache.stats().misses)

    @pytest.mark.parametrize("length", [{"Content-Length": "9"}, {"Transfer-Encoding": "chunked"}], ids=str)
    def test_an_answer_that_breaks_off_before_its_first_byte_is_a_problem(self, talk, upstream, length):
        asking = talk.ask("/v1/models", b"", method="GET")
        turn = upstream.next()
        turn.begin(200, length)
        turn.cut()
        asking.wait()
        assert (502, True) == (asking.exchange.status, asking.exchange.finished)
        assert b"broke off" in b"".join(asking.exchange.body)

    def test_an_answer_is_passed_on_as_it_comes(self, talk, upstream):
        asking = talk.ask("/v1/files", b"", method="GET")
        turn = upstream.next()
        turn.begin()
        for part in (b"one", b"two"):
            turn.part(part)
            wait_until(lambda part=part: body(asking).endswith(part))
        turn.end()
        asking.wait()
        assert (b"onetwo", True) == (body(asking), asking.exchange.finished)

    def test_a_long_body_goes_up_as_it_comes(self, talk):
        long = bytes(range(256)) * 1024
        talk.get_answered("/v1/files", long, content_type="application/octet-stream")
        assert long == talk.turn.body

    def test_the_answer_of_a_head_has_no_body(self, talk, upstream):
        asking = talk.ask("/v1/files", b"", method="HEAD")
        turn = upstream.next()
        turn.begin(200, {"Content-Length": "5"})
        turn.end()
        asking.wait()
        assert (200, b"", "5") == (asking.exchange.status, body(asking), headers(asking)["content-length"])

    def test_an_answer_that_breaks_off_breaks_off(self, talk, upstream):
        asking = talk.ask("/v1/files", b"", method="GET")
        turn = upstream.next()
        turn.begin()
        turn.part(b"one")
        wait_until(lambda: body(asking) == b"one")
        turn.cut()
        asking.wait()
        assert not asking.exchange.finished

    @pytest.mark.parametrize("begun", [False, True])
    def test_a_caller_who_leaves_ends_it(self, talk, upstream, begun):
        asking = talk.ask("/v1/files", b"", method="GET")
        turn = upstream.next()
        if begun:
            turn.begin()
            turn.part(b"one")
            wait_until(lambda: body(asking) == b"one")
        asking.leave()
        asking.wait()
        assert not asking.exchange.finished

    def test_an_upstream_that_is_gone_is_a_502(self, talk, upstream):
        asking = talk.ask("/v1/files", b"", method="GET")
        upstream.next().cut()
        asking.wait()
        assert (502, "upstream_failed") == (asking.exchange.status, json.loads(body(asking))["error"]["code"])


class TestAWholeUpstream:
    def test_a_post_of_json_is_the_pipeline_and_all_else_passes_through(self, front, upstream, cache):
        talk = Talk(front(whole=True), upstream)
        talk.get_answered("/any/path?q=1")
        assert "/any/path?q=1" == talk.turn.target
        talk.get("/any/path?q=1")
        for given in ({"method": "GET"}, {"content_type": "text/plain"}, {"method": "PUT"}):
            talk.get_answered("/any/path?q=1", **given)
        assert 1 == len(cache)

    def test_path_and_query_belong_to_the_key(self, front, upstream):
        talk = Talk(front(whole=True), upstream)
        for path in ("/a", "/b", "/a?q=1", "/a/", "/A"):
            talk.get_answered(path)

    def test_a_base_url_with_a_path_comes_before_what_is_asked(self, front, upstream):
        talk = Talk(front(whole=True, base="/api/v2"), upstream)
        talk.get_answered("/chat")
        assert "/api/v2/chat" == talk.turn.target
        talk.get_answered("/models", b"", method="GET")
        assert "/api/v2/models" == talk.turn.target

    @pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Api-Key", "Api-Key", "Accept-Language", "X-Tenant"])
    def test_every_header_that_goes_on_belongs_to_the_key(self, front, upstream, name):
        talk = Talk(front(whole=True), upstream)
        for value in ("a", "b"):
            talk.get_answered("/chat", headers={name: value})
            assert value == talk.turn.headers[name.lower()]
        talk.get("/chat", headers={name: "a"})
        talk.get_answered("/chat")

    @pytest.mark.parametrize("name", ["User-Agent", "X-Stainless-Retry-Count", "X-Request-Id", "traceparent", "Via"])
    def test_but_for_noise_which_goes_on_all_the_same(self, front, upstream, name):
        talk = Talk(front(whole=True), upstream)
        talk.get_answered("/chat", headers={name: "one"})
        assert "one" == talk.turn.headers[name.lower()]
        talk.get("/chat", headers={name: "two"})

    def test_what_connection_names_is_nobody_elses(self, front, upstream):
        """It goes no further, and so it is not in the key; but nobody can take away whose the request is."""
        talk = Talk(front(whole=True), upstream)
        talk.get_answered("/chat", headers={"Connection": "close, X-Hop", "X-Hop": "secret"})
        assert {"x-hop", "connection"}.isdisjoint(talk.turn.headers)
        talk.get("/chat")
        talk.get_answered("/chat", headers={"Connection": "Authorization", "Authorization": "me"})
        assert "me" == talk.turn.headers["authorization"]

    def test_a_result_that_depends_on_noise_is_not_stored(self, front, upstream, cache):
        talk = Talk(front(whole=True), upstream)
        talk.get_answered("/chat", answer_headers={"Vary": "User-Agent"})
        talk.get_answered("/chat", answer_headers={"Vary": "X-Tenant, Accept"})
        assert 1 == len(cache)

    def test_what_asks_for_a_part_or_for_nothing_does_not_go_on(self, front, upstream):
        talk = Talk(front(whole=True), upstream)
        talk.get_answered("/chat", headers={"Range": "bytes=0-1", "If-None-Match": '"e"', "If-Modified-Since": "x"})
        assert {"range", "if-none-match", "if-modified-since"}.isdisjoint(talk.turn.headers)
