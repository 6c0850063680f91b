"""What a generation request is: its headers as bytes, its query, its body, and the key that it comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl

from recoup.cache import DEFAULT, NEVER_STALE, ConcurrencyLimiter, Mode, Staleness, digest
from recoup.cache.config import Default
from recoup.cache.stats import BypassReason
from recoup.errors import BadRequestError, NotCachedError, TooLargeError
from recoup.pipelines.protocol import Direct, Pipeline, Prepared, Request
from recoup.web.generation.cache_headers import NO_DIRECTIVES, Directives, request_directives

#: Headers that name a caller: with one of them, a result may be that caller's own.
CALLER_HEADERS = ("authorization", "cookie")
#: What the door itself reads of a request.
_OWN_HEADERS = (
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"if-none-match",
    b"traceparent",
    b"x-request-id",
)
#: Query members past this number are an attack, not a request.
_MOST_MEMBERS = 256
#: Few queries are seen again and again; longer ones are not worth keeping.
_KEPT_QUERIES = 256
_LONGEST_KEPT = 512

RawHeaders = Iterable[tuple[bytes, bytes]]
Headers = dict[bytes, tuple[bytes, ...]]
Query = Mapping[str, tuple[str, ...]]


class Route:
    """One pipeline as it is served: what of it is needed for every request, worked out once."""

    __slots__ = (
        "bypassing",
        "currency",
        "headers",
        "key_headers",
        "limiter",
        "name",
        "pipeline",
        "refreshable",
        "sort_header",
        "staleness",
        "takes_forms",
        "ttl_seconds",
        "vary",
        "version",
        "wanted",
        "wanted_below_path",
    )

    def __init__(self, pipeline: Pipeline) -> None:
        named = sorted({header.lower() for header in (*pipeline.key_headers, *pipeline.ignore_headers)})
        self.pipeline = pipeline
        self.name = pipeline.name
        self.version = pipeline.version
        self.currency: str | None = getattr(pipeline, "currency", None)
        self.limiter = ConcurrencyLimiter(pipeline.max_concurrent, pipeline.max_waiting)
        self.ttl_seconds: float | Default | None = (
            DEFAULT if pipeline.ttl_seconds is None else pipeline.ttl_seconds or None
        )
        self.staleness: Staleness = getattr(pipeline, "staleness", NEVER_STALE)
        # A caller's own headers go along in any case: where they are not named, the request is a bypass.
        self.headers = tuple((header.encode(), header) for header in sorted({*named, *CALLER_HEADERS}))
        self.key_headers = tuple(sorted(header.lower() for header in pipeline.key_headers))
        self.bypassing = tuple(header for header in CALLER_HEADERS if header not in named)
        self.refreshable = getattr(pipeline, "refresh", "anyone") == "anyone"
        self.vary = ", ".join(self.key_headers).encode()
        self.wanted = frozenset((*_OWN_HEADERS, *(raw for raw, _ in self.headers)))
        #: Where a pipeline is given all headers: what becomes of one.
        self.sort_header: Callable[[bytes], str] | None = getattr(pipeline, "sort_header", None)
        self.wanted_below_path = None if self.sort_header else frozenset((*self.wanted, b"tracestate"))
        # A form's file field is a convenience for images; any other pipeline gets a form as it came.
        self.takes_forms = any(str(media).startswith("image/") for media in pipeline.describe().get("accepts", ()))


class GenerationRequest(NamedTuple):
    """A generation request that was checked, and its key; `bypass_reason` where its mode is `bypass`."""

    route: Route
    key: str
    prepared: Prepared
    mode: Mode
    bypass_reason: BypassReason
    max_age: int | None
    if_none_match: bytes | None


def select(headers: RawHeaders, wanted: frozenset[bytes]) -> Headers:
    """The headers with these names, each with all its values in their order."""
    chosen: Headers = {}
    for name, value in headers:
        if name in wanted:
            chosen[name] = (*chosen[name], value) if name in chosen else (value,)
    return chosen


def joined(headers: Headers, name: bytes) -> bytes | None:
    """All values of a header as one, as RFC 9110 (section 5.3) joins them; None: it is not there."""
    values = headers.get(name)
    if values is None:
        return None
    return values[0] if len(values) == 1 else b", ".join(values)


def text(headers: Headers, name: bytes) -> str | None:
    """All values of a header as one text, as Latin-1; None: it is not there."""
    value = joined(headers, name)
    return None if value is None else value.decode("latin-1")


def content_type(headers: Headers) -> str | None:
    """The media type of the body with its parameters; None: there is none.

    Raises:
        BadRequestError: There are two.
    """
    values = headers.get(b"content-type")
    if values is None:
        return None
    if len(values) > 1:
        raise BadRequestError("The request has more than one Content-Type.")
    return values[0].decode("utf-8", "surrogateescape")


def content_length(headers: Headers) -> int | None:
    """The length that a request gives for its body; None: it gives none.

    Raises:
        BadRequestError: It is not one number.
    """
    values = headers.get(b"content-length")
    if values is None:
        return None
    text = values[0]
    if len(values) > 1 or not text.isdigit() or len(text) > 20:
        raise BadRequestError("Content-Length must be a number of bytes.")
    return int(text)


def read_request(
    route: Route,
    headers: Headers,
    named: Mapping[str, tuple[bytes, ...]],
    query_string: bytes,
    body: bytes,
    kind: str | None,
    direct: Direct | None = None,
) -> GenerationRequest:
    """Check a request and compute its key. May take long for a large body.

    Args:
        route: The pipeline.
        headers: At least those of `route.wanted`.
        named: Those that the pipeline is given by name.
        query_string: As it came.
        body: Whole, and decoded.
        kind: Its content type.
        direct: What is passed on as it came.

    Raises:
        RequestError: It is not to be generated.
    """
    directives = _directives(headers.get(b"cache-control"))
    mode, bypass_reason = _mode(route, directives, headers)
    prepared = route.pipeline.prepare(Request(body, media_type(kind), parse_query(query_string), named, direct))
    return GenerationRequest(
        route,
        _key(route, prepared, named),
        prepared,
        mode,
        bypass_reason,
        directives.max_age if route.refreshable or directives.only_if_cached else None,
        joined(headers, b"if-none-match"),
    )


def _directives(values: tuple[bytes, ...] | None) -> Directives:
    return NO_DIRECTIVES if values is None else request_directives(b", ".join(values).decode("latin-1"))


def _key(route: Route, prepared: Prepared, headers: Mapping[str, tuple[bytes, ...]]) -> str:
    if not route.key_headers:
        return digest(route.name, route.version, prepared.canonical)
    # Whatever a pipeline makes of them, callers whose key headers differ in any byte never share a key.
    keyed = [headers.get(name) for name in route.key_headers]
    return digest(route.name, route.version, prepared.canonical, keyed)


def _mode(route: Route, directives: Directives, headers: Headers) -> tuple[Mode, BypassReason]:
    """The mode of a request, and why it is a bypass if it is one."""
    names_caller = any(name.encode() in headers for name in route.bypassing)
    if not directives.no_store and not names_caller:
        return ("only_if_cached" if directives.only_if_cached else "default"), "request"
    if directives.only_if_cached:
        raise NotCachedError("The request takes a stored result or none, and is not to be answered from the store.")
    return "bypass", "request" if directives.no_store else "credentials"


def too_large(limit_bytes: int) -> TooLargeError:
    """The refusal of a body over the limit."""
    return TooLargeError(f"The body is over the limit of {limit_bytes / 2**20:.6g} MB ({limit_bytes} bytes).")


def parse_query(text: bytes) -> Query:
    """The members of a query string by name, each with all its values in their order.

    Raises:
        BadRequestError: It is not UTF-8, or has too many members.
    """
    if not text:
        return _EMPTY
    return _kept_query(text) if len(text) <= _LONGEST_KEPT else _query(text)


def _query(text: bytes) -> Query:
    members: dict[str, tuple[str, ...]] = {}
    try:
        # Two queries with different bytes must not become the same text, so nothing is replaced.
        pairs = parse_qsl(text.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_MEMBERS)
    except UnicodeError:
        raise BadRequestError("The query is not UTF-8.") from None
    except ValueError:
        raise BadRequestError(f"The query has more than {_MOST_MEMBERS} members.") from None
    for name, value in pairs:
        members[name] = (*members.get(name, ()), value)
    return MappingProxyType(members)


_EMPTY: Query = MappingProxyType({})
_kept_query = lru_cache(maxsize=_KEPT_QUERIES)(_query)


@lru_cache(maxsize=_KEPT_QUERIES)
def _media_type(header: str) -> str | None:
    return header.partition(";")[0].strip().lower() or None


def media_type(content_type: str | None) -> str | None:
    """The media type of a `Content-Type` header: without parameters, in lower case; None where there is none."""
    return _media_type(content_type) if content_type else None
