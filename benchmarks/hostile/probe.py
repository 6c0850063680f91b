"""The probe: hits at a fixed rate, in a process of its own, so that the attack's own work does not delay it.

`python -m benchmarks.hostile.probe PORT RATE SECONDS` sends one hit after the other on connections of their own, each
at its time whether or not those before are answered, until its standard input ends or the seconds are over. It prints
one line for each: when it was due (monotonic clock, the same in all processes), seconds until its answer, the status.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.hostile.client import Address, ask, request

PIPELINE, BODY = "probe", b"one and the same request"
RATE = 25.0
#: A hit that takes longer has failed.
TIMEOUT_SECONDS = 10.0
_MOST_SECONDS = 600.0
#: A tolerance of the scheduler's making, on cores that others use, too.
_NOISE_SECONDS = 0.02
_WINDOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Hit:
    """One probe: when it was due, how long it took (infinite where it failed), and its status."""

    due: float
    seconds: float
    status: str


@dataclass(frozen=True, slots=True)
class Latency:
    """How long the hits of a phase took, in seconds; infinite where they failed."""

    count: int
    failed: int
    p50: float
    p99: float

    @classmethod
    def of(cls, hits: Sequence[Hit]) -> Latency:
        """Of some hits; without any, nothing was answered."""
        taken = sorted(hit.seconds for hit in hits)
        if not taken:
            return cls(0, 0, math.inf, math.inf)
        failed = sum(map(math.isinf, taken))
        return cls(len(taken), failed, statistics.median_low(taken), taken[math.ceil(0.99 * len(taken)) - 1])


def milliseconds(seconds: float) -> str:
    """A latency for people; hits that failed took for ever."""
    return "failed" if math.isinf(seconds) else f"{seconds * 1e3:.0f} ms"


def recovery_seconds(hits: Sequence[Hit], ended: float, before: Latency) -> float:
    """From the attack's end until a second of hits is as fast as before, within twice their p99; infinite if never."""
    limit = max(2 * before.p99, _NOISE_SECONDS)
    after = [hit for hit in hits if hit.due >= ended]
    for hit in after:
        window = [other for other in after if hit.due <= other.due < hit.due + _WINDOW_SECONDS]
        if after[-1].due < hit.due + _WINDOW_SECONDS * 0.9:
            break
        if all(other.seconds <= limit for other in window):
            return hit.due - ended
    return math.inf


def read(lines: Sequence[str]) -> list[Hit]:
    """The hits that a probe has printed, by when they were due."""
    split = (line.split(maxsplit=2) for line in lines)
    return sorted((Hit(float(due), float(seconds), status) for due, seconds, status in split), key=lambda hit: hit.due)


@dataclass(slots=True)
class Probe:
    """A probe that runs."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def so_far(self) -> list[Hit]:
        """What it has measured up to now."""
        # At a place of its own: where the process writes next is the file's place, which both share.
        size = os.fstat(self.output.fileno()).st_size
        return read(os.pread(self.output.fileno(), size, 0).decode().splitlines())

    def finish(self) -> list[Hit]:
        """End it, and give what it has measured."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(2 * TIMEOUT_SECONDS)
        return self.so_far()


@contextlib.contextmanager
def probing(address: Address) -> Iterator[Probe]:
    """A probe until the block ends."""
    command = [sys.executable, "-m", __name__, str(address[1]), str(RATE), str(_MOST_SECONDS)]
    root = Path(__file__).parent.parent.parent
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=output)
        try:
            yield Probe(process, output)
        finally:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


async def _one(address: Address, data: bytes, due: float) -> None:
    answer = await ask(address, data, seconds=TIMEOUT_SECONDS)
    good = answer.status == "200" and answer.whole and "hit" in (answer.header("cache-status") or "")
    taken = time.monotonic() - due if good else math.inf
    sys.stdout.write(f"{due} {taken} {answer.status}\n")
    sys.stdout.flush()


async def _probe(address: Address, rate: float, seconds: float) -> None:
    data = request("POST", f"/api/generate/{PIPELINE}", BODY)
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    began = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if await asyncio.wait({ended}, timeout=max(0.0, due - time.monotonic())) and ended.done():
            break
        task = asyncio.ensure_future(_one(address, data, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(_probe(("127.0.0.1", int(sys.argv[1])), float(sys.argv[2]), float(sys.argv[3])))
