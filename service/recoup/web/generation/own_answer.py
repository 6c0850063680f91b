"""Answers below a path of a pipeline's own: the upstream's, as they came, and what Recoup adds to them.

On a miss they have the upstream's status, headers and body; on a hit its status, its body, its `Content-Type` and the
headers that the pipeline keeps. Recoup adds `Cache-Status`, `Server-Timing`, `X-Recoup-Request-Id`, and `Age` on a hit.
"""

from __future__ import annotations

from typing import Any

from recoup.cache import CacheEntry, Lookup
from recoup.errors import OwnAnswer
from recoup.pipelines.protocol import Result
from recoup.pipelines.stream import Stream
from recoup.web.generation.answer import GenerationResponse, kept_out_by
from recoup.web.generation.cache_headers import CACHE_NAME, cache_status, hit_status, hit_timing, server_timing
from recoup.web.generation.request import GenerationRequest
from recoup.web.problem_types import slug_of
from recoup.web.responses import RawHeaders

REQUEST_ID = b"x-recoup-request-id"
#: Statuses whose answers have no body, and say nothing of its length.
_WITHOUT_CONTENT = (204, 205, 304)
#: Of a refusal that answers several callers, what is its first caller's alone.
_FIRST_CALLERS = (b"set-cookie",)


def own_hit(
    request: GenerationRequest, entry: CacheEntry[Any], now: float, own_id: str, seconds: float
) -> GenerationResponse:
    """The answer from an entry; `now` is of the cache's clock."""
    result: Result = entry.value
    added = _added(
        hit_status(entry.expires_at - now, request.key),
        hit_timing("hit", seconds, entry.cost_seconds),
        own_id,
        max(0.0, now - entry.created_at),
    )
    headers = [*_stored_headers(result), *added]
    return GenerationResponse(result.status, headers, result.body, "hit", seconds, entry.cost_seconds)


def own_lookup(
    request: GenerationRequest,
    lookup: Lookup[Any],
    stream: Stream | None,
    own_id: str,
    seconds: float,
    *,
    refreshed: bool,
) -> GenerationResponse:
    """The answer from a lookup whose result is whole; `stream`: what it came by, for its own caller."""
    result: Result = lookup.value
    added = _added(
        cache_status(lookup, request.key, refreshed=refreshed, kept_out=kept_out_by(result)),
        server_timing(lookup, seconds),
        own_id,
        lookup.age_seconds if lookup.outcome in ("hit", "stale") else None,
    )
    if stream is None or lookup.outcome not in ("miss", "bypass"):
        headers = [*_stored_headers(result), *added]
    else:
        headers = [*stream.headers, *added]
        if not stream.has_length and result.status not in _WITHOUT_CONTENT:
            headers.append((b"content-length", b"%d" % len(result.body)))
    return GenerationResponse(
        result.status,
        headers,
        result.body,
        lookup.outcome,
        seconds,
        lookup.cost_seconds,
        lookup.reason,
        lookup.bypass_reason,
    )


def own_beginning(
    request: GenerationRequest, lookup: Lookup[Any], stream: Stream, own_id: str, seconds: float, *, refreshed: bool
) -> tuple[int, RawHeaders]:
    """The status and the headers of an answer whose body is still coming: nobody knows yet whether it is stored."""
    added = _added(
        cache_status(lookup, request.key, refreshed=refreshed, kept_out=kept_out_by(stream)),
        f'cache;desc="{lookup.outcome}";dur={seconds * 1e3:.3f}',
        own_id,
        None,
    )
    if lookup.outcome in ("miss", "bypass"):
        return stream.status, [*stream.headers, *added]
    lengths = [line for line in stream.headers if line[0] == b"content-length"]
    return stream.status, [*_kept_headers(stream.head), *lengths, *added]


def own_refusal(
    request: GenerationRequest, answer: OwnAnswer, own_id: str, seconds: float, *, first: bool
) -> RawHeaders:
    """The headers of the upstream's own refusal; `first`: it is its own caller's."""
    headers = [line for line in answer.headers if first or line[0] not in _FIRST_CALLERS]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    forwarded = f"fwd=bypass; detail={request.bypass_reason}" if request.mode == "bypass" else "fwd=uri-miss"
    status = f'{CACHE_NAME}; {forwarded}; fwd-status={answer.status}; key="{request.key}"'
    timing = f'cache;desc="{"miss" if first else "coalesced"}";dur={seconds * 1e3:.3f}'
    return [*headers, *_added(status, timing, own_id, None)]


def own_problem(document: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """A problem that clients of such APIs read, too: with a member `error` of a message, a type and a code."""
    kind = "invalid_request_error" if document["status"] < 500 else "server_error"
    code = slug_of(error).replace("-", "_") if document["status"] != 500 else "internal_error"
    return {**document, "error": {"message": document["detail"], "type": kind, "code": code}}


def _added(status: str, timing: str, own_id: str, age: float | None) -> RawHeaders:
    headers = [
        (b"cache-status", status.encode()),
        (b"server-timing", timing.encode()),
        (REQUEST_ID, own_id.encode()),
    ]
    if age is not None:
        headers.append((b"age", b"%d" % age))
    return headers


def _kept_headers(result: Result) -> RawHeaders:
    own = [(b"content-type", result.content_type.encode("latin-1", "replace"))]
    return [*own, *(line for line in result.headers if line[0] != b"content-type")]


def _stored_headers(result: Result) -> RawHeaders:
    return [*_kept_headers(result), (b"content-length", b"%d" % len(result.body))]
