"""More callers, and more connections, than there is room for."""

from __future__ import annotations

import asyncio

from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.attacks.slow import connected
from benchmarks.hostile.client import Answer, ask_all, request, statuses
from benchmarks.hostile.target import Target

_FILES = 256


async def _one_key(target: Target, bounds: Bounds) -> list[Check]:
    """Meanwhile another pipeline is asked for what it has not, four requests a second."""
    data = request("POST", "/api/generate/slow", f"{bounds.hold_seconds} one key".encode())
    crowd = asyncio.ensure_future(ask_all(target.address, [data] * bounds.count, seconds=bounds.seconds - 5))
    await asyncio.sleep(1)
    others: list[Answer] = []
    number = 0
    while not crowd.done():
        others.append(await target.service.post("digest", f"another {number}".encode(), seconds=5))
        number += 1
        await asyncio.sleep(0.25)
    answers = await crowd
    slowest = max((answer.seconds for answer in others), default=0.0)
    good = sum(answer.status == "200" for answer in others)
    allowed = all(answer.status in {"200", "503"} for answer in answers)
    waits = all(answer.header("retry-after") for answer in answers if answer.status == "503")
    return [
        Check(
            "another pipeline's misses are answered",
            good == len(others) > 0,
            f"{statuses(others)}, slowest {slowest:.1f} s",
        ),
        Check("its callers are answered, or refused with Retry-After", allowed and waits, statuses(answers)),
    ]


async def _descriptors(target: Target, bounds: Bounds) -> list[Check]:
    service = target.service
    connections = await connected(target.address, bounds.count)
    try:
        await asyncio.sleep(1)
        before = service.cpu_seconds()
        await asyncio.sleep(bounds.hold_seconds)
        share = (service.cpu_seconds() - before) / bounds.hold_seconds
    finally:
        for connection in connections:
            connection.close()
    lines = [line for line in service.log.read_text().splitlines() if '"warning"' in line or '"error"' in line]
    return [
        Check("no busy loop: at most a quarter of a core", share <= 0.25, f"{share:.2f} cores"),
        Check("it is said on standard error", bool(lines), lines[0][:160] if lines else "silence"),
    ]


ATTACKS = (
    Attack(
        "one-key",
        "600 callers of one key, while another pipeline is asked for what it has not",
        Bounds(600, seconds=60, hold_seconds=12),
        Bounds(500, seconds=40, hold_seconds=4),
        _one_key,
        Limits(stored=None),
    ),
    Attack(
        "descriptors",
        f"400 idle connections to a service that may open {_FILES} files",
        Bounds(400, seconds=60, hold_seconds=8),
        Bounds(400, seconds=40, hold_seconds=3),
        _descriptors,
        Limits(hit_p99_seconds=None, recovery_seconds=5),
        resources=f"-n {_FILES}",
    ),
)
