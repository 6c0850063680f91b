"""The endpoint of generation: how a request becomes an answer, from its first header to its last byte.

One coroutine serves a request. A hit is answered in it without waiting for anything but the body. A miss runs in a task
of its own: a generation belongs to its flight, not to the connection of the first caller, and goes on when that one
leaves. Followers wait for it in tasks as well, and hold no body: they share the leader's request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from structlog.contextvars import bind_contextvars

from recoup.cache import LRUCache, Mode
from recoup.errors import NotCachedError, RecoupError
from recoup.in_flight import Holding, InFlight
from recoup.pipelines.protocol import Pipeline
from recoup.telemetry import request_id
from recoup.web.generation.answer import SANDBOX, GenerationResponse, hit_response, lookup_response
from recoup.web.generation.body import BodyTimeouts, coding_of, decode, read_away, read_body
from recoup.web.generation.forms import form_file
from recoup.web.generation.lookups import CallerLeftError, LookupTasks
from recoup.web.generation.request import (
    GenerationRequest,
    Headers,
    Route,
    content_length,
    content_type,
    joined,
    media_type,
    read_request,
    select,
)
from recoup.web.generation.waiting import Admission
from recoup.web.problems import PATH_CHARACTERS, problem_document
from recoup.web.recorder import RequestRecord, RequestRecorder
from recoup.web.responses import RawHeaders, encode, raw_headers
from recoup.web.sending import AT_ONCE_BYTES, Deliveries, Receive, Send, send_at_once

#: Where generations are asked for, as a route and as the beginning of a path.
GENERATE_ROUTE = "/api/generate/<pipeline>"
GENERATE_PREFIX = b"/api/generate/"
#: A longer body is keyed in a thread, so that the loop never stands still for more than about a millisecond.
_KEYED_AT_ONCE_BYTES = 64 * 1024
_KEYING_THREADS = 2
#: What is recorded of a request whose caller has left before its answer (nginx's number for it).
_CALLER_LEFT = 499

#: Statuses of bodies that were refused before their end: over their limit, and over the budget's.
_REFUSED_WHILE_SENDING = (413, 503)

Scope = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of requests: seconds that followers wait, bytes of a body, seconds for its arrival."""

    wait_seconds: float | None
    max_body_bytes: int
    body_timeout_seconds: float


class GenerationEndpoint:
    """Answers generation requests from a cache and its pipelines. Of one event loop.

    Args:
        cache: Holds the results; every pipeline is registered with it.
        pipelines: By name.
        limits: The bounds of requests.
        admission: Bounds who waits.
        budget: Holds bodies and large results on their way.
        deliveries: Sends large results.
        recorder: Records requests; None: nobody does.
        clock: Seconds, for `Server-Timing`.
    """

    def __init__(
        self,
        cache: LRUCache,
        pipelines: Mapping[str, Pipeline],
        limits: Limits,
        *,
        admission: Admission,
        budget: InFlight,
        deliveries: Deliveries,
        recorder: RequestRecorder | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cache = cache
        self._limits = limits
        self._budget = budget
        self._deliveries = deliveries
        self._recorder = recorder
        self._clock = clock
        self._timeouts = BodyTimeouts(limits.body_timeout_seconds)
        self._keying = ThreadPoolExecutor(_KEYING_THREADS, thread_name_prefix="recoup-key")
        self._lookups = LookupTasks(cache, limits.wait_seconds, admission=admission, budget=budget)
        self._routes = {name.encode(): Route(pipeline) for name, pipeline in pipelines.items()}
        for route in self._routes.values():
            cache.register(route.name, route.limiter, currency=route.currency)

    def route(self, name: bytes) -> Route | None:
        """The pipeline of a name, as it is served; None: there is none."""
        return self._routes.get(name)

    def close(self) -> None:
        """End the threads that compute keys."""
        self._keying.shutdown(wait=False, cancel_futures=True)

    async def answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever comes of it."""
        headers = select(scope["headers"], route.wanted)
        own_id = request_id(_text(headers, b"x-request-id"))
        holding = Holding(self._budget, "bodies")
        started = self._clock()
        request = None
        try:
            body = await self._timeouts.within(
                read_body, receive, content_length(headers), self._limits.max_body_bytes, holding
            )
            started = self._clock()
            request = await self._read(route, headers, scope["query_string"], body, holding)
            del body
            response = self._try_hit(request, own_id, started)
            if response is None:
                bind_contextvars(request_id=own_id)
                response = await self._look_up(request, own_id, started, receive, holding)
            delivery = None if len(response.body) <= AT_ONCE_BYTES else self._deliveries.begin(response.body)
        except CallerLeftError:
            self._record_failure(scope, headers, own_id, started, route, request, _CALLER_LEFT, 0, CallerLeftError())
            return
        except Exception as error:  # noqa: BLE001  # every error has its answer
            bind_contextvars(request_id=own_id)
            failure = self._failure(scope, headers, own_id, started, route, request, error)
        else:
            self._record(scope, headers, own_id, started, request, response)
            if delivery is None:
                await send_at_once(send, response.status, response.headers, response.body)
            else:
                request = None  # its body need not wait for the reader
                holding.release()
                await delivery.send(receive, send, response.status, response.headers)
            return
        finally:
            holding.release()
        await send_at_once(send, *failure)
        if request is None and failure[0] in _REFUSED_WHILE_SENDING:
            await read_away(receive)

    # --- reading

    async def _read(
        self, route: Route, headers: Headers, query: bytes, body: bytes, holding: Holding
    ) -> GenerationRequest:
        """The request of a body; in a thread where it takes long."""
        kind = content_type(headers)
        coding = coding_of(joined(headers, b"content-encoding"))
        if route.takes_forms and media_type(kind) == "multipart/form-data":
            holding.grow(len(body))  # the form's file is a copy
        elif coding == "identity" and len(body) <= _KEYED_AT_ONCE_BYTES:
            return read_request(route, headers, query, body, kind)
        work = partial(self._read_slowly, route, headers, query, body, kind, coding, holding)
        return await asyncio.get_running_loop().run_in_executor(self._keying, work)

    def _read_slowly(
        self,
        route: Route,
        headers: Headers,
        query: bytes,
        body: bytes,
        kind: str | None,
        coding: str,
        holding: Holding,
    ) -> GenerationRequest:
        body = decode(body, coding, self._limits.max_body_bytes, holding)
        if kind is not None and route.takes_forms and media_type(kind) == "multipart/form-data":
            body, kind = form_file(body, kind)
        return read_request(route, headers, query, body, kind)

    # --- looking up

    def _try_hit(self, request: GenerationRequest, own_id: str, started: float) -> GenerationResponse | None:
        """The answer where it is stored, counted as a hit; None counts nothing."""
        if request.mode != "default" or request.max_age is not None:
            return None
        try:
            entry = self._cache.try_hit(request.key)
        except Exception as error:  # noqa: BLE001  # fail open: it is looked up again, and generated
            self._cache.note_internal_error("lookup", error)
            return None
        if entry is None:
            return None
        return hit_response(request, entry, self._cache.clock(), own_id, self._clock() - started)

    async def _look_up(
        self, request: GenerationRequest, own_id: str, started: float, receive: Receive, holding: Holding
    ) -> GenerationResponse:
        """The answer, from the cache or generated. Counts exactly one outcome."""
        mode = self._mode_by_age(request)
        if mode == "only_if_cached":
            lookup = await self._lookups.fetch(request, mode)
        else:
            lookup = await self._lookups.run(request, mode, receive, holding)
        seconds = self._clock() - started
        return lookup_response(request, lookup, own_id, seconds, refreshed=mode == "refresh")

    def _mode_by_age(self, request: GenerationRequest) -> Mode:
        """The mode of a request that says how old a result may be."""
        if request.max_age is None or request.mode == "bypass":
            return request.mode
        known = self._cache.inspect(request.key) if request.max_age else None
        if known is not None and known["age_seconds"] <= request.max_age:
            return request.mode
        if request.mode == "only_if_cached":
            raise NotCachedError("The request takes a stored result of a certain age or none, and there is none.")
        return "refresh"

    # --- recording, and failing

    def _record(
        self,
        scope: Scope,
        headers: Headers,
        own_id: str,
        started: float,
        request: GenerationRequest,
        response: GenerationResponse,
    ) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        if response.outcome == "hit":
            recorder.record_hit(scope, headers, own_id, GENERATE_ROUTE, started, request, response)
            return
        record = RequestRecord(own_id, _text(headers, b"traceparent"), started)
        record.asked(request)
        record.answered(response)
        recorder.record(record, scope["method"], scope["path"], GENERATE_ROUTE, response.status, len(response.body))

    def _failure(
        self,
        scope: Scope,
        headers: Headers,
        own_id: str,
        started: float,
        route: Route,
        request: GenerationRequest | None,
        error: Exception,
    ) -> tuple[int, RawHeaders, bytes]:
        """The answer of an error, recorded; the error forgets where it came from, and so whatever was held there."""
        status, document, own = problem_document(error, instance=quote(scope["path"], safe=PATH_CHARACTERS))
        body = encode(document)
        known = error if isinstance(error, RecoupError) else None
        self._record_failure(scope, headers, own_id, started, route, request, status, len(body), known)
        _forget_frames(error)
        length = (b"content-length", b"%d" % len(body))
        return status, [*raw_headers(own), length, (b"x-request-id", own_id.encode()), *SANDBOX], body

    def _record_failure(
        self,
        scope: Scope,
        headers: Headers,
        own_id: str,
        started: float,
        route: Route,
        request: GenerationRequest | None,
        status: int,
        size: int,
        error: BaseException | None,
    ) -> None:
        if self._recorder is None:
            return
        record = RequestRecord(own_id, _text(headers, b"traceparent"), started)
        record.pipeline = route.name
        if request is not None:
            record.asked(request)
        if error is not None:
            record.error = f"{type(error).__name__}: {error}"
        self._recorder.record(record, scope["method"], scope["path"], GENERATE_ROUTE, status, size)


def _forget_frames(error: BaseException | None) -> None:
    """Cut an error, and what led to it, from the frames that it went through: they hold bodies, and often the error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _text(headers: Headers, name: bytes) -> str | None:
    value = joined(headers, name)
    return None if value is None else value.decode("latin-1")
