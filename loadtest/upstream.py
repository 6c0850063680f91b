"""A generator that only waits: what the `http` pipeline of `typical-remote` asks. It hardly uses the processor.

    python -m loadtest.upstream --port 9000

`POST` with `{"prompt": ..., "seconds": S}` is answered after S seconds, the same prompt always with the same bytes,
and no other one with them.
`GET /count` says how many such requests came in. HTTP/1.1 over asyncio, no more of it than a keep-alive client needs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json

RESULT_BYTES = 2048
#: Not what a service would say of a result of which it does not know.
CONTENT_TYPE = "application/vnd.recoup.paced"


class Upstream:
    """The server, and its count of requests."""

    def __init__(self) -> None:
        self.count = 0

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
                writer.write(_response(await self._answer(body)))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left, which is how each connection ends
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        if not body:
            return str(self.count).encode()
        self.count += 1
        await asyncio.sleep(json.loads(body)["seconds"])
        return result(body)


def result(body: bytes) -> bytes:
    """What a request is answered: the same for the same JSON value, something else for any other."""
    seed = hashlib.sha256(json.dumps(json.loads(body), sort_keys=True).encode()).hexdigest().encode()
    return (seed * (RESULT_BYTES // len(seed) + 1))[:RESULT_BYTES]


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        CONTENT_TYPE.encode(),
        len(body),
        body,
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(Upstream().serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
