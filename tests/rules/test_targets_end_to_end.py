"""Targets that go, in a real Prometheus with real service discovery: scaled away, lost, replaced, torn down.

The rules are the committed ones with shorter times, made by the same generator.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .stack import Stack, stack, until

#: Five minutes become half a second, an evaluation; an hour becomes six seconds.
SHORTER_BY, INTERVAL = 600, "500ms"
AN_HOUR = 12  # evaluations
EXPOSED = b'recoup_build_info{version="1", python="3"} 1\nprocess_start_time_seconds 1\n'


class Exposition(BaseHTTPRequestHandler):
    """What any instance exports."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(EXPOSED)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def instance() -> Iterator[str]:
    """An instance's address; nobody answers there afterwards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exposition)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def evaluated(alerts: Stack, query: str, times: int) -> None:
    """Wait until something has been so at so many evaluations."""
    counted = f"count_over_time(({query})[2m:{INTERVAL}]) >= {times}"
    until(f"{query}, {times} times", lambda: bool(alerts.ask(counted)))


def ever(alerts: Stack, job: str) -> list[float]:
    """For how many evaluations a job's targets had vanished, as the alert has it, pending or firing."""
    return alerts.ask(f'count_over_time(ALERTS{{alertname="RecoupTargetVanished", job="{job}"}}[5m])')


def of_severity(alerts: Stack, job: str, severity: str, name: str = "RecoupTargetVanished") -> bool:
    return bool(alerts.firing(name, job=job, severity=severity))


@pytest.mark.timeout(400)
def test_targets_that_go_are_told_by_how_they_went(tmp_path: Path) -> None:
    with ExitStack() as up:
        kept, scaled_away, torn, fresh = (up.enter_context(instance()) for _ in range(4))
        lost = ExitStack()
        dying = lost.enter_context(instance())
        up.push(lost)
        both = {"shop": [kept, scaled_away, dying], "torn": [torn]}
        alerts = up.enter_context(stack(tmp_path, both, shorter_by=SHORTER_BY, interval=INTERVAL))
        evaluated(alerts, 'job:recoup_up_targets:sum{job="shop"} == 3', AN_HOUR)

        # Scaled down, and a namespace torn down: both answered until they went.
        alerts.discover({"shop": [kept, dying]})
        until("the namespace is told of", lambda: of_severity(alerts, "torn", "critical"))
        evaluated(alerts, 'job:recoup_targets:count{job="shop"} == 2', AN_HOUR // 2)
        assert [] == ever(alerts, "shop")

        # One dies, and is a target no more; it is told of for longer than the fifty minutes after it was down.
        lost.close()
        until("it is down", lambda: of_severity(alerts, "shop", "warning", "RecoupDown"))
        alerts.discover({"shop": [kept]})
        until("it is lost", lambda: of_severity(alerts, "shop", "warning"))
        until("nothing is down", lambda: not alerts.firing("RecoupDown", job="shop"))
        evaluated(alerts, 'ALERTS{alertname="RecoupTargetVanished", alertstate="firing", job="shop"}', AN_HOUR)

        # Another takes its place. The namespace is told of for two hours, not for a day.
        alerts.discover({"shop": [kept, fresh]})
        until("as many as usual answer", lambda: not alerts.firing("RecoupTargetVanished", job="shop"))
        until("the namespace is told of no more", lambda: not alerts.firing("RecoupTargetVanished", job="torn"))
        assert 0 < sum(ever(alerts, "torn")) < 5 * AN_HOUR
