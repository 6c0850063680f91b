"""The client reads whatever a server may answer, and says so where there is no answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from benchmarks.hostile.client import CLOSED, NO_ANSWER, REFUSED, Address, Answer, ask, request, statuses
from benchmarks.servers import free_port


@contextlib.asynccontextmanager
async def server(answer: bytes, *, read_first: bool = True, hold: bool = False) -> AsyncIterator[Address]:
    """A server that sends the same bytes to everybody, and closes unless it shall `hold`."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if read_first:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hold:
            await ended.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[:2]
    finally:
        ended.set()
        listener.close()


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


async def _asked(answer: bytes, *, seconds: float = 30.0, hold: bool = False) -> Answer:
    async with server(answer, hold=hold) as address:
        return await ask(address, request("POST", "/", b"body"), seconds=seconds)


WHOLE = {
    "of a known length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "in chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_an_answer_is_read_in_whole(answer: bytes) -> None:
    got = run(_asked(answer))
    assert ("200", b"hello", True) == (got.status, got.body, got.whole)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
    ids=["of a known length", "in chunks"],
)
def test_a_body_that_breaks_off_is_not_whole(answer: bytes) -> None:
    got = run(_asked(answer))
    assert ("200", False) == (got.status, got.whole)


def test_a_connection_that_is_closed_without_an_answer_says_so() -> None:
    assert CLOSED == run(_asked(b"")).status


def test_an_answer_that_does_not_come_says_so() -> None:
    assert NO_ANSWER == run(_asked(b"HTTP/1.1 200", seconds=0.1, hold=True)).status


def test_a_port_where_nobody_listens_says_so() -> None:
    assert REFUSED == run(ask(("127.0.0.1", free_port()), b"x")).status


def test_an_answer_is_read_while_the_request_is_still_sent() -> None:
    """The server reads nothing, so that a body of this size is never sent in whole."""

    async def refused_early() -> Answer:
        answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
        async with server(answer, read_first=False, hold=True) as address:
            return await ask(address, request("POST", "/", bytes(50_000_000)))

    assert "413" == run(refused_early()).status


def test_all_values_of_a_header_count() -> None:
    answer = Answer("200", (("via", "a"), ("age", "1"), ("via", "b")))
    assert ("a, b", None) == (answer.header("Via"), answer.header("etag"))


def test_a_request_says_its_host_and_length_unless_it_shall_not() -> None:
    assert b"POST /p HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\nhi" == request("POST", "/p", b"hi")
    assert b"GET / HTTP/1.1\r\n\r\n" == request("GET", "/", host=None)


def test_header_values_go_out_as_the_bytes_that_they_are() -> None:
    data = request("GET", "/", headers=[("X-One", "é"), ("X-Two", b"\xe9")])
    assert b"X-One: \xc3\xa9\r\nX-Two: \xe9\r\n\r\n" in data


def test_statuses_are_counted() -> None:
    assert "2 x 200, 1 x closed" == statuses([Answer("200"), Answer(CLOSED), Answer("200")])
