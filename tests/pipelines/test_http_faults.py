"""Upstreams that break the protocol: nobody gets an answer that is not theirs, and nothing that is no answer is one."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recoup.errors import BadRequestError, UpstreamError
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.protocol import Request, Result

from .loops import LOOPS, PATIENCE, LoopThread, loop_thread
from .raw_upstream import Peer, RawUpstream, Script, raw_upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.fixture(scope="module", params=LOOPS)
def loop(request: Any) -> Iterator[LoopThread]:
    with loop_thread(LOOPS[request.param]) as thread:
        yield thread


@pytest.fixture
def connect(loop: LoopThread) -> Iterator[Callable[..., tuple[HttpPipeline, RawUpstream]]]:
    """A pipeline before an upstream that follows a script on each connection."""
    with ExitStack() as stack:

        def connect(script: Script, method: str = "POST") -> tuple[HttpPipeline, RawUpstream]:
            upstream = stack.enter_context(raw_upstream(script))
            options = PipelineOptions(name="llm", timeout_seconds=PATIENCE, key_headers=("authorization",))
            pipeline = loop.blocking(HttpPipeline(options, url=upstream.url, method=method))
            pipeline.start()  # type: ignore[unused-coroutine]
            stack.callback(pipeline.close, 0.0)
            return pipeline, upstream

        yield connect


def generate(pipeline: HttpPipeline, who: bytes = b"a", body: bytes = b"x") -> Result:
    return pipeline.generate(pipeline.prepare(Request(body, headers={"authorization": (who,)})))  # type: ignore[return-value]


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def echo_caller(peer: Peer, before: bytes = b"", after: bytes = b"", lines: bytes = b"") -> None:
    """Answer each request with its caller's name, and something around the answer."""
    while request := peer.request():
        who = request.partition(b"authorization: ")[2].partition(b"\r\n")[0]
        peer.send(before + b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (lines, len(who), who) + after)


class TestInterimAnswers:
    @pytest.mark.parametrize(
        "interim",
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Type: text/evil\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n" * 20,
        ],
        ids=["100", "102", "103", "103 with a length", "many"],
    )
    def test_they_are_skipped_and_every_caller_gets_the_own_answer(self, connect, interim):
        llm, upstream = connect(lambda peer: echo_caller(peer, before=interim))
        callers = [b"one", b"other", b"third"]
        results = [generate(llm, who) for who in callers]
        assert callers == [result.body for result in results]
        assert {"application/octet-stream"} == {result.content_type for result in results}
        assert upstream.connections == 1

    def test_an_interim_answer_alone_is_no_answer(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

        llm, _ = connect(script)
        with pytest.raises(UpstreamError, match=r"within the headers|without an answer"):
            generate(llm)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello",
            b"HTTP/1.1 102 Processing\r\n\r\n" * 200 + OK,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nbroken header\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n",
            b"HTTP/1.1 099 Odd\r\n\r\n" + OK,
        ],
        ids=["switched", "without end", "then a broken header", "then nonsense", "099"],
    )
    def test_what_is_no_interim_answer_is_a_502(self, connect, answer):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(answer)
            peer.request()  # nobody closes first but the client

        llm, _ = connect(script)
        with pytest.raises(UpstreamError) as raised:
            generate(llm)
        assert raised.value.status == 502


class TestSurplus:
    @pytest.mark.parametrize("framing", ["length", "chunked", "no content"])
    @pytest.mark.parametrize(
        "surplus",
        [
            OK,
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsecret",
            b"x",
            b"\r\n",
            b"\r\n\r\n",
            b"HTTP/1.1 103 A\r\n\r\n",
        ],
        ids=["an answer", "half an answer", "a byte", "a line", "two lines", "an interim answer"],
    )
    @pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
    def test_a_connection_with_something_left_is_not_used_again(self, connect, framing, surplus, apart):
        """Where it comes apart from the answer, it comes before another request does."""
        answers = {
            "length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d",
            "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n",
            "no content": b"HTTP/1.1 204 No Content\r\nX-Caller: %d\r\n\r\n",
        }

        def script(peer: Peer) -> None:
            peer.request()
            answer = answers[framing] % peer.number
            peer.send(answer if apart else answer + surplus)
            if apart:
                peer.send(surplus)
            asked.append(peer.rest())  # the client closes although nobody asks it for anything

        asked: list[bytes] = []
        llm, upstream = connect(script)
        bodies = []
        for number, who in enumerate((b"one", b"other", b"third"), 1):
            bodies.append(generate(llm, who).body)
            await_true(lambda number=number: len(asked) == number)  # type: ignore[misc]
        assert bodies == ([b""] * 3 if framing == "no content" else [b"0", b"1", b"2"])
        assert asked == [b""] * 3
        assert upstream.connections == 3

    def test_a_refusal_that_was_not_read_to_its_end_is_not_left_on_the_connection(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            if peer.number == 0:
                peer.send(b"HTTP/1.1 400 No\r\nContent-Length: 9000\r\n\r\n" + OK * 100 + b"x" * 9000)
            else:
                peer.answer(b"mine")

        llm, _ = connect(script)
        with pytest.raises(UpstreamError, match="answered 400"):
            generate(llm, b"one")
        assert generate(llm, b"other").body == b"mine"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.data())
    def test_however_answers_come_in_pieces_each_caller_gets_the_own(self, connect, data):
        """Any framing, any interim answers, any surplus, cut anywhere: never another's answer."""
        plans = data.draw(
            st.lists(
                st.tuples(
                    st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n"]),
                    st.sampled_from(["length", "chunked"]),
                    st.sampled_from([b"", b"", b"\r\n", OK, CHUNKED]),
                    st.lists(st.integers(1, 200), max_size=3),
                ),
                min_size=2,
                max_size=4,
            )
        )
        turns = iter(plans)

        def script(peer: Peer) -> None:
            while request := peer.request():
                who = request.partition(b"authorization: ")[2].partition(b"\r\n")[0]
                interim, framing, surplus, cuts = next(turns)
                if framing == "length":
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(who), who)
                else:
                    answer = CHUNKED.replace(b"5\r\nhello", b"%x\r\n%s" % (len(who), who))
                whole, start = interim + answer + surplus, 0
                # What comes after the last byte of an answer comes with it: later, it may follow the next request.
                for end in sorted(cut for cut in cuts if cut < len(interim + answer)):
                    peer.send(whole[start:end])
                    start = max(start, end)
                peer.send(whole[start:])
                if surplus:
                    assert peer.request() is None
                    return

        llm, _ = connect(script)
        for number in range(len(plans)):
            assert generate(llm, b"caller-%d" % number).body == b"caller-%d" % number


class TestBrokenAnswers:
    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
            b"HTTP/1.1 2x0 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: " + b"x" * 300_000 + b"\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000 + b"Content-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Le",
        ],
        ids=itertools.count(),
    )
    def test_it_is_a_502_whose_message_is_short(self, connect, answer):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(answer)

        llm, _ = connect(script)
        with pytest.raises(UpstreamError) as raised:
            generate(llm)
        assert (502, None) == (raised.value.status, raised.value.upstream_status)
        assert len(str(raised.value)) < 300

    def test_an_answer_without_a_length_ends_with_the_connection(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

        llm, upstream = connect(script)
        assert [b"all of it"] * 2 == [generate(llm).body for _ in range(2)]
        assert upstream.connections == 2

    def test_an_answer_of_single_byte_chunks_is_taken(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            peer.send(b"1\r\nx\r\n" * 100_000 + b"0\r\nTrailer: t\r\n\r\n")

        llm, _ = connect(script)
        assert generate(llm).body == b"x" * 100_000


class TestClosedConnections:
    @pytest.mark.parametrize("method", ["POST", "GET"])
    def test_what_the_upstream_cannot_have_seen_is_sent_again(self, connect, method):
        """It closes each connection as the second request on it comes, and reads nothing of it."""

        def script(peer: Peer) -> None:
            upstream.requests.append(peer.request() or b"")
            peer.answer(b"hello")
            peer.wait_for_more()

        llm, upstream = connect(script, method)
        assert [b"hello"] * 20 == [generate(llm).body for _ in range(20)]
        assert len(upstream.requests) == 20

    def test_what_it_acknowledged_and_did_not_read_is_sent_again(self, connect):
        """Its system takes the second request whole; its program closes the connection with that unread."""

        def script(peer: Peer) -> None:
            upstream.requests.append(peer.request() or b"")
            peer.answer(b"%d" % peer.number)
            peer.wait_for_more()
            await_true(lambda: not 0 < len(peer.sock.recv(1 << 16, socket.MSG_PEEK)) < 50_000)  # none: it closed

        llm, upstream = connect(script)
        assert [b"%d" % number for number in range(5)] == [generate(llm, body=b"x" * 50_000).body for _ in range(5)]
        assert len(upstream.requests) == 5

    def test_what_it_closed_before_is_made_anew(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            peer.answer(b"hello")

        llm, _ = connect(script)
        assert [b"hello"] * 20 == [generate(llm).body for _ in range(20)]

    @pytest.mark.parametrize(("method", "sent"), [("POST", 2), ("PATCH", 2), ("GET", 3), ("PUT", 3)])
    def test_what_it_may_have_seen_is_sent_again_only_where_that_is_the_same(self, connect, method, sent):
        """It reads the second request whole, and closes without an answer."""

        def script(peer: Peer) -> None:
            upstream.requests.append(peer.request() or b"")
            if peer.number == 0:
                peer.answer(b"first")
                upstream.requests.append(peer.request() or b"")
            else:
                peer.answer(b"again")

        llm, upstream = connect(script, method)
        assert generate(llm).body == b"first"
        if sent == 2:
            with pytest.raises(UpstreamError, match="without an answer"):
                generate(llm)
        else:
            assert generate(llm).body == b"again"
        assert len(upstream.requests) == sent

    def test_what_was_answered_in_part_is_not_sent_again(self, connect):
        def script(peer: Peer) -> None:
            peer.request()
            if peer.number == 0:
                peer.answer(b"first")
                peer.request()
                peer.send(b"HTTP/1.1 2")

        llm, upstream = connect(script, "GET")
        generate(llm)
        with pytest.raises(UpstreamError, match="within the headers"):
            generate(llm)
        assert upstream.connections == 1

    def test_an_answer_before_the_request_was_sent_is_taken_and_the_connection_is_not(self, connect):
        def script(peer: Peer) -> None:
            peer.wait_for_more()
            peer.answer(b"%d" % peer.number)
            peer.request()

        llm, _ = connect(script)
        assert [b"0", b"1"] == [generate(llm, body=b"x" * 20_000_000).body for _ in range(2)]


class TestWhatIsStored:
    @pytest.mark.parametrize(
        ("expected", "answer"),
        [
            (True, OK),
            (True, OK.replace(b"200", b"201")),
            (True, OK.replace(b"200", b"203")),
            (False, OK.replace(b"200", b"202")),
            (False, OK.replace(b"200", b"206")),
            (False, b"HTTP/1.1 204 No Content\r\n\r\n"),
            (False, b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"),
            (False, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ],
        ids=["200", "201", "203", "202", "206", "204", "205", "empty 200"],
    )
    def test_only_what_has_all_of_a_content_may_be(self, connect, expected, answer):
        def script(peer: Peer) -> None:
            while peer.request():
                peer.send(answer)

        llm, _ = connect(script)
        assert expected == generate(llm).storable


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 422, 429, 451])
    def test_a_4xx_is_its_callers_fault_and_keeps_how_to_prove_oneself(self, connect, status):
        def script(peer: Peer) -> None:
            while peer.request():
                peer.send(
                    b'HTTP/1.1 %d No\r\nWWW-Authenticate: Bearer realm="gr\xfcn"\r\nwww-authenticate: Basic\r\n'
                    b"Content-Length: 0\r\n\r\n" % status
                )

        llm, upstream = connect(script)
        for _ in range(2):
            with pytest.raises(UpstreamError) as raised:
                generate(llm)
            assert ("refused", status) == (raised.value.kind, raised.value.status)
            assert raised.value.www_authenticate == (b'Bearer realm="gr\xfcn"', b"Basic")
        assert upstream.connections == 1

    @pytest.mark.parametrize("status", [302, 500, 503])
    def test_all_else_is_the_upstreams(self, connect, status):
        def script(peer: Peer) -> None:
            peer.request()
            peer.send(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)

        llm, _ = connect(script)
        with pytest.raises(UpstreamError) as raised:
            generate(llm)
        assert raised.value.kind == "upstream"


class TestWhatIsSent:
    @pytest.mark.parametrize("value", ["José".encode(), "José".encode("latin-1"), b"\xff\x80", b"", b" a "])
    def test_header_values_go_on_as_the_bytes_that_they_are(self, connect, value):
        def script(peer: Peer) -> None:
            while request := peer.request():
                upstream.requests.append(request)
                peer.answer(b"x")

        llm, upstream = connect(script)
        request = Request(b"x", headers={"authorization": (value, b"other")})
        llm.generate(llm.prepare(request))
        assert b"\r\nauthorization: %s\r\nauthorization: other\r\n" % value in upstream.requests[0]

    @pytest.mark.parametrize("name", ["content-encoding", "content-length", "transfer-encoding", "connection", "host"])
    def test_what_belongs_to_the_framing_is_never_the_callers(self, connect, name):
        def script(peer: Peer) -> None:
            while request := peer.request():
                upstream.requests.append(request)
                peer.answer(b"x")

        llm, upstream = connect(script)
        llm.generate(llm.prepare(Request(b"body", headers={name: (b"7",)})))
        assert b": 7\r\n" not in upstream.requests[0]
        assert b"\r\ncontent-length: 4\r\n" in upstream.requests[0]

    @pytest.mark.parametrize("url", ["http://h.example/?model=m&key=", "http://h.example/?%6dodel=m&key"])
    def test_a_caller_cannot_give_a_member_of_the_urls_query(self, url):
        llm = HttpPipeline(PipelineOptions(name="llm"), url=url)
        for name in ("model", "key"):
            with pytest.raises(BadRequestError, match=f"'{name}' is set by the pipeline"):
                llm.prepare(Request(b"", query={name: ("other",)}))
        assert llm.prepare(Request(b"", query={"seed": ("1",)}))
