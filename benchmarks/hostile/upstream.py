"""An upstream of the attacker's: it answers as the request says, and otherwise with what tells its caller.

A request's text is its body, or without one the value of the only member of its query: a behaviour's name and, after a
space, anything. A right answer's body is the caller's `Authorization` and that text, so that whoever gets another's
answer can see it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote_plus

from benchmarks.hostile.client import Address
from benchmarks.hostile.payloads import empty_gzip_members

#: The right answer; and the path and query that were asked for, in its place.
PLAIN, TARGET = "plain", "target"
#: After an answer, how long until the upstream closes the connection, or says what nobody asked for.
IDLE_SECONDS = 0.03
_READ_SECONDS = 30.0
_SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\nanother's answer"


def _response(body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Script:
    """What is sent for one request, in turn: at once, and after a moment; and whether the connection is closed then."""

    now: bytes
    later: bytes = b""
    close: bool = False


def script(behaviour: str, right: bytes, rest: str) -> Script:
    """What a behaviour sends; `right` is the body of the right answer.

    Raises:
        KeyError: There is no such behaviour.
    """
    good = _response(right)
    if behaviour == "gzip":
        packed = empty_gzip_members(int(rest.split()[0]))
        return Script(_response(packed, b"Content-Encoding: gzip"))
    return {
        PLAIN: Script(good),
        TARGET: Script(good),
        "102": Script(b"HTTP/1.1 102 Processing\r\n\r\n" + good),
        "103": Script(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + good),
        "late-103": Script(b"HTTP/1.1 103 Early Hints\r\n\r\n", later=good),
        "surplus": Script(good + _SURPLUS),
        "unasked": Script(good, later=_SURPLUS),
        "100-broken": Script(b"HTTP/1.1 100 Continue\r\n\r\nHTT%P broken\r\n\r\n", close=True),
        "negative-length": Script(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + right, close=True),
        "idle-close": Script(good, close=True),
    }[behaviour]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    broken_off = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, asyncio.LimitOverrunError)
    with contextlib.closing(writer), contextlib.suppress(*broken_off):
        while True:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _READ_SECONDS)).decode("latin-1")
            lines = [line.partition(":") for line in head.split("\r\n")[1:]]
            fields = {name.lower(): value.strip() for name, _, value in lines}
            body = await asyncio.wait_for(reader.readexactly(int(fields.get("content-length", 0))), _READ_SECONDS)
            target = head.split(" ", 2)[1]
            text = body.decode("latin-1") or unquote_plus(target.partition("=")[2])
            behaviour, _, rest = text.partition(" ")
            right = target if behaviour == TARGET else f"{fields.get('authorization', 'nobody')} {text}"
            plan = script(behaviour, right.encode(), rest)
            writer.write(plan.now)
            await writer.drain()
            if plan.later or plan.close:
                await asyncio.sleep(IDLE_SECONDS)
                writer.write(plan.later)
            if plan.close:
                break


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[Address]:
    """The upstream on a free loopback port, until the block ends."""
    serving: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
