"""An upstream that says what the test says, when the test says it: over a socket, on the test's event loop."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

from .asgi_client import LIMIT_SECONDS, LoopThread

CHUNKED = {"Transfer-Encoding": "chunked"}
EVENTS = {"Content-Type": "text/event-stream", **CHUNKED}


class Turn:
    """One request that came in, and its answer."""

    def __init__(self, loop: LoopThread, writer: asyncio.StreamWriter, head: bytes, body: bytes) -> None:
        self._loop = loop
        self._writer = writer
        self._chunked = False
        self.over = asyncio.Event()
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines if line]
        self.headers = {name.lower(): value for name, value in pairs}
        self.body = body

    def say(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._loop.run(self._write(data))

    def begin(self, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Send the status line and the headers."""
        headers = {"Content-Type": "text/plain", **CHUNKED} if headers is None else headers
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "")
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.say(f"HTTP/1.1 {status} So\r\n{lines}\r\n".encode())

    def part(self, data: bytes) -> None:
        """Send a part of the body."""
        self.say(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        """End the body well."""
        if self._chunked:
            self.say(b"0\r\n\r\n")
        self._loop.loop.call_soon_threadsafe(self.over.set)

    def cut(self) -> None:
        """Break off."""
        self._loop.loop.call_soon_threadsafe(self._writer.transport.abort)
        self._loop.loop.call_soon_threadsafe(self.over.set)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Answer as a whole."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.begin(status, {"Content-Length": str(len(body)), **named})
        if body:
            self.part(body)
        self.end()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class Scripted:
    """The upstream. `next()` is the next request, once it has come in whole."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop
        self._turns: queue.Queue[Turn] = queue.Queue()
        self._server: Any = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.count = 0

    def next(self) -> Turn:
        return self._turns.get(timeout=LIMIT_SECONDS)

    def none_waits(self) -> bool:
        """Whether no request has come in that the test has not taken."""
        return self._turns.empty()

    def close(self) -> None:
        self._loop.loop.call_soon_threadsafe(self._server.close)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                turn = Turn(self._loop, writer, head, b"")
                turn.body = await _body(reader, turn.headers)
                self.count += 1
                self._turns.put(turn)
                await turn.over.wait()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the other side has closed it, or the test is over
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    while headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readline(), 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            break
    return body
