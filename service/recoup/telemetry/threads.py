"""How many threads the process has: what prometheus-client's `ProcessCollector` leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily


class ThreadCollector:
    """`process_threads`: all threads that the operating system knows of, the server's among them.

    Like the other `process_*` metrics it is exported only where there is a `/proc`.
    """

    def __init__(self, tasks: str = "/proc/self/task") -> None:
        self._tasks = tasks

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count them."""
        try:
            threads = len(os.listdir(self._tasks))
        except OSError:
            return
        yield GaugeMetricFamily("process_threads", "Number of threads in the process.", value=threads)
