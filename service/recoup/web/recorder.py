"""What is recorded of each request: its count, what its caller waited, its log line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any

from recoup.cache import Lookup, ResultCache
from recoup.cache.buffer import Buffer
from recoup.cache.stats import MissReason, Outcome
from recoup.telemetry import HttpCounter, RequestLog, parse_traceparent

if TYPE_CHECKING:
    from recoup.web.generation.answer import GenerationResponse
    from recoup.web.generation.request import GenerationRequest, Headers

#: Hits that may wait to be recorded.
_MOST_HITS = 1024
#: Of a hit: its pipeline, its route, its method, its status, what its caller waited, and its trace id.
_Hit = tuple[str, str, str, int, float, str]

_log = logging.getLogger(__name__)


class RequestRecord:
    """What is known of one request, gathered while it is answered.

    Attributes:
        request_id: From `X-Request-Id`, or made.
        trace_id: From `traceparent`.
        started: When its body was there, of `time.perf_counter`: what a slow line takes is not the service's.

    Args:
        own_id: Its id.
        traceparent: That header.
        started: As above; None: now.
    """

    __slots__ = (
        "bypass_reason",
        "cost_seconds",
        "ended_at",
        "error",
        "first_byte_at",
        "key",
        "outcome",
        "pipeline",
        "reason",
        "request_id",
        "started",
        "trace_id",
    )

    def __init__(self, own_id: str, traceparent: str | None = None, started: float | None = None) -> None:
        self.started = time.perf_counter() if started is None else started
        self.request_id = own_id
        self.trace_id = parse_traceparent(traceparent)
        self.pipeline: str | None = None
        self.key: str | None = None
        self.outcome: Outcome | None = None
        self.reason: MissReason | None = None
        self.bypass_reason: str | None = None
        self.cost_seconds: float | None = None
        self.error: str | None = None
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None

    def streamed(self, lookup: Lookup[Any], first_byte_at: float, ended_at: float) -> None:
        """Note how a lookup ended whose answer began before it was whole, and when it began and was whole."""
        self.outcome = lookup.outcome
        self.reason = lookup.reason
        self.bypass_reason = lookup.bypass_reason
        self.first_byte_at, self.ended_at = first_byte_at, ended_at

    def asked(self, request: GenerationRequest) -> None:
        """Note what was asked for."""
        self.pipeline = request.route.name
        self.key = request.key

    def answered(self, response: GenerationResponse) -> None:
        """Note how the lookup ended."""
        self.outcome = response.outcome
        self.reason = response.reason
        self.bypass_reason = response.bypass_reason
        self.cost_seconds = response.cost_seconds


class RequestRecorder:
    """Records requests: in the cache's histograms, in the count of HTTP requests, in the log.

    Hits are many, and much like one another. Most leave one item in a buffer, and are recorded together: when it is
    full, and before statistics are read. Safe under threads.
    """

    def __init__(self, cache: ResultCache, http: HttpCounter, log: RequestLog) -> None:
        self._cache = cache
        self._http = http
        self._request_log = log
        self._silent_until = 0.0
        self._hits: Buffer[_Hit] = Buffer(self._settle, threading.Lock(), _MOST_HITS)
        self._warned: set[str] = set()
        cache.add_source(self.settle)

    def record(
        self, record: RequestRecord, method: str, path: str, route: str | None, status: int, size: int | None
    ) -> None:
        """Record one request that was answered. Never fails: its failure is counted, and the caller is answered."""
        try:
            self._record(record, method, path, route, status, size)
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

    def record_hit(
        self,
        scope: Mapping[str, Any],
        headers: Headers,
        own_id: str,
        route: str,
        started: float,
        request: GenerationRequest,
        response: GenerationResponse,
    ) -> None:
        """Record one hit: what `record` does, for the many. Never fails."""
        try:
            trace = headers.get(b"traceparent")
            traceparent = trace[0].decode("latin-1") if trace else None
            if started < self._silent_until:
                trace_id = (traceparent and parse_traceparent(traceparent)) or own_id
                hit = (request.route.name, route, scope["method"], response.status, response.seconds, trace_id)
                self._hits.append(hit)
                return
            record = RequestRecord(own_id, traceparent, started)
            record.asked(request)
            record.answered(response)
            self._record(record, scope["method"], scope["path"], route, response.status, len(response.body))
            self._silent_until = time.perf_counter() + self._request_log.silent_seconds()
        except Exception as error:  # noqa: BLE001  # fail open
            self._cache.note_internal_error("telemetry", error)

    def settle(self) -> None:
        """Record the hits in the buffer."""
        self._hits.drain()

    def _settle(self, hits: list[_Hit]) -> None:
        # Column by column, since each hit pays for this.
        names, routes, methods, statuses, waits, trace_ids = zip(*hits, strict=True)
        for name in set(names):
            if names.count(name) == len(names):
                self._cache.record_requests(name, "hit", waits, trace_ids)
            else:
                own = [pipeline == name for pipeline in names]
                self._cache.record_requests(name, "hit", [*compress(waits, own)], [*compress(trace_ids, own)])
        answers = [*zip(routes, methods, statuses, strict=True)]
        for answer in set(answers):
            self._http.add(*answer, answers.count(answer))
        self._request_log.hits_dropped(len(hits))

    def _record(
        self, record: RequestRecord, method: str, path: str, route: str | None, status: int, size: int | None
    ) -> None:
        seconds = (record.ended_at or time.perf_counter()) - record.started
        if record.outcome is not None and record.pipeline is not None:
            trace_id = record.trace_id or record.request_id
            if record.first_byte_at is None:
                self._cache.record_request(record.pipeline, record.outcome, seconds, trace_id)
            else:
                first = record.first_byte_at - record.started
                self._cache.record_stream(record.pipeline, record.outcome, first, seconds, trace_id)
        self._http.count(route, method, status)
        self._warn_of_bypass(record)
        self._request_log.log_request(
            request_id=record.request_id,
            trace_id=record.trace_id,
            route=route,
            method=method,
            path=path,
            status=status,
            duration_seconds=seconds,
            bytes=size,
            pipeline=record.pipeline,
            key=record.key,
            outcome=record.outcome,
            reason=record.reason,
            bypass_reason=record.bypass_reason,
            cost_seconds=record.cost_seconds,
            error=record.error,
        )

    def _warn_of_bypass(self, record: RequestRecord) -> None:
        """Say once for each pipeline that its callers' credentials keep it from being cached."""
        if record.bypass_reason != "credentials" or record.pipeline is None or record.pipeline in self._warned:
            return
        self._warned.add(record.pipeline)
        _log.warning(
            "requests with credentials bypass the cache",
            extra={
                "pipeline": record.pipeline,
                "bypass_reason": "credentials",
                "remedy": "name authorization and cookie in the pipeline's key_headers (each caller has results of "
                "their own) or ignore_headers (all callers share)",
            },
        )
