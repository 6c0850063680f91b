"""Hits over HTTP, side by side: a 2 KB result, 16 connections."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from benchmarks import servers
from benchmarks.load import Load, load
from benchmarks.table import Row

_PATH = "/api/generate/bench"
_BODY = "one and the same request"
_CONNECTIONS = 16
_SECONDS = 3
_ROUNDS = 5


def _warm(url: str) -> None:
    """Make the request a hit, and let the server get going."""
    for _ in range(3):
        servers.post(url + _PATH, _BODY.encode())
    load(url + _PATH, _BODY, connections=_CONNECTIONS, seconds=1)


def _in_turn(urls: dict[str, str], rounds: int) -> dict[str, list[Load]]:
    for url in urls.values():
        _warm(url)
    loads: dict[str, list[Load]] = {name: [] for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            loads[name].append(load(url + _PATH, _BODY, connections=_CONNECTIONS, seconds=_SECONDS))
    return loads


def _rate(loads: list[Load]) -> float:
    return statistics.median(load.rate for load in loads)


def http_hits() -> list[Row]:
    """Hits a second, beside Flask-Caching on gunicorn gthread and nginx `proxy_cache`."""
    what = "HTTP hits, 2 KB, 16 connections"
    with ExitStack() as stack:
        urls = {"recoup": stack.enter_context(servers.recoup())}
        urls["Flask-Caching on gunicorn gthread"] = stack.enter_context(servers.flask_caching())
        try:
            urls["nginx proxy_cache"] = stack.enter_context(servers.nginx(urls["Flask-Caching on gunicorn gthread"]))
            missing = []
        except FileNotFoundError as error:
            missing = [Row(what, "nginx proxy_cache", f"not measured: {error}")]
        loads = _in_turn(urls, _ROUNDS)
    ours = _rate(loads["recoup"])
    rows = [Row(what, "recoup", _figure(loads["recoup"]))]
    for name in list(urls)[1:]:
        asked = 4.0 if name.startswith("Flask") else None
        rows.append(Row(what, name, _figure(loads[name]), ours / _rate(loads[name]), asked))
    return rows + missing


def _figure(loads: list[Load]) -> str:
    p99 = statistics.median(load.p99 for load in loads)
    return f"{_rate(loads):.0f}/s, p99 {p99 * 1e3:.1f} ms"


def telemetry() -> list[Row]:
    """Hits a second with telemetry off against on: what it costs."""
    what = "telemetry on against off, HTTP hits"
    with servers.recoup(RECOUP_TELEMETRY="1") as on, servers.recoup(RECOUP_TELEMETRY="0") as off:
        loads = _in_turn({"on": on, "off": off}, 4 * _ROUNDS)
    # Neighbours in time, so that the machine's drift cancels out.
    ratios = [without.rate / with_it.rate for with_it, without in zip(loads["on"], loads["off"], strict=True)]
    figure = f"on {_rate(loads['on']):.0f}/s, off {_rate(loads['off']):.0f}/s"
    return [Row(what, "telemetry off", figure, statistics.median(ratios), at_most=1.03)]
