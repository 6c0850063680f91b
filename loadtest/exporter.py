"""Exports the load test's own figures to Prometheus, with prometheus-client, from within Locust's process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from wsgiref.simple_server import WSGIServer

from metrics import loadtest_catalogue as catalogue
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from loadtest.journal import Request
from recoup.cache.histogram import Histogram
from recoup.telemetry import families


class Exporter(Collector):
    """Keeps the counts of a run, and gives them when it is scraped.

    Args:
        users: Tells how many users run now.
    """

    def __init__(self, users: Callable[[], int]) -> None:
        self._users = users
        # Of the standard library, so that Locust's greenlets yield on it where it has patched that.
        self._lock = threading.Lock()
        self._phases: dict[tuple[str, str], float] = {}
        self._offered: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[tuple[str, str], Histogram] = {}

    def begin(self, scenario: str, part: str) -> None:
        """A phase begins: its series are there from now on, at 0."""
        phase = (scenario, part)
        with self._lock:
            self._phases[phase] = 1.0
            self._offered[phase] += 0
            self._failures[phase] += 0
            for outcome in catalogue.ANSWER_OUTCOMES:
                self._requests[scenario, part, outcome] += 0
                self._seconds.setdefault((scenario, outcome), Histogram(catalogue.RESPONSE_DURATION.buckets))

    def end(self, scenario: str, part: str) -> None:
        """It has ended."""
        with self._lock:
            self._phases[scenario, part] = 0.0

    def offer(self, scenario: str, part: str, requests: int) -> None:
        """Requests became due, in a phase that has begun."""
        with self._lock:
            self._offered[scenario, part] += requests

    def count(self, scenario: str, part: str, request: Request) -> None:
        """A request ended, in a phase that has begun."""
        outcome = request.outcome or catalogue.NO_OUTCOME
        with self._lock:
            self._requests[scenario, part, outcome] += 1
            self._failures[scenario, part] += not request.allowed
            self._seconds[scenario, outcome].observe(request.seconds)

    def collect(self) -> Iterator[Family]:
        """Every metric of the load test's catalogue, as it is now."""
        with self._lock:
            seconds = [(labels, histogram.snapshot()) for labels, histogram in self._seconds.items()]
            counts = (
                (catalogue.PHASE, dict(self._phases)),
                (catalogue.OFFERED_REQUESTS, dict(self._offered)),
                (catalogue.REQUESTS, dict(self._requests)),
                (catalogue.FAILURES, dict(self._failures)),
            )
        yield families.values(catalogue.USERS, [((), float(self._users()))])
        for metric, values in counts:
            yield families.values(metric, values.items())
        yield families.distributions(catalogue.RESPONSE_DURATION, seconds)

    def serve(self, address: str, port: int) -> WSGIServer:
        """Answer Prometheus on a port of its own.

        Raises:
            OSError: The port cannot be had.
        """
        registry = CollectorRegistry()
        registry.register(self)
        server, _ = start_http_server(port, address, registry)
        return server
