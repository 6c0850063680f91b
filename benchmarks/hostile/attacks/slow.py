"""Senders and readers who take their time, and a reader of the log who has stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time

from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import CLOSED, NO_ANSWER, Address, Answer, Connection, ask_all, request, statuses
from benchmarks.hostile.target import Target

#: The service's time limit for a body in these attacks; a refusal may come a moment after it.
_BODY_SECONDS, _LATE_SECONDS = 10, 5
_BODY_LIMIT = {"RECOUP_BODY_TIMEOUT_SECONDS": str(_BODY_SECONDS)}
#: A reader who takes nothing for so long is let go.
_READER_SECONDS = 30
#: What a reader may cost the service: a few pieces of a result that is stored once.
_READER_MB = 1.0
_UNREAD_PATH = "/api/generate/large"
_RESULT_SIZE = 5_000_000
_AT_A_TIME = 250


async def connected(address: Address, count: int, receive_bytes: int | None = None) -> list[Connection]:
    """So many connections, or as many as are accepted: some hundred at a time, as the listener's queue is short."""
    connections: list[Connection] = []
    for first in range(0, count, _AT_A_TIME):
        wanted = range(min(_AT_A_TIME, count - first))
        opening = (asyncio.wait_for(Connection.open(address, receive_bytes=receive_bytes), 5) for _ in wanted)
        opened = await asyncio.gather(*opening, return_exceptions=True)
        connections += [connection for connection in opened if isinstance(connection, Connection)]
    return connections


async def _read(connection: Connection, seconds: float) -> Answer:
    try:
        return await asyncio.wait_for(connection.answer(), seconds)
    except (asyncio.TimeoutError, TimeoutError):
        return Answer(NO_ANSWER)
    except OSError:
        return Answer(CLOSED)


async def _hold_back(connection: Connection, head: bytes, body: memoryview, seconds: float) -> Answer:
    """Send all but the last byte, and wait for what the service makes of that."""
    sending = asyncio.ensure_future(_send(connection, head, body))
    try:
        return await _read(connection, seconds)
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending


async def _send(connection: Connection, head: bytes, body: memoryview) -> None:
    await connection.send(head)
    await connection.send(body)


async def _held_uploads(target: Target, bounds: Bounds) -> list[Check]:
    connections = await connected(target.address, bounds.count)
    head = request("POST", "/api/generate/digest", headers=[("Content-Length", str(bounds.size))])
    body = memoryview(bytes(bounds.size - 1))
    try:
        answers = await asyncio.gather(
            *(_hold_back(connection, head, body, bounds.hold_seconds) for connection in connections)
        )
    finally:
        for connection in connections:
            connection.close()
    held = len(answers) == bounds.count and all(answer.status in {"408", "413", "503"} for answer in answers)
    return [Check(f"all of them are refused within {bounds.hold_seconds:.0f} s", held, statuses(answers))]


async def _unread_hits(target: Target, bounds: Bounds) -> list[Check]:
    service = target.service
    await service.post("large", b"%d" % bounds.size)
    files, held = service.descriptors(), service.memory_bytes()
    connections = await connected(target.address, bounds.count, receive_bytes=4096)
    try:
        data = request("POST", _UNREAD_PATH, b"%d" % bounds.size)
        sent = sum(connection.send_now(data) for connection in connections)
        most, began = held, time.monotonic()
        while time.monotonic() - began < bounds.hold_seconds:
            await asyncio.sleep(1)
            most = max(most, service.memory_bytes())
        left = max(0, service.descriptors() - files)
    finally:
        for connection in connections:
            connection.close()
    megabytes = (most - held) / 1e6 / max(1, sent)
    checks = [
        Check("all of them are let in or refused", sent == bounds.count, f"{sent} asked"),
        Check(f"each costs at most {_READER_MB} MB", megabytes <= _READER_MB, f"{megabytes:.2f} MB each"),
    ]
    if bounds.hold_seconds >= _READER_SECONDS:
        # The probe has a few connections of its own.
        figure = f"{left} open after {bounds.hold_seconds:.0f} s"
        checks.append(Check(f"who takes nothing for {_READER_SECONDS} s is let go", left < 20, figure))
    return checks


async def _slow_senders(target: Target, bounds: Bounds) -> list[Check]:
    """As many send their head so slowly as the size says, the others their body."""
    connections = await connected(target.address, bounds.count)
    head = request("POST", "/api/generate/digest", headers=[("Content-Length", "1000")])
    until = time.monotonic() + bounds.hold_seconds
    going, sent = dict(enumerate(connections)), 0
    try:
        for number, connection in going.items():
            if number >= bounds.size:
                connection.send_now(head)
        while time.monotonic() < until:
            for number, connection in list(going.items()):
                if not connection.send_now(b"x" if number >= bounds.size else head[sent : sent + 1]):
                    del going[number]
            sent += 1
            await asyncio.sleep(1)
        bodies = connections[bounds.size :]
        answers = await asyncio.gather(*(_read(connection, 2) for connection in bodies))
    finally:
        for connection in connections:
            connection.close()
    late = f"within {_BODY_SECONDS} + {_LATE_SECONDS} s"
    held = all(answer.status in {"408", "503", CLOSED} for answer in answers)
    return [
        Check("all of them are let in", len(connections) == bounds.count, f"{len(connections)} of {bounds.count}"),
        Check(f"a body of one byte a second is refused {late}", held, statuses(answers)),
    ]


async def _stalled_log(target: Target, bounds: Bounds) -> list[Check]:
    """Every miss and every refusal writes a line; the pipe takes 64 KB."""
    answers: list[Answer] = []
    for first in range(0, bounds.count, 20):
        numbers = range(first, min(first + 20, bounds.count))
        data = [request("POST", f"/api/generate/digest?n={n}", b"x", [("X-Request-Id", "i" * 60)]) for n in numbers]
        answers += await ask_all(target.address, data, seconds=5)
        if any(answer.status == NO_ANSWER for answer in answers):
            break
    alive = await target.service.get("/healthz", seconds=5)
    good = sum(answer.status == "200" for answer in answers)
    return [
        Check("every miss is answered", good == bounds.count, f"{good} of {bounds.count}: {statuses(answers)}"),
        Check("/healthz is answered", alive.status == "200", alive.status),
    ]


ATTACKS = (
    Attack(
        "held-uploads",
        "92 uploads of 31 MB held back by their last byte",
        Bounds(92, seconds=90, size=31_000_000, hold_seconds=30),
        Bounds(20, seconds=60, size=2_000_000, hold_seconds=15),
        _held_uploads,
        Limits(hit_p99_seconds=0.5),
        environment=_BODY_LIMIT,
    ),
    Attack(
        "unread-hits",
        "1,500 clients who do not read a hit of 5 MB",
        Bounds(1500, seconds=150, size=_RESULT_SIZE, hold_seconds=50),
        Bounds(60, seconds=90, size=_RESULT_SIZE, hold_seconds=10),
        _unread_hits,
        Limits(stored=1),
    ),
    Attack(
        "slow-senders-512",
        "512 senders of one byte a second, each of its body",
        Bounds(512, seconds=120, hold_seconds=_BODY_SECONDS + _LATE_SECONDS),
        Bounds(512, seconds=60, hold_seconds=_BODY_SECONDS + _LATE_SECONDS),
        _slow_senders,
        environment=_BODY_LIMIT,
    ),
    Attack(
        "slow-senders-5000",
        "5,000 senders of one byte a second, half of them of their head, half of their body",
        Bounds(5000, seconds=120, size=2500, hold_seconds=_BODY_SECONDS + _LATE_SECONDS),
        Bounds(600, seconds=60, size=300, hold_seconds=_BODY_SECONDS + _LATE_SECONDS),
        _slow_senders,
        environment=_BODY_LIMIT,
    ),
    Attack(
        "stalled-log",
        "3,000 misses while nobody reads the service's standard error",
        Bounds(3000, seconds=120),
        Bounds(600, seconds=60),
        _stalled_log,
        Limits(stored=None),
        stalled_stderr=True,
    ),
)
