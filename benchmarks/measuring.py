"""Fair timing on a shared machine: contenders take turns, and what counts is the median of many short rounds."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Work = Callable[[], Any]


def side_by_side(
    contenders: Mapping[str, Work],
    *,
    rounds: int,
    operations: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds for one operation of each contender.

    Args:
        contenders: By name, what does `operations` operations.
        rounds: How often each has its turn, one after the other within each round.
        operations: How many operations one turn does.
        clock: Seconds; for work in one thread that never waits, `time.thread_time`, which other processes do not move.

    Returns:
        By name, the median over the rounds.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for work in contenders.values():
        work()
    collecting = gc.isenabled()
    for _ in range(rounds):
        for name, work in contenders.items():
            gc.collect()
            gc.disable()
            started = clock()
            work()
            times[name].append(clock() - started)
            if collecting:
                gc.enable()
    return {name: statistics.median(taken) / operations for name, taken in times.items()}


def calling(function: Callable[[Any], Any], arguments: Sequence[Any]) -> Work:
    """Work that calls a function once for each argument."""

    def work() -> None:
        for argument in arguments:
            function(argument)

    return work


def in_threads(work: Work, threads: int) -> Work:
    """Work that does the same work in several threads at once."""

    def many() -> None:
        ready = threading.Barrier(threads)

        def one() -> None:
            ready.wait()
            work()

        started = [threading.Thread(target=one) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    return many


def zipf(keys: Sequence[Any], length: int, alpha: float, seed: int) -> list[Any]:
    """A sequence of keys of Zipf popularity: the k-th key with a probability in proportion to k^-alpha."""
    import random

    weights = [1.0 / rank**alpha for rank in range(1, len(keys) + 1)]
    return random.Random(seed).choices(keys, weights, k=length)
