"""The `http` pipeline against a real HTTP server."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from recoup.errors import BadRequestError, GenerationTimeoutError, UnsupportedMediaError, UpstreamError
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.protocol import Request, Result

from .loops import PATIENCE, LoopThread
from .upstream import CERTIFICATE, Behaviour, Handler, Seen, Upstream, serve

Build = Callable[..., HttpPipeline]

LIMIT = 1000.0  # seconds that nobody waits for


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def pipeline(stack: ExitStack, loop: LoopThread) -> Build:
    """Builds started pipelines, which are closed before the servers are."""

    def build(url: str, *, on: LoopThread = loop, **options: Any) -> HttpPipeline:
        own = {name: options.pop(name) for name in ("method", "headers", "max_result_bytes") if name in options}
        pipeline = on.blocking(
            HttpPipeline(PipelineOptions(name="llm", **{"timeout_seconds": 60.0, **options}), url=url, **own)
        )
        pipeline.start()  # type: ignore[unused-coroutine]
        stack.callback(pipeline.close, 0.0)
        return pipeline

    return build


@pytest.fixture
def upstream(stack: ExitStack) -> Callable[..., Upstream]:
    return lambda behaviour, **options: stack.enter_context(serve(behaviour, **options))


def generate(pipeline: HttpPipeline, request: Request | None = None) -> Result:
    return pipeline.generate(pipeline.prepare(request or Request(body=b"x")))  # type: ignore[return-value]


async def begin(pipeline: HttpPipeline, request: Request | None = None) -> Result:
    """Generate on the pipeline's own loop."""
    pipeline = getattr(pipeline, "unblocked", pipeline)
    return await pipeline.generate(pipeline.prepare(request or Request(body=b"x")))  # type: ignore[return-value]


def await_true(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def say_hello(handler: Handler, _: Seen) -> None:
    handler.answer(200, b"hello", Content_Type="text/plain; charset=utf-8")


def answering(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler, _: handler.answer(status, body, **headers)


def sending(data: bytes) -> Behaviour:
    return lambda handler, _: handler.raw(data)


class TestPassingOn:
    def test_an_answer_is_the_result_with_its_content_type(self, upstream, pipeline):
        result = generate(pipeline(upstream(say_hello).url))
        assert (b"hello", "text/plain; charset=utf-8") == (result.body, result.content_type)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET"])
    def test_the_body_goes_on_as_it_came(self, upstream, pipeline, method):
        server = upstream(say_hello)
        body = b'{ "b": 1,\n "a": [1.0] }'
        generate(pipeline(server.url, method=method), Request(body=body, content_type="application/json"))
        assert (method, body, "application/json") == (
            server.last.method,
            server.last.body,
            server.last.headers["content-type"],
        )

    def test_a_get_without_a_body_sends_none(self, upstream, pipeline):
        server = upstream(say_hello)
        generate(pipeline(server.url, method="GET"), Request(body=b""))
        assert {"content-length", "transfer-encoding", "content-type"}.isdisjoint(server.last.headers)

    def test_a_post_without_a_body_says_that_it_is_empty(self, upstream, pipeline):
        server = upstream(say_hello)
        generate(pipeline(server.url), Request(body=b""))
        assert server.last.headers["content-length"] == "0"

    def test_the_query_goes_on_encoded_and_with_its_repeated_values(self, upstream, pipeline):
        server = upstream(say_hello)
        generate(pipeline(server.url), Request(body=b"", query={"b": ("2", "1"), "a": ("x y&z=ü",)}))
        assert server.last.target == "/generate?b=2&b=1&a=x+y%26z%3D%C3%BC"

    def test_the_query_of_the_url_stays_in_front(self, upstream, pipeline):
        server = upstream(say_hello)
        generate(pipeline(server.url + "?model=m"), Request(body=b"", query={"n": ("1",)}))
        assert server.last.target == "/generate?model=m&n=1"

    def test_headers_of_the_request_and_of_the_configuration_are_sent(self, upstream, pipeline):
        server = upstream(say_hello)
        llm = pipeline(
            server.url,
            key_headers=("accept-language",),
            ignore_headers=("authorization",),
            headers={"x-api-key": "secret"},
        )
        generate(llm, Request(body=b"", headers={"accept-language": (b"de",), "authorization": (b"Bearer t",)}))
        sent = server.last.headers
        assert ("de", "Bearer t", "secret") == (sent["accept-language"], sent["authorization"], sent["x-api-key"])
        assert sent["user-agent"].startswith("recoup/")

    def test_nothing_of_a_request_is_logged_at_any_level(self, upstream, pipeline, caplog):
        """Queries and headers hold keys to APIs."""
        server = upstream(say_hello)
        llm = pipeline(server.url + "?api_key=hunter2", headers={"x-api-key": "hunter2"})
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("before").debug("something is")
            generate(llm, Request(body=b"hunter2", query={"token": ("hunter2",)}))
        assert "something is" in caplog.text
        assert "hunter2" not in caplog.text

    def test_a_content_type_among_the_key_headers_goes_on_with_its_parameters(self, upstream, pipeline):
        server = upstream(say_hello)
        llm = pipeline(server.url, key_headers=("content-type",))
        full = "multipart/form-data; boundary=b"
        generate(
            llm, Request(body=b"--b--", content_type="multipart/form-data", headers={"content-type": (full.encode(),)})
        )
        assert server.last.headers["content-type"] == full

    def test_a_form_whose_boundary_would_be_lost_is_refused(self, pipeline):
        llm = pipeline("http://127.0.0.1:9/")
        with pytest.raises(UnsupportedMediaError, match="Content-Type in key_headers"):
            llm.prepare(Request(body=b"--b--", content_type="multipart/form-data"))

    def test_a_header_that_cannot_be_sent_is_the_callers_error(self, pipeline):
        llm = pipeline("http://127.0.0.1:9/", key_headers=("x-note",))
        with pytest.raises(BadRequestError, match="x-note"):
            generate(llm, Request(body=b"", headers={"x-note": (b"two\r\nlines",)}))

    @pytest.mark.parametrize("headers", [{}, {"Content_Type": "t\xe4xt"}, {"Content_Type": "x" * 2000}])
    def test_a_content_type_that_cannot_be_used_becomes_one_that_can(self, upstream, pipeline, headers):
        result = generate(pipeline(upstream(answering(200, b"x", **headers)).url))
        assert result.content_type == "application/octet-stream"


class TestKeys:
    def test_the_headers_that_are_ignored_are_not_in_the_key(self, pipeline):
        llm = pipeline("http://127.0.0.1:9/", key_headers=("accept-language",), ignore_headers=("authorization",))
        requests = [
            Request(body=b"", headers={"accept-language": (b"de",), "authorization": (who,)}) for who in (b"a", b"b")
        ]
        one, two = (llm.prepare(request).canonical for request in requests)
        assert one == two

    @pytest.mark.parametrize(
        "other",
        [
            Request(body=b"c", content_type="text/plain", query={"a": ("1",)}, headers={"accept-language": (b"de",)}),
            Request(body=b"b", content_type="text/html", query={"a": ("1",)}, headers={"accept-language": (b"de",)}),
            Request(
                body=b"b", content_type="text/plain", query={"a": ("1", "1")}, headers={"accept-language": (b"de",)}
            ),
            Request(body=b"b", content_type="text/plain", query={"a": ("1",)}, headers={"accept-language": (b"fr",)}),
            Request(body=b"b", content_type="text/plain", query={"a": ("1",)}),
        ],
        ids=["body", "content type", "query", "key header", "no key header"],
    )
    def test_whatever_may_change_the_answer_is_in_the_key(self, pipeline, other):
        llm = pipeline("http://127.0.0.1:9/", key_headers=("accept-language",))
        request = Request(
            body=b"b", content_type="text/plain", query={"a": ("1",)}, headers={"accept-language": (b"de",)}
        )
        assert llm.prepare(request).canonical != llm.prepare(other).canonical

    def test_the_order_of_query_names_does_not_matter_and_that_of_values_does(self, pipeline):
        llm = pipeline("http://127.0.0.1:9/")
        queries = ({"a": ("1", "2"), "b": ("3",)}, {"b": ("3",), "a": ("1", "2")}, {"a": ("2", "1"), "b": ("3",)})
        one, same, other = (llm.prepare(Request(body=b"", query=query)).canonical for query in queries)
        assert one == same
        assert one != other


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 401, 404, 422, 429, 499])
    def test_a_4xx_is_passed_on_with_its_status_and_its_words(self, upstream, pipeline, status):
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(answering(status, "größer".encode())).url))
        error = raised.value
        assert (status, status, "größer", None) == (
            error.status,
            error.upstream_status,
            error.upstream_body,
            error.retry_after_seconds,
        )

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_passed_on(self, upstream, pipeline, status):
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(answering(status, Retry_After="7")).url))
        assert (status, 7) == (raised.value.status, raised.value.retry_after_seconds)

    def test_a_503_always_says_when_to_come_again(self, upstream, pipeline):
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(answering(503, Retry_After="soon")).url))
        assert (503, 1) == (raised.value.status, raised.value.retry_after_seconds)

    def test_a_date_in_retry_after_becomes_seconds(self, upstream, pipeline):
        date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=100), usegmt=True)
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(answering(429, Retry_After=date)).url))
        assert 90 <= (raised.value.retry_after_seconds or 0) <= 100

    @pytest.mark.parametrize("status", [301, 302, 304, 307, 500, 501, 502, 504, 599])
    def test_every_other_status_is_a_502(self, upstream, pipeline, status):
        server = upstream(answering(status, Location="http://127.0.0.1:9/elsewhere"))
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(server.url))
        assert (502, status) == (raised.value.status, raised.value.upstream_status)
        assert len(server.requests) == 1

    def test_only_the_beginning_of_a_long_refusal_is_read(self, upstream, pipeline):
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(answering(400, b"x" * 1_000_000)).url))
        assert raised.value.upstream_body == "x" * 2048

    def test_a_refusal_that_is_cut_short_keeps_its_status(self, upstream, pipeline):
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(upstream(sending(b"HTTP/1.1 422 No\r\nContent-Length: 99\r\n\r\nshort")).url))
        assert raised.value.status == 422


class TestBrokenUpstreams:
    def test_a_refused_connection_is_a_502_that_says_so(self, pipeline):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port, nobody answers
            llm = pipeline(f"http://127.0.0.1:{taken.getsockname()[1]}/")
            with pytest.raises(UpstreamError, match="refused") as raised:
                generate(llm)
        assert (502, None) == (raised.value.status, raised.value.upstream_status)

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"not http at all\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nServer: some\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        ],
        ids=[
            "closed at once",
            "not http",
            "closed in a header",
            "closed between headers",
            "closed in the body",
            "closed between chunks",
            "closed in a chunk",
            "broken chunk",
            "unknown encoding",
            "broken gzip",
        ],
    )
    def test_an_answer_that_is_not_whole_is_a_502(self, upstream, pipeline, answer):
        server = upstream(sending(answer))
        with pytest.raises(UpstreamError) as raised:
            generate(pipeline(server.url))
        assert raised.value.status == 502
        assert len(server.requests) == 1

    def test_a_gzip_body_that_ends_early_is_a_502(self, upstream, pipeline):
        short = gzip.compress(b"hello" * 100)[:-9]
        with pytest.raises(UpstreamError, match="ends early"):
            generate(pipeline(upstream(answering(200, short, Content_Encoding="gzip")).url))

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            ("gzip", gzip.compress(b"hello")),
            ("gzip", gzip.compress(b"he") + gzip.compress(b"llo")),
            ("deflate", zlib.compress(b"hello")),
            ("deflate, GZip", gzip.compress(zlib.compress(b"hello"))),
            ("identity", b"hello"),
        ],
        ids=["gzip", "two members", "deflate", "both", "identity"],
    )
    def test_an_encoding_that_was_not_asked_for_is_undone(self, upstream, pipeline, encoding, body):
        assert generate(pipeline(upstream(answering(200, body, Content_Encoding=encoding)).url)).body == b"hello"

    @pytest.mark.parametrize("headers", [{}, {"Content_Encoding": "gzip"}], ids=["plain", "gzip"])
    def test_a_result_over_the_limit_is_a_502_and_one_at_the_limit_is_not(self, upstream, pipeline, headers):
        def as_large_as_asked(handler: Handler, seen: Seen) -> None:
            body = b"x" * int(seen.body)
            handler.answer(200, gzip.compress(body) if headers else body, **headers)

        llm = pipeline(upstream(as_large_as_asked).url, max_result_bytes=2**20)
        assert len(generate(llm, Request(body=b"%d" % 2**20)).body) == 2**20
        with pytest.raises(UpstreamError, match="larger than 1 MB") as raised:
            generate(llm, Request(body=b"%d" % (2**20 + 1)))
        assert raised.value.status == 502


class TestTimeLimit:
    @pytest.mark.parametrize(
        "behave",
        [
            lambda handler, _: handler.upstream.released.wait(),
            lambda handler, _: handler.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000),
            lambda handler, _: handler.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000),
            lambda handler, _: handler.trickle(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 4000
            ),
            lambda handler, _: handler.trickle(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 20_000),
        ],
        ids=["silence", "slow headers", "slow body", "slow chunks", "slow body without end"],
    )
    def test_an_exchange_past_its_limit_is_a_504(self, upstream, pipeline, skipping, behave):
        server = upstream(behave)
        llm = pipeline(server.url, on=skipping, timeout_seconds=LIMIT)
        late = skipping.submit(begin(llm))
        await_true(lambda: server.requests)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError, match="1000 seconds"):
            late.result(PATIENCE)

    def test_an_upstream_that_does_not_read_is_a_504(self, pipeline, skipping):
        """Nobody takes the body from the kernel's buffers, so sending it has to end by the limit."""
        with socket.create_server(("127.0.0.1", 0), backlog=1) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            llm = pipeline(url, on=skipping, timeout_seconds=LIMIT)
            late = skipping.submit(begin(llm, Request(body=b"x" * 30_000_000)))
            with listening.accept()[0] as connection:
                assert connection.recv(4) == b"POST"
                skipping.skip(LIMIT)
                with pytest.raises(GenerationTimeoutError):
                    late.result(PATIENCE)

    def test_the_limit_counts_from_the_beginning_of_each_exchange(self, upstream, pipeline, skipping):
        """The second exchange has the whole of its own time, not what the first one left."""
        go = threading.Semaphore(0)

        def when_told(handler: Handler, _: Seen) -> None:
            go.acquire(timeout=PATIENCE)
            handler.answer(200, b"hello")

        server = upstream(when_told)
        llm = pipeline(server.url, on=skipping, timeout_seconds=LIMIT)
        for number in (1, 2, 3):
            running = skipping.submit(begin(llm))
            await_true(lambda number=number: len(server.requests) == number)  # type: ignore[misc]
            skipping.skip(LIMIT * 0.9)
            go.release()
            assert running.result(PATIENCE).body == b"hello"

    def test_a_connection_that_was_late_is_not_used_again(self, upstream, pipeline, skipping):
        go = threading.Event()

        def late_once(handler: Handler, seen: Seen) -> None:
            if len(handler.upstream.requests) == 1:
                go.wait(PATIENCE)
                handler.answer(200, b"too late")
            else:
                handler.answer(200, b"in time")

        server = upstream(late_once)
        llm = pipeline(server.url, on=skipping, timeout_seconds=LIMIT)
        late = skipping.submit(begin(llm))
        await_true(lambda: server.requests)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError):
            late.result(PATIENCE)
        go.set()
        assert generate(llm).body == b"in time"


class TestConnections:
    def test_a_connection_is_kept_for_the_next_generation(self, upstream, pipeline):
        bodies = iter([b"", b"hello", b"x" * 200_000])
        server = upstream(lambda handler, _: handler.answer(200, next(bodies)))
        llm = pipeline(server.url)
        assert [0, 5, 200_000] == [len(generate(llm).body) for _ in range(3)]
        assert len(server.connections) == 1

    def test_a_connection_is_kept_after_a_refusal(self, upstream, pipeline):
        server = upstream(answering(400, b"no"))
        llm = pipeline(server.url)
        for _ in range(3):
            with pytest.raises(UpstreamError):
                generate(llm)
        assert len(server.connections) == 1

    def test_a_connection_that_the_upstream_closed_is_made_anew(self, upstream, pipeline):
        server = upstream(answering(200, b"hello", Connection="close"))
        llm = pipeline(server.url)
        assert [b"hello"] * 3 == [generate(llm).body for _ in range(3)]
        assert len(server.connections) == 3

    def test_as_many_exchanges_run_at_once_as_there_are_callers(self, upstream, pipeline):
        together = threading.Barrier(8)

        def echo(handler: Handler, seen: Seen) -> None:
            together.wait(PATIENCE)
            handler.answer(200, seen.body * 10_000)

        llm = pipeline(upstream(echo).url, max_concurrent=8)
        bodies = [b"%d" % number for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(lambda body: generate(llm, Request(body=body)).body, bodies))
        assert [body * 10_000 for body in bodies] == results

    def test_it_is_ready_from_start_to_close(self, loop):
        llm = loop.blocking(HttpPipeline(PipelineOptions(name="llm"), url="http://127.0.0.1:9/"))
        states = [llm.ready()]
        llm.start()
        states.append(llm.ready())
        llm.close(0.0)
        assert [False, True, False] == [*states, llm.ready()]


class TestTLS:
    def test_a_certificate_that_nobody_vouches_for_is_a_502(self, upstream, pipeline):
        server = upstream(say_hello, tls=True)
        with pytest.raises(UpstreamError, match="certificate verify failed") as raised:
            generate(pipeline(server.url))
        assert raised.value.status == 502
        assert server.requests == []

    def test_a_certificate_that_the_system_trusts_is_taken_and_the_connection_kept(
        self, upstream, pipeline, monkeypatch
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        server = upstream(lambda handler, seen: handler.answer(200, seen.body), tls=True)
        llm = pipeline(server.url)
        bodies = [b"", b"hello", b"x" * 3_000_000]
        assert bodies == [generate(llm, Request(body=body)).body for body in bodies]
        assert len(server.connections) == 1

    @pytest.mark.parametrize(
        "beginning", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"]
    )
    def test_an_exchange_past_its_limit_is_a_504(self, upstream, pipeline, skipping, monkeypatch, beginning):
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        server = upstream(lambda handler, _: handler.trickle(beginning + b"x" * 20_000), tls=True)
        llm = pipeline(server.url, on=skipping, timeout_seconds=LIMIT)
        late = skipping.submit(begin(llm))
        await_true(lambda: server.requests)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError):
            late.result(PATIENCE)

    def test_a_server_that_never_ends_the_handshake_is_a_504(self, pipeline):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            llm = pipeline(f"https://127.0.0.1:{listening.getsockname()[1]}/", timeout_seconds=0.3)
            with pytest.raises(GenerationTimeoutError):
                generate(llm)


def test_the_description_has_the_terms_and_neither_upstream_nor_secrets():
    options = PipelineOptions(name="llm", version="2", description="Words", key_headers=("accept-language",))
    described = HttpPipeline(options, url="http://inner.example/secret", headers={"x-api-key": "secret"}).describe()
    assert ("llm", "http", "2", "Words", ["accept-language"]) == tuple(
        described[name] for name in ("name", "kind", "version", "description", "key_headers")
    )
    assert "secret" not in repr(described)
    assert "inner.example" not in repr(described)
