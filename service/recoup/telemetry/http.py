"""The count of HTTP requests: one append for each request, added up when somebody asks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from recoup.cache.buffer import Buffer
from recoup.telemetry.catalogue import HTTP_REQUESTS, METHODS, OTHER_METHOD, UNMATCHED
from recoup.telemetry.families import family, values

_METHODS = frozenset(METHODS)

_Request = tuple["str | None", str, int]


class HttpCounter(Collector):
    """Counts HTTP requests by route, method and status. Exact under threads.

    Args:
        known: Series that are exported as 0 from the start: route, method and status of each.
    """

    def __init__(self, known: Iterable[tuple[str, str, int]] = ()) -> None:
        self._lock = threading.Lock()
        self._pending: Buffer[_Request] = Buffer(self._add_up, self._lock)
        self._counts: Counter[tuple[str, str, str]] = Counter({_labels(*series): 0 for series in known})

    def count(self, route: str | None, method: str, status: int) -> None:
        """Count one request.

        Args:
            route: The template of its route (`/api/cache/entries/<key>`), never its path; None: no route serves it.
            method: Its method; those that HTTP does not define count as `other`.
            status: The status of its answer.
        """
        self._pending.append((route, method, status))

    def add(self, route: str, method: str, status: int, count: int) -> None:
        """Count many requests of one kind at once."""
        with self._lock:
            self._counts[_labels(route, method, status)] += count

    def counts(self) -> dict[tuple[str, str, str], int]:
        """The requests so far, by route, method and status."""
        self._pending.drain()
        with self._lock:
            return dict(self._counts)

    def describe(self) -> Iterable[Family]:
        """The family without its series."""
        return [family(HTTP_REQUESTS)]

    def collect(self) -> Iterator[Family]:
        """The family with its series."""
        yield values(HTTP_REQUESTS, sorted(self.counts().items()))

    def _add_up(self, requests: list[_Request]) -> None:
        for request, count in Counter(requests).items():
            self._counts[_labels(*request)] += count


def _labels(route: str | None, method: str, status: int) -> tuple[str, str, str]:
    return route or UNMATCHED, method if method in _METHODS else OTHER_METHOD, str(status)
