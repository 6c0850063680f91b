"""Writes the journal of a run while it happens, and counts along. Its lines are `journal`'s."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from loadtest.exporter import Exporter
from loadtest.journal import Request
from loadtest.plan import Phase

_REQUEST_FIELDS = tuple(field_.name for field_ in fields(Request))


class Recorder:
    """The journal that is being written. Lines wait in memory until `flush`.

    Args:
        path: The journal; what is there is written over.
        exporter: Counts the same for Prometheus.

    Raises:
        OSError: The journal cannot be written.
    """

    def __init__(self, path: Path, exporter: Exporter) -> None:
        self.path = path
        self._exporter = exporter
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._asked = 0
        self.requests: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.errors = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")

    @property
    def went_well(self) -> bool:
        """Whether no call got an answer that is not allowed it, and no action failed."""
        return not self.errors and not self.failures.total()

    def run(self, settings: Mapping[str, Any], counters: Mapping[str, float] | None = None) -> None:
        """The first line; the service's counters as they are before anything is done."""
        self._write({"line": "run", "at": time.time(), "settings": dict(settings), "counters": counters})
        self.flush()

    def begin(self, phase: Phase, counters: Mapping[str, float]) -> None:
        """A phase begins."""
        self._exporter.begin(phase.scenario, phase.part)
        self._of(phase, "begin", time.time(), counters=counters)

    def end(self, phase: Phase, counters: Mapping[str, float] | None, stats: Mapping[str, Any] | None = None) -> None:
        """It has ended."""
        self._exporter.end(phase.scenario, phase.part)
        self._of(phase, "end", time.time(), counters=counters, stats=stats)

    def rest(self) -> None:
        """Nothing was sent since the end of the phase."""
        self._write({"line": "rest", "at": time.time()})

    def offer(self, phase: Phase, requests: int) -> None:
        """Requests became due."""
        self._exporter.offer(phase.scenario, phase.part, requests)

    def request(self, phase: Phase, request: Request) -> None:
        """A request ended."""
        self._exporter.count(phase.scenario, phase.part, request)
        with self._lock:
            self.requests[phase.name] += 1
            self.failures[phase.name] += not request.allowed
        self._write({"line": "request", **{name: getattr(request, name) for name in _REQUEST_FIELDS}})

    def action(self, phase: Phase, action: str, begun: float, error: str | None) -> None:
        """Something was done, or failed; `begun` in seconds since the epoch."""
        self.errors += error is not None
        self._of(phase, "action", begun, action=action, seconds=max(0.0, time.time() - begun), error=error)

    def ask(self, name: str) -> Path:
        """Ask the run's owner to bring a fault about; gives the file that will have the answer."""
        self._asked += 1
        self._write({"line": "ask", "number": self._asked, "name": name})
        self.flush()
        return self.path.parent / f"answer-{self._asked}"

    def done(self, locust: Mapping[str, Mapping[str, int]]) -> None:
        """The last line."""
        self._write({"line": "done", "at": time.time(), "locust": locust})
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._lines = self._lines, []
            self._file.write("".join(lines))
            self._file.flush()

    def close(self) -> None:
        """Write what waits, and no more."""
        self.flush()
        self._file.close()

    def _of(self, phase: Phase, kind: str, at: float, **members: object) -> None:
        self._write({"line": kind, "scenario": phase.scenario, "part": phase.part, "at": at, **members})
        self.flush()

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        with self._lock:
            self._lines.append(text)
