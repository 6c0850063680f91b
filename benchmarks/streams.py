"""Streams: how late a part is that is passed on, how fast a stored one is replayed, what an open one costs.

The upstream is a process of its own, and puts into each event when it was sent; the clock is the machine's, so its
readers know how late it is. Side by side with it: the same readers, straight at the upstream.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httptools
import uvloop

from benchmarks import servers
from benchmarks.table import Row

#: Streams at one time, events of each, and seconds between two.
_STREAMS, _EVENTS, _PAUSE_SECONDS = 200, 40, 0.05
#: Events of the stream that is replayed, and bytes of each.
_REPLAYED, _EVENT_BYTES = 2000, 200
_REPLAYS = 40
_OPEN = 1000
#: What is asked for: seconds, seconds, bytes.
_LATE, _REPLAY, _COST = 0.050, 0.005, 100_000
_LIMIT_SECONDS = 120.0


class _Upstream(asyncio.Protocol):
    """Answers `/paced/N` with N events at a pace, `/all/N` with N events at once, `/open` with ten and then nothing."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.request = transport, b""

    def data_received(self, data: bytes) -> None:
        self.request += data
        if not self.request.endswith(b"}"):
            return
        target = self.request.split(b" ", 2)[1].decode()
        self.request = b""
        kind, _, count = target.strip("/").partition("/")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head)
        if kind == "paced":
            self.pace(int(count))
            return
        for _ in range(int(count) if kind == "all" else 10):
            self.event()
        if kind == "all":
            self.transport.write(b"0\r\n\r\n")

    def pace(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if not left:
            self.transport.write(b"0\r\n\r\n")
            return
        self.event()
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self.pace, left - 1)

    def event(self) -> None:
        data = b"data: %d " % time.monotonic_ns()
        data = data.ljust(_EVENT_BYTES - 2, b".") + b"\n\n"
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


async def _serve(port: Any) -> None:
    server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", 0, backlog=2048)
    port.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _serve_in_process(port: Any) -> None:
    uvloop.run(_serve(port))


@contextmanager
def _upstream() -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve_in_process, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


class _Reader(asyncio.Protocol):
    """Asks for one stream, and notes how late each event is."""

    def __init__(self, path: str, body: bytes, events: int) -> None:
        self._path, self._body, self._events = path, body, events
        self.late: list[float] = []
        self._rest = b""
        self._parser: Any = httptools.HttpResponseParser(self)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        head = f"POST {self._path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        transport.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(self._body) + self._body)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        now = time.monotonic_ns()
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        self.late += [(now - int(event[6:].split(b" ", 1)[0])) / 1e9 for event in whole]
        if len(self.late) >= self._events and not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(error or ConnectionError("a stream broke off"))


async def _read(port: int, path: str, events: int, numbers: range) -> list[_Reader]:
    loop = asyncio.get_running_loop()

    async def begin(number: int) -> _Reader:
        body = b'{"number": %d}' % number
        _, reader = await loop.create_connection(lambda: _Reader(path, body, events), "127.0.0.1", port)
        return reader

    readers = await asyncio.gather(*map(begin, numbers))
    await asyncio.wait_for(asyncio.gather(*(reader.over for reader in readers)), _LIMIT_SECONDS)
    return readers


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def _lateness(port: int, first: int) -> tuple[float, float]:
    """How late the first events of all streams are, and all events: the 99th percentiles."""
    readers = uvloop.run(_read(port, f"/paced/{_EVENTS}", _EVENTS, range(first, first + _STREAMS)))
    return _p99([reader.late[0] for reader in readers]), _p99([late for reader in readers for late in reader.late])


class _Replay(asyncio.Protocol):
    """Asks for a stream that is stored, again and again, and notes how long each takes until its last byte."""

    def __init__(self, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n".encode()
        self._request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        self.seconds: list[float] = []
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._started = time.perf_counter()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.seconds.append(time.perf_counter() - self._started)
        if len(self.seconds) < _REPLAYS:
            asyncio.get_running_loop().call_later(0.02, self.ask)
        else:
            self.over.set_result(None)


async def _replay(port: int) -> list[float]:
    """Seconds that a stored stream takes, from its request to its last byte."""
    path = f"/all/{_REPLAYED}"
    await _read(port, path, _REPLAYED, range(1))
    await asyncio.sleep(0.5)  # it is stored behind its last byte
    loop = asyncio.get_running_loop()
    _, replay = await loop.create_connection(lambda: _Replay(path, b'{"number": 0}'), "127.0.0.1", port)
    await asyncio.wait_for(replay.over, _LIMIT_SECONDS)
    return replay.seconds


def _open_cost(service: servers.Server, port: int) -> tuple[float, int]:
    """Bytes that one open stream costs, and how many threads more there are."""

    def threads() -> int:
        return len(list(Path(f"/proc/{service.serving_pid()}/task").iterdir()))

    async def hold() -> tuple[int, int]:
        await _read(port, "/open", 10, range(10**6, 10**6 + _OPEN))
        await asyncio.sleep(1)
        return service.resident_bytes(), threads()

    before, threads_before = service.resident_bytes(), threads()
    after, threads_after = uvloop.run(hold())
    return (after - before) / _OPEN, threads_after - threads_before


def _before(upstream: int) -> dict[str, str]:
    return {"RECOUP_PIPELINES": "", "RECOUP_UPSTREAM": f"http://127.0.0.1:{upstream}"}


def streams() -> list[Row]:
    """The three of them."""
    with _upstream() as upstream, servers.recoup(**_before(upstream)) as service:
        port = int(service.url.rpartition(":")[2])
        _lateness(port, 10**7)  # connections are there from now on
        rounds = [(_lateness(port, number * _STREAMS), _lateness(upstream, 0)) for number in range(3)]
        first, every = (min(ours[which] for ours, _ in rounds) for which in (0, 1))
        theirs = min(direct[0] for _, direct in rounds)
        replays = uvloop.run(_replay(port))
        replay = statistics.median(replays)
        cost, threads = _open_cost(service, port)
    what = f"{_STREAMS} streams at once: the first part after the upstream's, p99"
    return [
        Row(what, "50 ms", f"{first * 1e3:.1f} ms", first / _LATE, at_most=1.0),
        Row(what, "straight at the upstream", f"{theirs * 1e3:.1f} ms"),
        Row("every part of them, p99", "50 ms", f"{every * 1e3:.1f} ms", every / _LATE, at_most=1.0),
        Row(
            f"replay of {_REPLAYED} events of {_EVENT_BYTES} bytes, median",
            "5 ms",
            f"{replay * 1e3:.2f} ms (least {min(replays) * 1e3:.2f} ms)",
            replay / _REPLAY,
            at_most=1.0,
        ),
        Row(f"{_OPEN} open streams: memory of one", "100 KB", f"{cost / 1e3:.1f} KB", cost / _COST, at_most=1.0),
        Row(f"{_OPEN} open streams: further threads", "none", str(threads), float(threads), at_most=0.0),
    ]
