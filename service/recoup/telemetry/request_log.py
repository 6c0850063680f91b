"""One log line for one request; hits are limited to so many a second."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

#: Outcomes that the cache answered by itself: as many as there are requests, and one much like another.
_LIMITED = frozenset({"hit", "stale"})
#: Routes that machines request all day long: logged at debug level while they succeed.
_QUIET_ROUTES = frozenset({"/metrics", "/healthz", "/readyz"})
#: Characters of what a caller wrote.
_LONGEST = 256
#: Seconds by which sums of intervals may be off.
_ROUNDING = 1e-6


class RateLimit:
    """So many passes a second, and as many at once after a quiet second. Exact under threads.

    The generic cell rate algorithm (ITU-T I.371), in which a refusal is one comparison.

    Args:
        per_second: Passes a second; 0: none.
        clock: Monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / per_second if per_second else math.inf
        self._tolerance = (max(1.0, per_second) - 1.0) * self._interval + _ROUNDING if per_second else 0.0
        self._expected = -math.inf
        self._opens = -math.inf if per_second else math.inf
        self._clock = clock
        self._dropped = 0
        self._lock = threading.Lock()

    def closed_seconds(self) -> float:
        """Seconds for which there will surely be no pass; infinity: there never is one."""
        return max(0.0, self._opens - self._clock())

    def refused(self, count: int) -> None:
        """Count refusals by callers that did not even ask, because of `closed_seconds`."""
        with self._lock:
            self._dropped += count

    def take(self) -> int | None:
        """None: no pass now. Else how many were refused since the last pass."""
        now = self._clock()
        with self._lock:
            if now < self._opens:
                self._dropped += 1
                return None
            self._expected = max(self._expected, now) + self._interval
            self._opens = self._expected - self._tolerance
            dropped, self._dropped = self._dropped, 0
            return dropped


class RequestLog:
    """Writes the line of each request.

    Args:
        hits_per_second: Most lines a second for hits; 0: none. Misses and errors are always logged.
        clock: Monotonic seconds.
    """

    def __init__(self, hits_per_second: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._hits = RateLimit(hits_per_second, clock)
        self._log: Any = structlog.get_logger("recoup.request")

    def silent_seconds(self) -> float:
        """Seconds for which the line of a hit would surely not be written, so that nobody need put one together."""
        return self._hits.closed_seconds()

    def hits_dropped(self, count: int) -> None:
        """Note hits whose lines nobody put together, because of `silent_seconds`."""
        self._hits.refused(count)

    def log_request(
        self,
        *,
        request_id: str,
        trace_id: str | None,
        route: str | None,
        method: str,
        path: str,
        status: int,
        duration_seconds: float,
        bytes: int | None = None,
        pipeline: str | None = None,
        key: str | None = None,
        outcome: str | None = None,
        reason: str | None = None,
        bypass_reason: str | None = None,
        cost_seconds: float | None = None,
        error: str | None = None,
    ) -> None:
        """Log one request: event `request`, with these members where they have a value. Neither body nor token.

        Args:
            request_id: From `X-Request-Id`, or made.
            trace_id: From `traceparent`.
            route: The template of its route; None: no route serves its path.
            method: Its method.
            path: Its path, without the query.
            status: The status of its answer.
            duration_seconds: Seconds from its arrival to its answer.
            bytes: The length of its answer's body.
            pipeline: Which pipeline it asked.
            key: The key of its result.
            outcome: How its lookup ended.
            reason: Why it was a miss (`miss_reason` on the line).
            bypass_reason: Why it was a bypass.
            cost_seconds: Seconds that the generation of its result took.
            error: What went wrong, in words.
        """
        dropped = 0
        if outcome in _LIMITED and status < 400:
            passed = self._hits.take()
            if passed is None:
                return
            dropped = passed
        members = {
            "request_id": request_id,
            "trace_id": trace_id,
            "route": route,
            "method": method[:_LONGEST],
            "path": path[:_LONGEST],
            "status": status,
            "pipeline": pipeline,
            "key": key,
            "outcome": outcome,
            "miss_reason": reason,
            "bypass_reason": bypass_reason,
            "cost_seconds": cost_seconds,
            "duration_seconds": duration_seconds,
            "bytes": bytes,
            "error": error,
            "hits_not_logged": dropped or None,
        }
        write = getattr(self._log, _level(route, status))
        write("request", **{name: value for name, value in members.items() if value is not None})


def _level(route: str | None, status: int) -> str:
    if status >= 500:
        return "error" if status == 500 else "warning"
    return "debug" if route in _QUIET_ROUTES and status < 400 else "info"
