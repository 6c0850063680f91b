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

from recoup.cache import Lookup, ResultCache
from recoup.cache.stats import Outcome
from recoup.errors import QueueFullError, RecoupError, StreamCutError, UpstreamError
from recoup.in_flight import Holding, InFlight
from recoup.pipelines.protocol import Pipeline, Result
from recoup.pipelines.quota_options import NO_QUOTA, PipelineQuota
from recoup.pipelines.refusals import error_of
from recoup.pipelines.stream import Stream
from recoup.telemetry import request_id
from recoup.web.generation.answer import SANDBOX, GenerationResponse, hit_response, lookup_response
from recoup.web.generation.asked import Asked
from recoup.web.generation.body import BodyTimeouts, coding_of, decode, read_away, read_body
from recoup.web.generation.cache_headers import cache_status, hit_status
from recoup.web.generation.door import Door
from recoup.web.generation.forms import form_file
from recoup.web.generation.freshness import asks_for_new, mode_by_age
from recoup.web.generation.lookups import Beginning, CallerLeftError, LookupTasks, Whole
from recoup.web.generation.own_answer import (
    REQUEST_ID,
    own_beginning,
    own_hit,
    own_lookup,
    own_problem,
    own_refusal,
)
from recoup.web.generation.request import (
    GenerationRequest,
    Headers,
    Route,
    content_length,
    content_type,
    joined,
    media_type,
    read_request,
    text,
)
from recoup.web.generation.streaming import Sent, StreamSender
from recoup.web.generation.waiting import Admission
from recoup.web.problems import PATH_CHARACTERS, problem_document
from recoup.web.recorder import RequestRecorder
from recoup.web.responses import RawHeaders, encode, raw_headers
from recoup.web.sending import AT_ONCE_BYTES, Caller, Deliveries, Receive, Send, send_at_once

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
        cache: ResultCache,
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
        self._doors = {name.encode(): Door(Route(pipeline), GENERATE_ROUTE) for name, pipeline in pipelines.items()}
        for door in self._doors.values():
            compress: str = getattr(door.route.pipeline, "compress", "auto")
            cache.register(
                door.route.name, door.route.limiter, currency=door.route.currency, compress=compress == "auto"
            )
            quota: PipelineQuota = getattr(door.route.pipeline, "quota", NO_QUOTA)
            if quota != NO_QUOTA:
                cache.set_quota(door.route.name, **quota._asdict())

    def door(self, name: bytes) -> Door | None:
        """The pipeline of a name, as it is served under `/api/generate/`; None: there is none."""
        return self._doors.get(name)

    def route(self, name: str) -> Route:
        """The pipeline of a name, as it is served."""
        return self._doors[name.encode()].route

    def close(self) -> None:
        """End the threads that compute keys."""
        self._keying.shutdown(wait=False, cancel_futures=True)

    async def answer(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever comes of it."""
        headers = door.select(scope["headers"])
        own_id = request_id(text(headers, b"x-request-id"))
        holding = Holding(self._budget, "bodies")
        asked = Asked(door, scope, headers, own_id, self._clock())
        caller = Caller(receive)
        try:
            body = await self._timeouts.within(
                read_body, receive, content_length(headers), self._limits.max_body_bytes, holding
            )
            asked.started = self._clock()
            request = asked.request = await self._read(door, headers, own_id, scope["query_string"], body, holding)
            del body
            response: GenerationResponse | Beginning | None = self._try_hit(asked, request, holding)
            if response is None:
                bind_contextvars(request_id=own_id)
                response = await self._look_up(asked, request, caller, holding)
            if isinstance(response, Beginning):
                await self._stream(asked, response, caller, send)
                return
            delivery = None if len(response.body) <= AT_ONCE_BYTES else self._deliveries.begin(response.body)
        except CallerLeftError:
            self._record_failure(asked, _CALLER_LEFT, 0, CallerLeftError())
            return
        except Exception as error:  # noqa: BLE001  # every error has its answer
            bind_contextvars(request_id=own_id)
            failure = self._failure(asked, error)
        else:
            self._record(asked, request, response)
            if delivery is None or scope["method"] == "HEAD":
                if delivery is not None:
                    self._deliveries.end(delivery)
                shown = b"" if scope["method"] == "HEAD" else response.body
                await send_at_once(send, response.status, response.headers, shown)
            else:
                asked.request = request = None  # type: ignore[assignment]  # its body need not wait for the reader
                holding.release()
                await delivery.send(caller, send, response.status, response.headers)
            return
        finally:
            holding.release()
            caller.close()
        await send_at_once(send, *failure)
        if asked.request is None and failure[0] in _REFUSED_WHILE_SENDING:
            await read_away(receive)

    async def _stream(self, asked: Asked, beginning: Beginning, caller: Caller, send: Send) -> None:
        """Answer with what is still coming."""
        request, lookup = asked.request, beginning.lookup
        assert request is not None  # noqa: S101  # it was looked up
        stream: Stream = lookup.value
        try:
            sender = StreamSender(beginning.reader, self._deliveries, self._budget, self._clock)
            refreshed = asks_for_new(request)
            seconds = self._clock() - asked.started
            status, headers = own_beginning(request, lookup, stream, asked.own_id, seconds, refreshed=refreshed)
            sent = await sender.send(caller, send, status, headers, body=asked.scope["method"] != "HEAD")
        finally:
            beginning.close()
        if sent.cut and not sent.begun:
            raise StreamCutError(sent.cut)
        ended_at = max(sent.first_byte_at or asked.started, stream.ended_at or 0.0)
        self._record_stream(asked, beginning, status, sent, ended_at)

    # --- reading

    async def _read(
        self, door: Door, headers: Headers, own_id: str, query: bytes, body: bytes, holding: Holding
    ) -> GenerationRequest:
        """The request of a body; in a thread where it takes long."""
        kind = content_type(headers)
        coding = coding_of(joined(headers, b"content-encoding"))
        takes_form = door.rest is None and door.route.takes_forms and media_type(kind) == "multipart/form-data"
        read = partial(
            read_request,
            door.route,
            headers,
            door.named(headers),
            query,
            direct=door.direct(headers, query, own_id),
        )
        if takes_form:
            holding.grow(len(body))  # the form's file is a copy
        elif coding == "identity" and len(body) <= _KEYED_AT_ONCE_BYTES:
            return read(body, kind)
        work = partial(self._read_slowly, read, body, kind, coding, holding, takes_form=takes_form)
        return await asyncio.get_running_loop().run_in_executor(self._keying, work)

    def _read_slowly(
        self,
        read: Callable[[bytes, str | None], GenerationRequest],
        body: bytes,
        kind: str | None,
        coding: str,
        holding: Holding,
        *,
        takes_form: bool,
    ) -> GenerationRequest:
        body = decode(body, coding, self._limits.max_body_bytes, holding)
        if kind is not None and takes_form:
            body, kind = form_file(body, kind)
        return read(body, kind)

    # --- looking up

    def _try_hit(self, asked: Asked, request: GenerationRequest, holding: Holding) -> GenerationResponse | None:
        """The answer where it is stored, counted as a hit, or as stale; None counts nothing."""
        if request.mode != "default" or request.max_age is not None:
            return None
        try:
            entry = self._cache.try_hit(request.key)
        except Exception as error:  # noqa: BLE001  # fail open: it is looked up again, and generated
            self._cache.note_internal_error("lookup", error)
            return None
        if entry is None:
            return self._try_stale(asked, request, holding)
        now, below_path = self._cache.clock(), asked.door.rest is not None
        if now >= entry.refresh_at and (claim := self._cache.claim_refresh(entry)) is not None:
            self._lookups.begin_refresh(request, claim, holding)
        if not below_path and entry.value.refused:
            raise self._stored_refusal(asked, entry.value, "hit", hit_status(entry.expires_at - now, request.key))
        respond = own_hit if below_path else hit_response
        return respond(request, entry, now, asked.own_id, self._clock() - asked.started)

    def _try_stale(self, asked: Asked, request: GenerationRequest, holding: Holding) -> GenerationResponse | None:
        """The answer of what has expired and still answers at once, even where there is no room to wait."""
        stale = self._cache.try_stale(request.key)
        if stale is None:
            return None
        lookup, claim = stale
        if claim is not None:
            self._lookups.begin_refresh(request, claim, holding)
        return self._respond(asked, request, Whole(lookup, None), refreshed=False)

    async def _look_up(
        self, asked: Asked, request: GenerationRequest, caller: Caller, holding: Holding
    ) -> GenerationResponse | Beginning:
        """The answer, from the cache or generated, or its beginning. Counts exactly one outcome."""
        mode = mode_by_age(self._cache, request)
        below_path = asked.door.rest is not None
        if mode == "only_if_cached":
            asked.begins("miss")
            whole = Whole(await self._lookups.fetch(request, mode), None)
        else:
            try:
                result = await self._lookups.run(request, mode, caller, holding, asked.begins, early=below_path)
            except QueueFullError as error:
                # It may be the service's own, before any lookup. A lookup has looked for a stale result itself.
                stale = None if asked.outcome or mode != "default" else self._stale_instead(request, error)
                if stale is None:
                    raise
                result = Whole(stale, None)
            if isinstance(result, Beginning):
                return result
            whole = result
        return self._respond(asked, request, whole, refreshed=mode == "refresh")

    def _respond(
        self, asked: Asked, request: GenerationRequest, whole: Whole, *, refreshed: bool
    ) -> GenerationResponse:
        """The answer of a lookup that has ended."""
        lookup, seconds = whole.lookup, self._clock() - asked.started
        if asked.door.rest is not None:
            return own_lookup(request, lookup, whole.stream, asked.own_id, seconds, refreshed=refreshed)
        if lookup.value.refused:
            status = cache_status(lookup, request.key, refreshed=refreshed)
            raise self._stored_refusal(asked, lookup.value, lookup.outcome, status)
        return lookup_response(request, lookup, asked.own_id, seconds, refreshed=refreshed)

    @staticmethod
    def _stored_refusal(asked: Asked, refused: Result, outcome: Outcome, status: str) -> UpstreamError:
        """The error that a refusal is answered with that came from the store, or went there."""
        asked.begins(outcome)
        asked.cache_status = status
        return error_of(refused)

    def _stale_instead(self, request: GenerationRequest, error: Exception) -> Lookup[Any] | None:
        return None if request.max_age is not None else self._cache.answer_instead(request.key, error)

    # --- recording, and failing

    def _record(self, asked: Asked, request: GenerationRequest, response: GenerationResponse) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        door, scope = asked.door, asked.scope
        if response.outcome == "hit":
            recorder.record_hit(scope, asked.headers, asked.own_id, door.template, asked.started, request, response)
            return
        record = asked.record()
        record.answered(response)
        recorder.record(record, scope["method"], scope["path"], door.template, response.status, len(response.body))

    def _record_stream(self, asked: Asked, beginning: Beginning, status: int, sent: Sent, ended_at: float) -> None:
        """Record a request whose answer began before it was whole, however it ended: its caller waited all the same."""
        if self._recorder is None:
            return
        record = asked.record()
        if sent.left:
            status, ended_at, record.error = _CALLER_LEFT, self._clock(), "CallerLeftError: "
        elif sent.cut:
            record.error = f"StreamCutError: {sent.cut}"
        record.streamed(beginning.lookup, sent.first_byte_at or ended_at, ended_at)
        scope = asked.scope
        self._recorder.record(record, scope["method"], scope["path"], asked.door.template, status, sent.size)

    def _failure(self, asked: Asked, error: Exception) -> tuple[int, RawHeaders, bytes]:
        """The answer of an error, recorded; the error forgets where it came from, and so whatever was held there."""
        known = error if isinstance(error, RecoupError) else None
        own = error.own_answer if isinstance(error, UpstreamError) else None
        if own is not None and asked.request is not None:
            self._record_failure(asked, own.status, len(own.body), known)
            seconds = self._clock() - asked.started
            headers = own_refusal(asked.request, own, asked.own_id, seconds, first=error.__cause__ is None)
            _forget_frames(error)
            return own.status, headers, b"" if asked.scope["method"] == "HEAD" else own.body
        status, document, raw = problem_document(error, instance=quote(asked.scope["path"], safe=PATH_CHARACTERS))
        below_path = asked.door.rest is not None
        body = encode(own_problem(document, error) if below_path else document)
        self._record_failure(asked, status, len(body), known)
        _forget_frames(error)
        length = (b"content-length", b"%d" % len(body))
        name = REQUEST_ID if below_path else b"x-request-id"
        shown = b"" if asked.scope["method"] == "HEAD" else body
        own_headers = [length, (name, asked.own_id.encode()), *SANDBOX]
        if asked.cache_status:
            own_headers.append((b"cache-status", asked.cache_status.encode()))
        return status, [*raw_headers(raw), *own_headers], shown

    def _record_failure(self, asked: Asked, status: int, size: int, error: BaseException | None) -> None:
        if self._recorder is None:
            return
        record = asked.record()
        record.outcome = self._outcome_of_failure(asked)
        if error is not None:
            record.error = f"{type(error).__name__}: {error}"
        scope = asked.scope
        self._recorder.record(record, scope["method"], scope["path"], asked.door.template, status, size)

    def _outcome_of_failure(self, asked: Asked) -> Outcome | None:
        """What a lookup that failed is counted as: its caller waited all the same."""
        if asked.outcome is None or self._cache.enabled:
            return asked.outcome
        return "bypass"


def _forget_frames(error: BaseException | None) -> None:
    """Cut an error, and what led to it, from the frames that it went through: they hold bodies, and often the error."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
