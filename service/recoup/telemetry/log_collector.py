"""What was not logged: lines that were dropped because nobody read them fast enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from recoup.telemetry.catalogue import LOG_LINES_DROPPED
from recoup.telemetry.families import family, values
from recoup.telemetry.log_writer import dropped_lines


class LogCollector(Collector):
    """Exports how many log lines this process has dropped."""

    def describe(self) -> Iterable[Family]:
        """The family without its series."""
        return [family(LOG_LINES_DROPPED)]

    def collect(self) -> Iterator[Family]:
        """The family with its series."""
        yield values(LOG_LINES_DROPPED, [((), dropped_lines())])
