"""`kill -9` under writes: `python -m tests.tiers.kills [COUNT]` does it 200 times at random moments.

A child stores results and invalidates some, and says what it has done, and when, by the clock that all processes share.
It is killed after a random number of lines. Then the tier is opened again, and held against what the child said.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from hashlib import blake2b
from pathlib import Path

from recoup.cache.codecs import checked_codec
from recoup.cache.tier import Invalidation
from recoup.tiers import DiskTier

from .support import entry, key

SIZES = (10, 2_000, 50_000, 300_000, 1_500_000)
KEYS = 40
#: Seconds after which what was submitted is there, whatever happens.
STORED_SECONDS = 1.0
#: What a start may take.
START_SECONDS = 2.0
_FEW_BYTES = 8 << 20


def value(number: int, version: int) -> bytes:
    """What tells a torn or mixed value from a whole one: all of it follows from its first bytes."""
    start = b"%d:%d:" % (number, version)
    block = blake2b(start).digest()
    size = SIZES[(number + version) % len(SIZES)]
    return start + block * (size // len(block) + 1)


def is_whole(data: bytes) -> tuple[int, int] | None:
    """Key and version of a whole value; None: it is torn."""
    number, version, _ = data.split(b":", 2)
    found = int(number), int(version)
    return found if data == value(*found) else None


def child(folder: str, seed: str) -> None:
    """Stores and invalidates until it is killed."""
    draw = random.Random(seed)
    tier = DiskTier(folder, max_mb=200, queue_mb=64)
    tier.open(checked_codec("bytes"))
    say = sys.stdout.write
    for version in range(1, 10**9):
        number = draw.randrange(KEYS)
        if draw.random() < 0.1:
            tier.invalidate(Invalidation(at=0.0, key=key(number)))()
            say(f"gone {number} {version} {time.monotonic()}\n")
        else:
            tier.submit(entry(number, value(number, version), compress=bool(version % 2)))
            say(f"stored {number} {version} {time.monotonic()}\n")
        sys.stdout.flush()
        if tier.stats().queue_bytes > _FEW_BYTES:
            tier.flush()


def kill_once(seed: str) -> str:
    """Let a child begin, kill it, and look at what is left; gives what was wrong, or nothing."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(2):  # the second begins with what the first left
            wrong = _kill(folder, draw, f"{seed} {round_}")
            if wrong:
                return f"{seed}, round {round_}: {wrong}"
    return ""


def _kill(folder: str, draw: random.Random, seed: str) -> str:
    command = [sys.executable, "-m", "tests.tiers.kills", "--child", folder, seed]
    root = Path(__file__).parents[2]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=dict(os.environ)) as process:
        assert process.stdout is not None
        lines += itertools.islice(process.stdout, draw.randrange(1, 1500))
        process.kill()
        killed = time.monotonic()
        lines += process.stdout.readlines()
    return _verdict(folder, [line.split() for line in lines if line.endswith("\n")], killed)


def _verdict(folder: str, lines: list[list[str]], killed: float) -> str:
    last: dict[int, list[str]] = {}
    settled: dict[int, list[str]] = {}
    for line in lines:
        number = int(line[1])
        last[number] = line
        if killed - float(line[3]) > STORED_SECONDS:
            settled[number] = line
    started = time.monotonic()
    tier = DiskTier(folder, max_mb=200, retry_seconds=0.01)
    tier.open(checked_codec("bytes"))
    try:
        if not tier.stats().up:
            return "the tier did not start"
        if time.monotonic() - started > START_SECONDS:
            return "the start took too long"
        for number in range(KEYS):
            held = tier.get(key(number), "p")
            wrong = _wrong(number, None if held is None else held.value, last.get(number), settled.get(number))
            if wrong:
                return wrong
        if tier.stats().corrupt:
            return f"{tier.stats().corrupt} records were corrupt"
    finally:
        tier.close()
    return ""


def _wrong(number: int, held: bytes | None, last: list[str] | None, settled: list[str] | None) -> str:
    if held is not None:
        whole = is_whole(held)
        if whole is None or whole[0] != number:
            return f"key {number} has a torn value"
        if settled is not None and whole[1] < int(settled[2]):
            return f"key {number} has version {whole[1]} after {settled}"
        if last is not None and last[0] == "gone" and whole[1] < int(last[2]):
            return f"key {number} answers with version {whole[1]} although {last}"
        return ""
    if settled is not None and settled == last and settled[0] == "stored":
        return f"key {number} is not there although {settled}"
    return ""


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4])
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    base = random.SystemRandom().randrange(2**32)
    wrong = [text for number in range(count // 2) if (text := kill_once(f"{base}-{number}"))]
    print(f"{count // 2 * 2} kills, seed {base}: {len(wrong)} left something wrong")
    for text in wrong:
        print(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
