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
_TELEMETRY_ROUNDS = 40


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
        urls = {"recoup": stack.enter_context(servers.recoup()).url}
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
        asked = 7.0 if name.startswith("Flask") else 0.35
        rows.append(Row(what, name, _figure(loads[name]), ours / _rate(loads[name]), asked))
    return rows + missing


def _figure(loads: list[Load]) -> str:
    p99 = statistics.median(load.p99 for load in loads)
    return f"{_rate(loads):.0f}/s, p99 {p99 * 1e3:.1f} ms"


def telemetry() -> list[Row]:
    """What telemetry costs: processor time of the service for one hit, on against off, in turn.

    By processor time, since the rate tells of the machine's other users, too; over one connection, since sixteen
    threads that fight for the interpreter differ by more from run to run than what is measured here.
    """
    what = "telemetry on against off, HTTP hits"
    used = {"on": 0.0, "off": 0.0}
    hits = {"on": 0, "off": 0}
    with servers.recoup(RECOUP_TELEMETRY="1") as on, servers.recoup(RECOUP_TELEMETRY="0") as off:
        services = {"on": on, "off": off}
        for service in services.values():
            _warm(service.url)
        for number in range(_TELEMETRY_ROUNDS):
            for name in ("on", "off") if number % 2 else ("off", "on"):
                service = services[name]
                before = service.cpu_seconds()
                done = load(service.url + _PATH, _BODY, connections=1, seconds=1)
                used[name] += service.cpu_seconds() - before
                hits[name] += done.requests
    cost = {name: used[name] / hits[name] for name in used}
    figure = ", ".join(f"{name} {each * 1e6:.1f} us/hit" for name, each in cost.items())
    return [Row(what, "telemetry off", figure, cost["on"] / cost["off"], at_most=1.03)]
