"""What is told of each request: its count, what its caller waited, its log line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from recoup.cache import LRUCache
from recoup.cache.records import MissReason, Outcome
from recoup.telemetry import HttpCounter, RequestLog, parse_traceparent, request_id
from recoup.web.generation import GENERATE_ROUTE, HIT_STATUSES, Answer, Ask


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
    """Tells of requests: to the cache's histograms, to the count of HTTP requests, to the log."""

    def __init__(self, cache: LRUCache, http: HttpCounter, log: RequestLog) -> None:
        self._cache = cache
        self._http = http
        self._log = log
        self._count_hit = {status: http.counter(GENERATE_ROUTE, "POST", status) for status in HIT_STATUSES}

    def tell(self, told: Told, environ: Mapping[str, Any], route: str | None, status: int, size: int | None) -> None:
        """Tell of one request that was answered. Never fails: its failure is counted, and the caller is answered."""
        try:
            self._tell(told, environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""), route, status, size)
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

    def tell_hit(self, environ: Mapping[str, Any], request_id: str, started: float, ask: Ask, answer: Answer) -> None:
        """Tell of one hit: what `tell` does, for the many. Never fails."""
        try:
            if self._log.drops_hit():
                trace = environ.get("HTTP_TRACEPARENT")
                trace_id = parse_traceparent(trace) if trace else None
                self._cache.record_request(ask.route.name, "hit", answer.seconds, trace_id or request_id)
                self._count_hit[answer.status]()
                return
            told = Told(environ, request_id, started)
            told.asked(ask)
            told.answered(answer)
            self._tell(told, "POST", environ["PATH_INFO"], GENERATE_ROUTE, answer.status, len(answer.body))
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

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
