"""What an exchange with an upstream costs: the own client of the `http` pipeline, beside aiohttp and httpx.

    python -m benchmarks.upstream_clients [seconds]

The upstream is a process of its own: it answers 2 KB, or streams eight chunks of 256 bytes with pauses of 50 ms. The
clients run one after the other on uvloop, in turns, so that what else the machine does meets each of them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx
import uvloop

from recoup.pipelines.exchange import Upstream
from recoup.pipelines.upstream_url import parse_upstream_url

BODY = b"x" * 2048
STREAMS, CHUNKS, PAUSE_SECONDS, CONNECTIONS = 200, 8, 0.05, 16
#: Sends a request and gives the chunks of its answer.
Ask = Callable[[str], AsyncIterator[bytes]]


async def _serve(port: Any) -> None:
    class Server(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport, self.request = transport, b""

        def data_received(self, data: bytes) -> None:
            self.request += data
            if not self.request.endswith(b"hello"):
                return
            streams, self.request = b"/stream" in self.request, b""
            if not streams:
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
                return
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.chunk(CHUNKS)

        def chunk(self, left: int) -> None:
            if not left:
                self.transport.write(b"0\r\n\r\n")
                return
            self.transport.write(b"100\r\n%s\r\n" % BODY[:256])
            asyncio.get_running_loop().call_later(PAUSE_SECONDS, self.chunk, left - 1)

    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    port.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run_server(port: Any) -> None:
    uvloop.run(_serve(port))


async def _own(stack: AsyncExitStack, url: str) -> Ask:
    clients = {path: Upstream(parse_upstream_url(url + path), connections=STREAMS) for path in ("/", "/stream")}
    for client in clients.values():
        stack.callback(client.close)

    async def ask(path: str) -> AsyncIterator[bytes]:
        async with clients[path].exchange("POST", "", [(b"content-type", b"text/plain")], b"hello") as answer:
            async for chunk in answer.chunks:
                yield chunk

    return ask


async def _aiohttp(stack: AsyncExitStack, url: str) -> Ask:
    session = await stack.enter_async_context(
        aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=STREAMS))
    )

    async def ask(path: str) -> AsyncIterator[bytes]:
        async with session.post(url + path, data=b"hello", headers={"content-type": "text/plain"}) as answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    return ask


async def _httpx(stack: AsyncExitStack, url: str) -> Ask:
    limits = httpx.Limits(max_connections=STREAMS, max_keepalive_connections=STREAMS)
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=60, trust_env=False))

    async def ask(path: str) -> AsyncIterator[bytes]:
        headers = {"content-type": "text/plain"}
        async with client.stream("POST", url + path, content=b"hello", headers=headers) as answer:
            async for chunk in answer.aiter_raw():
                yield chunk

    return ask


CLIENTS: dict[str, Callable[[AsyncExitStack, str], Awaitable[Ask]]] = {
    "own (llhttp)": _own,
    "aiohttp": _aiohttp,
    "httpx": _httpx,
}


async def _short(ask: Ask, seconds: float) -> tuple[float, float]:
    """Requests a second, and processor microseconds of one."""
    done, end, cpu = 0, time.perf_counter() + seconds, time.process_time()

    async def one_after_the_other() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert sum([len(chunk) async for chunk in ask("/")]) == len(BODY)
            done += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(CONNECTIONS)))
    return done / seconds, (time.process_time() - cpu) / done * 1e6


async def _streams(ask: Ask) -> tuple[float, float]:
    """Milliseconds to the first byte (median of all streams), and processor microseconds of one chunk."""
    firsts: list[float] = []

    async def one() -> None:
        began, first = time.perf_counter(), None
        async for _ in ask("/stream"):
            first = first or time.perf_counter()
        assert first is not None
        firsts.append((first - began) * 1e3)

    cpu = time.process_time()
    await asyncio.gather(*(one() for _ in range(STREAMS)))
    return statistics.median(firsts), (time.process_time() - cpu) / STREAMS / CHUNKS * 1e6


async def _measure(url: str, seconds: float) -> None:
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in CLIENTS}
    for _ in range(3):
        for name, make in CLIENTS.items():
            async with AsyncExitStack() as stack:
                ask = await make(stack, url)
                await _short(ask, 0.2)
                results[name].append((*await _short(ask, seconds), *await _streams(ask)))
    print(f"{'client':14} {'requests/s':>11} {'CPU us each':>12} {'first byte ms':>14} {'CPU us a chunk':>15}")
    for name, rows in results.items():
        rate, cost, first, chunk = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:14} {rate:11.0f} {cost:12.0f} {first:14.1f} {chunk:15.0f}")


def main() -> None:
    """Measure, and print a table of medians."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_run_server, args=(theirs,), daemon=True)
    server.start()
    try:
        uvloop.run(_measure(f"http://127.0.0.1:{ours.recv()}", float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
