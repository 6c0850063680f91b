"""Hits while every generation worker is busy, beside an idle service."""

from __future__ import annotations

import statistics
import threading

from benchmarks import servers
from benchmarks.load import Load, load
from benchmarks.table import Row

_BODY = "one and the same request"
_WORKERS = 2
_CONNECTIONS = (16, 4)
_SECONDS = 3
_ROUNDS = 6


def _hits(url: str, connections: int) -> Load:
    return load(f"{url}/api/generate/bench", _BODY, connections=connections, seconds=_SECONDS)


def while_busy() -> list[Row]:
    """The 99th percentile of hits, idle and with all generation workers at work, in turn on one service."""
    with servers.recoup() as service:
        servers.post(f"{service.url}/api/generate/bench", _BODY.encode())
        return [_row(service.url, connections) for connections in _CONNECTIONS]


def _row(url: str, connections: int) -> Row:
    idle: list[Load] = []
    busy: list[Load] = []
    _hits(url, connections)
    for number in range(_ROUNDS):
        idle.append(_hits(url, connections))
        generating = [
            threading.Thread(
                target=servers.post,
                args=(f"{url}/api/generate/spin", f"{_SECONDS + 1}.{connections}{number}{worker}".encode()),
            )
            for worker in range(_WORKERS)
        ]
        for thread in generating:
            thread.start()
        busy.append(_hits(url, connections))
        for thread in generating:
            thread.join()
    quiet = statistics.median(load.p99 for load in idle)
    loud = statistics.median(load.p99 for load in busy)
    figure = f"p99 {loud * 1e3:.2f} ms busy, {quiet * 1e3:.2f} ms idle"
    what = f"hits while every worker is busy, {connections} connections"
    return Row(what, "the same service, idle", figure, loud / quiet, at_most=3.0)
