"""What a tier counts: lookups and writes by pipeline, evictions, corrupt records, and how long operations take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from time import monotonic, perf_counter
from types import MappingProxyType
from typing import Any, Final

from recoup.cache.histogram import Histogram
from recoup.cache.stats import HistogramSnapshot
from recoup.cache.tier import LOOKUP_RESULTS, OPERATIONS, WRITE_RESULTS, LookupResult, Operation, TierName, WriteResult

#: Seconds that one operation of a tier takes: from 50 microseconds to ten seconds.
OPERATION_SECONDS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
#: Pipelines that are counted by their own names; further ones are counted as `other`, as in the cache itself.
_MOST_PIPELINES: Final = 200
_OTHER: Final = "other"

_log = logging.getLogger("recoup.tiers")


class TierCounts:
    """The counts of one tier. Safe under threads.

    Args:
        name: The tier.
    """

    def __init__(self, name: TierName) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._lookups: dict[str, dict[LookupResult, int]] = {}
        self._writes: dict[str, dict[WriteResult, int]] = {}
        self._operations = {operation: Histogram(OPERATION_SECONDS) for operation in OPERATIONS}
        self._said: dict[str, float] = {}
        self.evictions = 0
        self.corrupt = 0

    def begin_after_fork(self) -> None:
        """In a child process, where the lock is a new one."""
        self._lock = threading.Lock()

    def register(self, pipeline: str) -> None:
        """Make a pipeline known: its counts are zeros from now on."""
        with self._lock:
            self._of(pipeline)

    def _of(self, pipeline: str) -> str:
        if pipeline not in self._lookups:
            if len(self._lookups) >= _MOST_PIPELINES:
                pipeline = _OTHER
            self._lookups.setdefault(pipeline, dict.fromkeys(LOOKUP_RESULTS, 0))
            self._writes.setdefault(pipeline, dict.fromkeys(WRITE_RESULTS, 0))
        return pipeline

    def lookup(self, pipeline: str, result: LookupResult) -> None:
        """Count a lookup."""
        with self._lock:
            self._lookups[self._of(pipeline)][result] += 1

    def write(self, pipeline: str, result: WriteResult, count: int = 1) -> None:
        """Count writes."""
        with self._lock:
            self._writes[self._of(pipeline)][result] += count

    def evicted(self, count: int) -> None:
        """Count results that the limit removed."""
        with self._lock:
            self.evictions += count

    def broken(self) -> None:
        """Count a record that could not be read."""
        with self._lock:
            self.corrupt += 1

    @contextmanager
    def timed(self, operation: Operation) -> Iterator[None]:
        """Observe how long something takes, however it ends."""
        started = perf_counter()
        try:
            yield
        finally:
            self.observe(operation, perf_counter() - started)

    def observe(self, operation: Operation, seconds: float) -> None:
        """Observe how long an operation took."""
        with self._lock:
            self._operations[operation].observe(seconds)

    # --- saying it once

    def warn(self, event: str, error: BaseException | None = None, **fields: Any) -> None:
        """Log a warning once, until `recovered` is called for it."""
        with self._lock:
            known = event in self._said
            self._said[event] = monotonic()
        if known:
            return
        reason = {} if error is None else {"error": type(error).__name__, "reason": str(error)}
        _log.warning(event, extra={"tier": self._name, **reason, **fields})

    def recovered(self, event: str, over: str, quiet_seconds: float = 0.0) -> None:
        """Log that what was warned of is over, if it was; from now on, it is warned of anew.

        Args:
            event: What was warned of.
            over: What is logged.
            quiet_seconds: It is not over before it has not happened for so long.
        """
        if event not in self._said:
            return
        with self._lock:
            at = self._said.get(event, inf)
            if monotonic() < at + quiet_seconds:
                return
            del self._said[event]
        _log.info(over, extra={"tier": self._name})

    # --- reading

    def lookups(self) -> Mapping[str, Mapping[LookupResult, int]]:
        """Lookups by pipeline and result."""
        with self._lock:
            return MappingProxyType({name: MappingProxyType(dict(counts)) for name, counts in self._lookups.items()})

    def writes(self) -> Mapping[str, Mapping[WriteResult, int]]:
        """Writes by pipeline and result."""
        with self._lock:
            return MappingProxyType({name: MappingProxyType(dict(counts)) for name, counts in self._writes.items()})

    def operations(self) -> Mapping[Operation, HistogramSnapshot]:
        """How long operations took."""
        with self._lock:
            return MappingProxyType({name: histogram.snapshot() for name, histogram in self._operations.items()})
