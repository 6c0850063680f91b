"""What is told of each request: its count, what its caller waited, its log line."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from itertools import compress, repeat, starmap
from typing import Any

from recoup.cache import LRUCache
from recoup.cache.stats import MissReason, Outcome
from recoup.telemetry import HttpCounter, RequestLog, parse_traceparent, request_id
from recoup.web.generation import GENERATE_ROUTE, Answer, Ask

#: Hits that may wait to be told of.
_MOST_HITS = 1024
#: Of a hit: its pipeline, its status, what its caller waited, and its trace id.
_Hit = tuple[str, int, float, str]


class Told:
    """What is known of one request, gathered while it is answered.

    Attributes:
        request_id: From `X-Request-Id`, or made.
        trace_id: From `traceparent`.
        started: When its body was there, of `time.perf_counter`: what a slow line takes is not the service's.

    Args:
        environ: Its WSGI environment.
        own_id: Its id, where that is known already.
        started: As above; None: now.
    """

    __slots__ = ("cost_seconds", "error", "key", "outcome", "pipeline", "reason", "request_id", "started", "trace_id")

    def __init__(self, environ: Mapping[str, Any], own_id: str | None = None, started: float | None = None) -> None:
        self.started = time.perf_counter() if started is None else started
        self.request_id = request_id(environ.get("HTTP_X_REQUEST_ID")) if own_id is None else own_id
        self.trace_id = parse_traceparent(environ.get("HTTP_TRACEPARENT"))
        self.pipeline: str | None = None
        self.key: str | None = None
        self.outcome: Outcome | None = None
        self.reason: MissReason | None = None
        self.cost_seconds: float | None = None
        self.error: str | None = None

    def asked(self, ask: Ask) -> None:
        """Note what was asked for."""
        self.pipeline = ask.route.name
        self.key = ask.key

    def answered(self, answer: Answer) -> None:
        """Note how the lookup ended."""
        self.outcome = answer.outcome
        self.reason = answer.reason
        self.cost_seconds = answer.cost_seconds


class Account:
    """Tells of requests: to the cache's histograms, to the count of HTTP requests, to the log.

    Hits are many, and much like one another. Most leave one record in a buffer, and are told of together: when it is
    full, and before statistics are read.
    """

    def __init__(self, cache: LRUCache, http: HttpCounter, log: RequestLog) -> None:
        self._cache = cache
        self._http = http
        self._log = log
        self._silent_until = 0.0
        # The documentation of deque promises that appends and pops from either end are thread-safe.
        self._hits: deque[_Hit] = deque()
        self._lock = threading.Lock()
        cache.add_source(self.settle)

    def tell(self, told: Told, environ: Mapping[str, Any], route: str | None, status: int, size: int | None) -> None:
        """Tell of one request that was answered. Never fails: its failure is counted, and the caller is answered."""
        try:
            self._tell(told, environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), route, status, size)
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

    def tell_hit(self, environ: Mapping[str, Any], request_id: str, started: float, ask: Ask, answer: Answer) -> None:
        """Tell of one hit: what `tell` does, for the many. Never fails."""
        try:
            if started < self._silent_until:
                trace = environ.get("HTTP_TRACEPARENT")
                trace_id = (trace and parse_traceparent(trace)) or request_id
                hits = self._hits
                hits.append((ask.route.name, answer.status, answer.seconds, trace_id))
                # Without waiting: whoever holds the lock settles, and hits do not queue up behind it.
                if len(hits) >= _MOST_HITS and self._lock.acquire(blocking=False):
                    try:
                        self._settle()
                    finally:
                        self._lock.release()
                return
            told = Told(environ, request_id, started)
            told.asked(ask)
            told.answered(answer)
            self._tell(told, "POST", environ["PATH_INFO"], GENERATE_ROUTE, answer.status, len(answer.body))
            self._silent_until = time.perf_counter() + self._log.silent_seconds()
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

    def settle(self) -> None:
        """Tell of the hits in the buffer."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        # Only the holder of the lock pops, so that many are there. Column by column, since each hit pays for this.
        hits = list(starmap(self._hits.popleft, repeat((), len(self._hits))))
        if not hits:
            return
        names, statuses, waits, trace_ids = zip(*hits, strict=True)
        for name in set(names):
            if names.count(name) == len(names):
                self._cache.record_requests(name, "hit", waits, trace_ids)
            else:
                own = [each == name for each in names]
                self._cache.record_requests(name, "hit", [*compress(waits, own)], [*compress(trace_ids, own)])
        for status in set(statuses):
            self._http.add(GENERATE_ROUTE, "POST", status, statuses.count(status))
        self._log.hits_dropped(len(hits))

    def _tell(self, told: Told, method: str, path: str, route: str | None, status: int, size: int | None) -> None:
        seconds = time.perf_counter() - told.started
        if told.outcome is not None and told.pipeline is not None:
            self._cache.record_request(told.pipeline, told.outcome, seconds, told.trace_id or told.request_id)
        self._http.count(route, method, status)
        self._log.log_request(
            request_id=told.request_id,
            trace_id=told.trace_id,
            route=route,
            method=method,
            path=path,
            status=status,
            duration_seconds=seconds,
            bytes=size,
            pipeline=told.pipeline,
            key=told.key,
            outcome=told.outcome,
            reason=told.reason,
            cost_seconds=told.cost_seconds,
            error=told.error,
        )
