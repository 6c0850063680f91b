"""Exports the load test's own figures to Prometheus, with prometheus-client, from within Locust's process."""

from __future__ import annotations

from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from metrics import loadtest_catalogue as catalogue
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from loadtest.journal import Request
from recoup.telemetry.catalogue import Metric


class Exporter:
    """Keeps the counts of a run, and gives them when it is scraped.

    Args:
        users: Tells how many users run now.

    Attributes:
        registry: Holds the metrics of the load test's catalogue.
    """

    def __init__(self, users: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._gauge(catalogue.USERS).set_function(users)
        self._phase = self._gauge(catalogue.PHASE)
        self._offered = self._counter(catalogue.OFFERED_REQUESTS)
        self._requests = self._counter(catalogue.REQUESTS)
        self._failures = self._counter(catalogue.FAILURES)
        seconds = catalogue.RESPONSE_DURATION
        self._seconds = Histogram(
            seconds.name, seconds.help, seconds.labels, buckets=seconds.buckets, registry=self.registry
        )

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def begin(self, scenario: str, part: str) -> None:
        """A phase begins: its series are there from now on, at 0."""
        self._phase.labels(scenario, part).set(1)
        self._offered.labels(scenario, part)
        self._failures.labels(scenario, part)
        for outcome in catalogue.ANSWER_OUTCOMES:
            self._requests.labels(scenario, part, outcome)
            self._seconds.labels(scenario, outcome)

    def end(self, scenario: str, part: str) -> None:
        """It has ended."""
        self._phase.labels(scenario, part).set(0)

    def offer(self, scenario: str, part: str, requests: int) -> None:
        """Requests became due."""
        self._offered.labels(scenario, part).inc(requests)

    def count(self, scenario: str, part: str, request: Request) -> None:
        """A request ended."""
        outcome = request.outcome or catalogue.NO_OUTCOME
        self._requests.labels(scenario, part, outcome).inc()
        self._failures.labels(scenario, part).inc(not request.allowed)
        self._seconds.labels(scenario, outcome).observe(request.seconds)

    def serve(self, address: str, port: int) -> WSGIServer:
        """Answer Prometheus on a port of its own.

        Raises:
            OSError: The port cannot be had.
        """
        return start_http_server(port, address, self.registry)[0]
