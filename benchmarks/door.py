"""Hits while thousands of others wait, send slowly or read slowly; and what each of those costs in memory."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.load import Load, load
from benchmarks.table import Row

_BODY = "one and the same request"
_CONNECTIONS = (16, 256)
_SECONDS = 3
_ROUNDS = 3
#: Bytes of a result that slow readers ask for.
_LARGE = 5 * 2**20
_SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Peers that take their time: how many, what each sends, and what it does each second."""

    what: str
    count: int
    request: bytes
    act: Callable[[socket.socket], object] | None
    most_bytes: int | None


def _head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def _send_a_byte(peer: socket.socket) -> None:
    peer.send(b"x")


def _read_a_kilobyte(peer: socket.socket) -> None:
    peer.setblocking(False)
    try:
        peer.recv(1024)
    except BlockingIOError:
        return  # nothing has come since


_CROWDS = (
    _Crowd("1,000 callers waiting", 1000, _head("/api/generate/slow", 2) + b"60", None, 50_000),
    _Crowd("5,000 callers waiting", 5000, _head("/api/generate/slow", 2) + b"60", None, 50_000),
    _Crowd("2,000 senders of a byte a second", 2000, _head("/api/generate/bench", 100_000), _send_a_byte, 50_000),
    _Crowd("5,000 senders of a byte a second", 5000, _head("/api/generate/bench", 100_000), _send_a_byte, 50_000),
    _Crowd(
        "500 readers of 5 MB at 1 KB a second",
        500,
        _head("/api/generate/large", len(str(_LARGE))) + str(_LARGE).encode(),
        _read_a_kilobyte,
        500_000,
    ),
)


def slow_peers() -> list[Row]:
    """Hits a second and their 99th percentile beside each crowd, in turn with the same service idle."""
    rows: list[Row] = []
    for crowd in _CROWDS:
        with servers.recoup(CACHE_MAX_MEMORY_MB="64") as service:
            servers.post(f"{service.url}/api/generate/bench", _BODY.encode())
            servers.post(f"{service.url}/api/generate/large", str(_LARGE).encode())
            rows += _beside(crowd, service)
    return rows


def _beside(crowd: _Crowd, service: servers.Server) -> Iterator[Row]:
    idle = {connections: _hits(service.url, connections) for connections in _CONNECTIONS}
    before = service.resident_bytes()
    with _crowding(crowd, service.url):
        grown = (service.resident_bytes() - before) / crowd.count
        crowded = {connections: _hits(service.url, connections) for connections in _CONNECTIONS}
    for connections in _CONNECTIONS:
        quiet, loud = _rate(idle[connections]), _rate(crowded[connections])
        figure = f"{loud:.0f}/s, p99 {_p99(crowded[connections]) * 1e3:.1f} ms; idle {quiet:.0f}/s, "
        figure += f"p99 {_p99(idle[connections]) * 1e3:.1f} ms"
        what = f"HTTP hits over {connections} connections, {crowd.what}"
        yield Row(what, "the same service, idle", figure, loud / quiet, at_least=0.8)
    yield Row(
        f"memory of one of {crowd.what}",
        f"{(crowd.most_bytes or 0) / 1e3:.0f} KB",
        f"{grown / 1e3:.1f} KB",
        grown / (crowd.most_bytes or 1),
        at_most=1.0,
    )


def _hits(url: str, connections: int) -> list[Load]:
    target = f"{url}/api/generate/bench"
    return [load(target, _BODY, connections=connections, seconds=_SECONDS) for _ in range(_ROUNDS)]


def _rate(loads: list[Load]) -> float:
    return statistics.median(it.rate for it in loads)


def _p99(loads: list[Load]) -> float:
    return statistics.median(it.p99 for it in loads)


@contextmanager
def _crowding(crowd: _Crowd, url: str) -> Iterator[None]:
    """The crowd is there while the block runs."""
    place = ("127.0.0.1", int(url.rpartition(":")[2]))
    with ExitStack() as stack:
        peers = [stack.enter_context(_peer(place, crowd)) for _ in range(crowd.count)]
        over = threading.Event()
        thread = threading.Thread(target=_act, args=(crowd, peers, over))
        thread.start()
        try:
            time.sleep(2.0)  # for the service to have seen all of them
            yield
        finally:
            over.set()
            thread.join()


def _peer(place: tuple[str, int], crowd: _Crowd) -> socket.socket:
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    peer.settimeout(_SETTLE_SECONDS)
    peer.connect(place)
    peer.sendall(crowd.request)
    return peer


def _act(crowd: _Crowd, peers: list[socket.socket], over: threading.Event) -> None:
    if crowd.act is None:
        return
    while not over.wait(1.0):
        for peer in peers:
            crowd.act(peer)
