"""Two services that start at one moment, and one that ends while it answers."""

from __future__ import annotations

import asyncio
import signal
import time

from benchmarks.hostile.attack import Attack, Bounds, Check
from benchmarks.hostile.client import Connection, request
from benchmarks.hostile.service import Service, ready
from benchmarks.hostile.target import Target
from benchmarks.servers import free_port

_READ_BYTES = 64_000


async def _ended(service: Service, seconds: float) -> int | None:
    """The exit status, once it has ended; None if it runs on for so long."""
    until = time.monotonic() + seconds
    while service.process.poll() is None and time.monotonic() < until:
        await asyncio.sleep(0.05)
    return service.process.poll()


async def _two_starts(target: Target, bounds: Bounds) -> list[Check]:
    outcomes: list[str] = []
    for _ in range(bounds.count):
        port = free_port()
        with target.another({}, port) as first, target.another({}, port) as second:
            await asyncio.gather(ready(first), ready(second))
            # The loser is given as long as a start takes to see that it is one.
            await asyncio.wait(
                [asyncio.ensure_future(_ended(service, bounds.hold_seconds)) for service in (first, second)],
                return_when=asyncio.FIRST_COMPLETED,
            )
            outcomes.append(" and ".join(sorted(_state(service) for service in (first, second))))
    held = all(outcome == "ended with 2 and runs" for outcome in outcomes)
    return [Check("one serves, the other one ends with status 2", held, "; ".join(outcomes))]


def _state(service: Service) -> str:
    status = service.process.poll()
    return "runs" if status is None else f"ended with {status}"


async def _slow_reader(target: Target, bounds: Bounds) -> list[Check]:
    """SIGTERM comes a second after the reader began; the grace period is three times what it needs."""
    rate = bounds.size / bounds.hold_seconds
    with target.another({"RECOUP_GRACE_SECONDS": f"{3 * bounds.hold_seconds:.0f}"}) as service:
        if not await ready(service):
            return [Check("the service starts", False, "it does not")]
        await service.post("large", b"%d" % bounds.size)
        got = await _paced(service, bounds.size, rate)
        status = await _ended(service, bounds.hold_seconds * 3)
    whole = got >= bounds.size
    figure = f"{got / 1e6:.1f} of {bounds.size / 1e6:.1f} MB, then status {status}"
    return [
        Check("a reader within the grace period gets all of it", whole, figure),
        Check("the exit status says whether it did", status == (0 if whole else 1), figure),
    ]


async def _paced(service: Service, size: int, rate: float) -> int:
    """Read a hit at so many bytes a second; gives how many bytes there were, its head among them."""
    connection = await Connection.open(service.address, receive_bytes=_READ_BYTES)
    loop = asyncio.get_running_loop()
    got, began, told = 0, time.monotonic(), False
    try:
        await connection.send(request("POST", "/api/generate/large", b"%d" % size))
        while got < size and (data := await loop.sock_recv(connection.sock, _READ_BYTES)):
            got += len(data)
            await asyncio.sleep(max(0.0, began + got / rate - time.monotonic()))
            if not told and time.monotonic() > began + 1:
                service.signal(signal.SIGTERM)
                told = True
    except OSError:
        return got
    finally:
        connection.close()
    return got


ATTACKS = (
    Attack(
        "two-starts",
        "2 services started at one moment on one port, 3 times",
        Bounds(3, seconds=120, hold_seconds=5),
        Bounds(1, seconds=60, hold_seconds=5),
        _two_starts,
        probed=False,
    ),
    Attack(
        "drain",
        "SIGTERM while a reader takes a result of 40 MB at 2 MB/s",
        Bounds(1, seconds=120, size=40_000_000, hold_seconds=20),
        Bounds(1, seconds=60, size=30_000_000, hold_seconds=10),
        _slow_reader,
        probed=False,
    ),
)
