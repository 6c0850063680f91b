"""What is on its way: the budget's figures, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from recoup.in_flight import InFlight
from recoup.telemetry.catalogue import IN_FLIGHT, IN_FLIGHT_LIMIT
from recoup.telemetry.families import family, values


class InFlightCollector(Collector):
    """Exports the budget of what is on its way.

    Args:
        budget: The budget.
    """

    def __init__(self, budget: InFlight) -> None:
        self._budget = budget

    def describe(self) -> Iterable[Family]:
        """The families without their series."""
        return [family(IN_FLIGHT), family(IN_FLIGHT_LIMIT)]

    def collect(self) -> Iterator[Family]:
        """The families with their series."""
        yield values(IN_FLIGHT, [((part,), size) for part, size in self._budget.used().items()])
        yield values(IN_FLIGHT_LIMIT, [((), self._budget.limit_bytes)])
