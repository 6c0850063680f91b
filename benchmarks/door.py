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
_QUICK_SECONDS = 0.05


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
    idle = {connections: _hits(service, connections) for connections in _CONNECTIONS}
    before = service.resident_bytes()
    with _crowding(crowd, service.url):
        grown = (service.resident_bytes() - before) / crowd.count
        crowded = {connections: _hits(service, connections) for connections in _CONNECTIONS}
    for connections in _CONNECTIONS:
        quiet, loud = idle[connections], crowded[connections]
        figure = (
            f"{loud.rate:.0f}/s, p99 {loud.p99 * 1e3:.1f} ms; idle {quiet.rate:.0f}/s, p99 {quiet.p99 * 1e3:.1f} ms"
        )
        what = f"HTTP hits over {connections} connections, {crowd.what}"
        yield Row(what, "the same service, idle", figure, loud.rate / quiet.rate, at_least=0.8)
        # The rate tells of the machine's other users, too; processor time does less.
        figure = f"{loud.cpu * 1e6:.1f} us; idle {quiet.cpu * 1e6:.1f} us"
        yield Row(f"processor time of one, {what}", "the same service, idle", figure, loud.cpu / quiet.cpu)
    yield Row(
        f"memory of one of {crowd.what}",
        f"{(crowd.most_bytes or 0) / 1e3:.0f} KB",
        f"{grown / 1e3:.1f} KB",
        grown / (crowd.most_bytes or 1),
        at_most=1.0,
    )


@dataclass(frozen=True, slots=True)
class _Hits:
    """Medians of some rounds: hits a second, their 99th percentile, and the service's processor time for one."""

    rate: float
    p99: float
    cpu: float


def _hits(service: servers.Server, connections: int) -> _Hits:
    target = f"{service.url}/api/generate/bench"
    loads: list[Load] = []
    costs: list[float] = []
    for _ in range(_ROUNDS):
        before = service.cpu_seconds()
        loads.append(load(target, _BODY, connections=connections, seconds=_SECONDS))
        costs.append((service.cpu_seconds() - before) / loads[-1].requests)
    return _Hits(
        statistics.median(it.rate for it in loads),
        statistics.median(it.p99 for it in loads),
        statistics.median(costs),
    )


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
            _settle(url)
            yield
        finally:
            over.set()
            thread.join()


def _settle(url: str) -> None:
    """Wait until the service has seen all of the crowd: until hits are quick again."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    quick = 0
    while quick < 5 and time.monotonic() < deadline:
        started = time.perf_counter()
        servers.post(f"{url}/api/generate/bench", _BODY.encode())
        quick = quick + 1 if time.perf_counter() - started < _QUICK_SECONDS else 0
        time.sleep(0.2)


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
