"""The run's own upstream: a generator that only waits, and a chat. It hardly uses the processor.

    python -m loadtest.upstream --port 9000 --count FILE

`POST` with `{"prompt": ..., "seconds": S}` is answered after S seconds, the same prompt always with the same bytes,
and no other one with them: what the `http` pipeline of `typical-remote` asks. Below `chat.PATH` it speaks `chat`.
`GET /count` says how many requests came in, this time and before: each is a byte of the file, so that an upstream that
was dead goes on counting. HTTP/1.1 over asyncio, no more of it than a keep-alive client needs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from pathlib import Path

from loadtest import chat

RESULT_BYTES = 2048
#: Not what a service would say of a result of which it does not know.
CONTENT_TYPE = "application/vnd.recoup.paced"


class Upstream:
    """The server.

    Args:
        counted: Has a byte for each request.
    """

    def __init__(self, counted: Path) -> None:
        self._counted = counted

    async def serve(self, port: int) -> None:
        """Answer on a loopback port until cancelled."""
        async with await asyncio.start_server(self._connection, "127.0.0.1", port) as server:
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                _, _, length = head.partition("content-length:")
                body = await reader.readexactly(int(length.split("\r\n")[0])) if length else b""
                await _send(writer, self._answer(head.split()[1], body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, which is how each connection ends
        finally:
            writer.close()

    def _answer(self, path: str, body: bytes) -> chat.Answer:
        if path == "/count":
            return chat.Answer(200, "text/plain", (b"%d" % self._counted.stat().st_size,))
        with self._counted.open("ab") as counted:
            counted.write(b".")
        if path == chat.PATH:
            return chat.answer(body)
        return chat.Answer(200, CONTENT_TYPE, (result(body),), json.loads(body)["seconds"])


def result(body: bytes) -> bytes:
    """What a request is answered: the same for the same JSON value, something else for any other."""
    seed = hashlib.sha256(json.dumps(json.loads(body), sort_keys=True).encode()).hexdigest().encode()
    return (seed * (RESULT_BYTES // len(seed) + 1))[:RESULT_BYTES]


async def _send(writer: asyncio.StreamWriter, answer: chat.Answer) -> None:
    """Send an answer in its pieces; a stream of events as chunks, all else with its length."""
    streamed = answer.content_type == chat.EVENTS
    framing = "Transfer-Encoding: chunked" if streamed else f"Content-Length: {len(answer.body)}"
    retry = f"Retry-After: {chat.RETRY_SECONDS}\r\n" if answer.status == 429 else ""
    head = f"HTTP/1.1 {answer.status} Said\r\nContent-Type: {answer.content_type}\r\n{retry}{framing}\r\n\r\n".encode()
    for piece in answer.pieces:
        await asyncio.sleep(answer.pause_seconds)
        writer.write(head + (b"%x\r\n%b\r\n" % (len(piece), piece) if streamed else piece))
        await writer.drain()
        head = b""
    if streamed:
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=Path, required=True, help="the file that has a byte for each request")
    given = parser.parse_args()
    given.count.touch()
    asyncio.run(Upstream(given.count).serve(given.port))


if __name__ == "__main__":
    main()
