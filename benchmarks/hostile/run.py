"""One attack from the start of its service to the result."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace

from benchmarks.hostile.attack import Attack, Bounds, Check
from benchmarks.hostile.memory_group import MemoryGroup, memory_group
from benchmarks.hostile.probe import BODY, PIPELINE, Latency, Probe, milliseconds, probing, recovery_seconds
from benchmarks.hostile.result import Result
from benchmarks.hostile.service import PIPELINES, Options, Service, ready, started
from benchmarks.hostile.target import Target
from benchmarks.hostile.upstream import upstream

#: How long hits are watched before an attack and after it; for its short form.
_WATCHED_SECONDS, _WATCHED_SHORT_SECONDS = (4.0, 8.0), (1.0, 2.0)
#: Past the limit of recovery, so that a second from there on is seen whole.
_WINDOW_SECONDS = 1.5


async def attacked(attack: Attack, *, short: bool = False) -> Result:
    """Start what the attack needs, send it, and measure."""
    bounds = attack.short if short else attack.full
    if not attack.probed:
        checks = await _send(attack, Target(), bounds)
        return Result(attack.name, tuple(checks), None, "not measured", {}, 0.0, _version(), short)
    async with upstream() as address:
        pipelines = PIPELINES.replace("UPSTREAM", f"{address[0]}:{address[1]}")
        options = Options(pipelines, attack.environment, attack.resources, attack.stalled_stderr)
        with memory_group(attack.limits.memory_mib << 20) as group, started(options, group) as service:
            if not await ready(service):
                check = Check("the service starts", False, service.log.read_text()[-200:].strip() or "silence")
                return Result(attack.name, (check,), None, group.description, {}, math.inf, _version(), short)
            result = await _probed(attack, service, group, bounds, short=short)
    status = service.process.returncode
    figure = f"status {status}" if status >= 0 else f"ended by signal {-status}"
    return replace(result, checks=(*result.checks, Check("SIGTERM ends it in order", status == 0, figure)))


async def _probed(attack: Attack, service: Service, group: MemoryGroup, bounds: Bounds, *, short: bool) -> Result:
    await service.post(PIPELINE, BODY)
    authorization = _authorization(attack)
    held_before = (await service.stats(authorization)).get("entries", 0)
    before_seconds, after_seconds = _WATCHED_SHORT_SECONDS if short else _WATCHED_SECONDS
    with probing(service.address) as probe:
        await asyncio.sleep(before_seconds)
        began = time.monotonic()
        checks = await _send(attack, Target(service), bounds)
        ended = time.monotonic()
        await asyncio.sleep(after_seconds)
        await _recovered(probe, began, ended, ended + attack.limits.recovery_seconds + _WINDOW_SECONDS)
        hits = await asyncio.to_thread(probe.finish)
    phases = {
        "before": Latency.of([hit for hit in hits if hit.due < began]),
        "during": Latency.of([hit for hit in hits if began <= hit.due < ended]),
        "after": Latency.of([hit for hit in hits if hit.due >= ended]),
    }
    recovery = recovery_seconds(hits, ended, phases["before"])
    entries = (await service.stats(authorization)).get("entries")
    checks += _common(attack, service, group, phases, recovery, None if entries is None else entries - held_before)
    peak = group.peak_bytes() / (1 << 20)
    return Result(attack.name, tuple(checks), peak, group.description, phases, recovery, _version(), short)


async def _recovered(probe: Probe, began: float, ended: float, until: float) -> None:
    """Watch hits until they are as fast as before, or it is too late for that."""
    while time.monotonic() < until:
        hits = probe.so_far()
        before = Latency.of([hit for hit in hits if hit.due < began])
        if not math.isinf(recovery_seconds(hits, ended, before)):
            return
        await asyncio.sleep(0.5)


async def _send(attack: Attack, target: Target, bounds: Bounds) -> list[Check]:
    try:
        return list(await asyncio.wait_for(attack.run(target, bounds), bounds.seconds))
    except (asyncio.TimeoutError, TimeoutError):
        return [Check("ends in its time", False, f"cut off after {bounds.seconds:.0f} s")]


def _common(
    attack: Attack,
    service: Service,
    group: MemoryGroup,
    phases: dict[str, Latency],
    recovery: float,
    stored: int | None,
) -> list[Check]:
    limits = attack.limits
    running, killed = service.process.poll() is None, group.killed()
    ended = f"ended with status {service.process.returncode}" if not running else "runs"
    checks = [
        Check("the service runs on", running and not killed, f"{ended}, {killed} processes out of memory"),
        Check(
            f"hits recover within {limits.recovery_seconds:.0f} s", recovery <= limits.recovery_seconds, _s(recovery)
        ),
    ]
    if limits.hit_p99_seconds is not None:
        limit, during = max(limits.hit_p99_seconds, 10 * phases["before"].p99), phases["during"]
        failed = f", {during.failed} of {during.count} failed" if during.failed else ""
        figure = f"p99 {milliseconds(during.p99)}{failed}" if during.count else "none was due meanwhile"
        # An attack that is over before a probe was due has delayed none.
        checks.append(Check(f"hits within {milliseconds(limit)}", not during.count or during.p99 <= limit, figure))
    if limits.stored is not None:
        figure = "the service does not say" if stored is None else f"{stored} more"
        what = f"at most {limits.stored} more entries" if limits.stored else "nothing of it is stored"
        checks.append(Check(what, stored is not None and stored <= limits.stored, figure))
    return checks


def _s(seconds: float) -> str:
    return "not while it was watched" if math.isinf(seconds) else f"{seconds:.1f} s"


def _authorization(attack: Attack) -> list[tuple[str, str]]:
    token = attack.environment.get("RECOUP_ADMIN_TOKEN")
    return [("Authorization", f"Bearer {token}")] if token else []


def _version() -> str:
    import recoup

    return recoup.__version__
