"""What a generation request is answered: status, headers as bytes, body."""

from __future__ import annotations

from typing import Any, NamedTuple

from recoup.cache import CacheEntry, Lookup
from recoup.cache.stats import MissReason, Outcome
from recoup.pipelines.protocol import Result
from recoup.web.generation.cache_headers import cache_status, hit_status, hit_timing, matches, server_timing
from recoup.web.generation.request import GenerationRequest
from recoup.web.responses import RawHeaders

#: A result may be a page with a script in it, made by who knows whom. It must not run as a page of this origin, from
#: where it could call the management API; so a browser gives it an origin of its own, and takes it for what it says.
SANDBOX: RawHeaders = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]


class GenerationResponse(NamedTuple):
    """The answer of one generation request, and what is recorded of it; `seconds` is what it took."""

    status: int
    headers: RawHeaders
    body: bytes
    outcome: Outcome
    seconds: float
    cost_seconds: float
    reason: MissReason | None = None
    bypass_reason: str | None = None


def hit_response(
    request: GenerationRequest, entry: CacheEntry, now: float, request_id: str, seconds: float
) -> GenerationResponse:
    """The answer from an entry; `now` is of the cache's clock."""
    headers = _headers(
        request,
        hit_status(entry.expires_at - now, request.key),
        hit_timing("hit", seconds, entry.cost_seconds),
        request_id,
        max(0.0, now - entry.created_at),
    )
    status, body = _content(request, entry.value, headers)
    return GenerationResponse(status, headers, body, "hit", seconds, entry.cost_seconds)


def lookup_response(
    request: GenerationRequest, lookup: Lookup[Any], request_id: str, seconds: float, *, refreshed: bool
) -> GenerationResponse:
    """The answer from a lookup, however it ended."""
    headers = _headers(
        request,
        cache_status(lookup, request.key, refreshed=refreshed, kept_out=kept_out_by(lookup.value)),
        server_timing(lookup, seconds),
        request_id,
        lookup.age_seconds if lookup.outcome in ("hit", "stale") else None,
    )
    status, body = _content(request, lookup.value, headers)
    return GenerationResponse(
        status, headers, body, lookup.outcome, seconds, lookup.cost_seconds, lookup.reason, lookup.bypass_reason
    )


def kept_out_by(result: Any) -> str:
    """What keeps a result from being stored, as a word for `Cache-Status`; `max-age=0` is no token."""
    word: str = getattr(result, "kept_out", "")
    return f'"{word}"' if "=" in word else word


def _headers(request: GenerationRequest, status: str, timing: str, request_id: str, age: float | None) -> RawHeaders:
    headers = [
        (b"cache-status", status.encode()),
        (b"server-timing", timing.encode()),
        (b"x-request-id", request_id.encode()),
        *SANDBOX,
    ]
    if age is not None:
        headers.append((b"age", b"%d" % age))
    if request.route.vary:
        headers.append((b"vary", request.route.vary))
    return headers


def _content(request: GenerationRequest, result: Any, headers: RawHeaders) -> tuple[int, bytes]:
    """The status and the body, and their headers added."""
    value: Result = result
    etag = value.etag.encode()
    headers.append((b"etag", etag))
    if request.if_none_match is not None and matches(request.if_none_match, etag):
        return 304, b""
    body = value.body
    # An encoded result was generated below the pipeline's own path, and is what it says it is here, too.
    headers += [line for line in value.headers if line[0] == b"content-encoding"]
    headers.append((b"content-type", value.content_type.encode("latin-1", "replace")))
    headers.append((b"content-length", b"%d" % len(body)))
    return 200, body
