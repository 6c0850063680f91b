"""What is on its way, and what was not logged: figures of the door, read when they are scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from recoup.telemetry.catalogue import IN_FLIGHT, IN_FLIGHT_LIMIT
from recoup.telemetry.families import family, values


class InFlightCollector(Collector):
    """Exports the budget of what is on its way.

    Args:
        used: Gives the bytes that are held now, by part.
        limit_bytes: The budget.
    """

    def __init__(self, used: Callable[[], Mapping[str, int]], limit_bytes: int) -> None:
        self._used = used
        self._limit_bytes = limit_bytes

    def describe(self) -> Iterable[Family]:
        """The families without their series."""
        return [family(IN_FLIGHT), family(IN_FLIGHT_LIMIT)]

    def collect(self) -> Iterator[Family]:
        """The families with their series."""
        yield values(IN_FLIGHT, [((part,), size) for part, size in self._used().items()])
        yield values(IN_FLIGHT_LIMIT, [((), self._limit_bytes)])
