"""How a generation request becomes an answer: the one definition of it, free of any web framework.

The lean entry (`front`) and the Flask view (`generating`) both go through `Generation`, so a hit has the same headers
and the same body whichever of them answers it. What both have in hand is a WSGI environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from recoup.cache import DEFAULT, CacheEntry, ConcurrencyLimiter, Lookup, LRUCache, Mode, digest
from recoup.cache.stats import MissReason, Outcome
from recoup.errors import GenerationFailedError, NotCachedError, NotFoundError, RecoupError
from recoup.pipelines.protocol import Pipeline, Prepared, Request, Result
from recoup.web.cache_headers import (
    NO_DIRECTIVES,
    Directives,
    cache_status,
    hit_status,
    hit_timing,
    matches,
    request_directives,
    server_timing,
)
from recoup.web.limits import WaitingRoom
from recoup.web.reading import media_type, parse_query

#: Where generations are asked for, as a route and as the beginning of a path.
GENERATE_ROUTE = "/api/generate/<pipeline>"
GENERATE_PREFIX = "/api/generate/"
#: Headers that name a caller: with one of them, a result may be that caller's own.
CALLER_HEADERS = ("authorization", "cookie")

Environ = dict[str, Any]
Headers = list[tuple[str, str]]


class Route:
    """One pipeline as it is served: what of it is needed for every request, worked out once."""

    __slots__ = (
        "callers",
        "gate",
        "headers",
        "key_headers",
        "name",
        "pipeline",
        "takes_forms",
        "ttl_seconds",
        "vary",
        "version",
    )

    def __init__(self, pipeline: Pipeline) -> None:
        named = sorted({header.lower() for header in (*pipeline.key_headers, *pipeline.ignore_headers)})
        self.pipeline = pipeline
        self.name = pipeline.name
        self.version = pipeline.version
        self.gate = ConcurrencyLimiter(pipeline.max_concurrent, pipeline.max_waiting)
        self.ttl_seconds = DEFAULT if pipeline.ttl_seconds is None else pipeline.ttl_seconds or None
        # A caller's own headers go along in any case: where they are not named, the request is a bypass.
        self.headers = tuple((header, _variable(header)) for header in sorted({*named, *CALLER_HEADERS}))
        self.key_headers = tuple(sorted(header.lower() for header in pipeline.key_headers))
        self.callers = tuple(_variable(header) for header in CALLER_HEADERS if header not in named)
        self.vary = ", ".join(self.key_headers)
        # A form's file field is a convenience for images; any other pipeline gets a form as it came.
        self.takes_forms = any(str(media).startswith("image/") for media in pipeline.describe().get("accepts", ()))


def _variable(header: str) -> str:
    """The name of a header in a WSGI environment."""
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"


class Ask(NamedTuple):
    """A generation request that was checked, and its key."""

    route: Route
    key: str
    prepared: Prepared
    mode: Mode
    max_age: int | None
    if_none_match: str | None


class Answer(NamedTuple):
    """What a generation request is answered, and what is told of it; `seconds` is what it took."""

    status: int
    headers: Headers
    body: bytes
    outcome: Outcome
    seconds: float
    cost_seconds: float
    reason: MissReason | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """How long followers wait for another's generation, in seconds, and how many requests may wait in all."""

    seconds: float | None
    room: WaitingRoom


class Generation:
    """Answers generation requests from a cache and its pipelines.

    Args:
        cache: Holds the results; every pipeline is registered with it.
        pipelines: By name.
        wait: The bounds of waiting.
        clock: Seconds, for `Server-Timing`.
    """

    def __init__(
        self,
        cache: LRUCache,
        pipelines: Mapping[str, Pipeline],
        wait: Wait,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cache = cache
        self._wait = wait
        self._clock = clock
        self.routes = {name: Route(pipeline) for name, pipeline in pipelines.items()}
        for route in self.routes.values():
            cache.register(route.name, route.gate)

    def route(self, name: str) -> Route:
        """The pipeline of a name, as it is served.

        Raises:
            NotFoundError: There is none.
        """
        try:
            return self.routes[name]
        except KeyError:
            raise NotFoundError(f"There is no pipeline {name!r}.", allowed=sorted(self.routes)) from None

    def note_internal_error(self, part: str, error: BaseException) -> None:
        """Count and log what failed on the way to an answer that is given all the same."""
        self._cache.note_internal_error(part, error)

    def ask(self, route: Route, environ: Environ, body: bytes, content_type: str | None) -> Ask:
        """Check a request and find its key.

        Raises:
            RequestError: It is not to be generated.
        """
        get = environ.get
        headers = {name: environ[variable].strip() for name, variable in route.headers if variable in environ}
        query = parse_query(get("QUERY_STRING", ""))
        prepared = route.pipeline.prepare(Request(body, media_type(content_type), query, headers))
        cache_control = get("HTTP_CACHE_CONTROL")
        directives = request_directives(cache_control) if cache_control else NO_DIRECTIVES
        return Ask(
            route,
            _key(route, prepared, headers),
            prepared,
            _mode(directives, names_caller=any(variable in environ for variable in route.callers)),
            directives.max_age,
            get("HTTP_IF_NONE_MATCH"),
        )

    def try_hit(self, ask: Ask, request_id: str, started: float) -> Answer | None:
        """The answer where it is stored, counted as a hit; None counts nothing. `started` is of this object's clock."""
        if ask.mode != "default" or ask.max_age is not None:
            return None
        entry = self._cache.try_hit(ask.key)
        return None if entry is None else self._hit(ask, entry, request_id, started)

    def answer(self, ask: Ask, request_id: str, started: float) -> Answer:
        """The answer, from the cache or generated. Counts exactly one outcome.

        Raises:
            GenerationError: There is none; says why.
            RequestError: Only generating showed that the request cannot be generated.
            FlightTimeoutError: Another caller's generation took too long.
        """
        mode = self._mode_by_age(ask)
        if mode == "only_if_cached":
            lookup = self._fetch(ask, mode)
        else:
            with self._wait.room:
                lookup = self._fetch(ask, mode)
        seconds = self._clock() - started
        told = self._headers(
            ask.route,
            cache_status(lookup, refreshed=mode == "refresh"),
            lookup.age_seconds if lookup.outcome in ("hit", "stale") else None,
            request_id,
            server_timing(lookup, seconds),
        )
        return _answer(ask, lookup.value, told, lookup.outcome, seconds, lookup.cost_seconds, lookup.reason)

    def _hit(self, ask: Ask, entry: CacheEntry, request_id: str, started: float) -> Answer:
        now = self._cache.clock()
        seconds = self._clock() - started
        told = self._headers(
            ask.route,
            hit_status(entry.expires_at - now),
            max(0.0, now - entry.created_at),
            request_id,
            hit_timing("hit", seconds, entry.cost_seconds),
        )
        return _answer(ask, entry.value, told, "hit", seconds, entry.cost_seconds)

    def _fetch(self, ask: Ask, mode: Mode) -> Lookup:
        route = ask.route
        return self._cache.fetch(
            ask.key,
            lambda: _generate(route.pipeline, ask.prepared),
            pipeline=route.name,
            ttl_seconds=route.ttl_seconds,
            mode=mode,
            limiter=route.gate,
            wait_seconds=self._wait.seconds,
        )

    def _mode_by_age(self, ask: Ask) -> Mode:
        """The mode of a request that says how old a result may be."""
        if ask.max_age is None or ask.mode == "bypass":
            return ask.mode
        known = self._cache.inspect(ask.key) if ask.max_age else None
        if known is not None and known["age_seconds"] <= ask.max_age:
            return ask.mode
        if ask.mode == "only_if_cached":
            raise NotCachedError("The request takes a stored result of a certain age or none, and there is none.")
        return "refresh"

    @staticmethod
    def _headers(route: Route, status: str, age: float | None, request_id: str, timing: str) -> Headers:
        headers = [("Cache-Status", status), ("Server-Timing", timing), ("X-Request-Id", request_id)]
        if age is not None:
            headers.append(("Age", str(int(age))))
        if route.vary:
            headers.append(("Vary", route.vary))
        return headers


def _key(route: Route, prepared: Prepared, headers: Mapping[str, str]) -> str:
    if not route.key_headers:
        return digest(route.name, route.version, prepared.canonical)
    # Whatever a pipeline makes of them, callers whose key headers differ never share a key.
    keyed = [headers.get(name) for name in route.key_headers]
    return digest(route.name, route.version, prepared.canonical, keyed)


def _mode(directives: Directives, *, names_caller: bool) -> Mode:
    if not directives.no_store and not names_caller:
        return "only_if_cached" if directives.only_if_cached else "default"
    if directives.only_if_cached:
        raise NotCachedError("The request takes a stored result or none, and is not to be answered from the store.")
    return "bypass"


def _generate(pipeline: Pipeline, prepared: Prepared) -> Result:
    try:
        result: object = pipeline.generate(prepared)
    except RecoupError:
        raise
    except Exception as error:
        raise GenerationFailedError(f"The generator raised {type(error).__name__}: {error}") from error
    if not isinstance(result, Result):
        raise GenerationFailedError(f"The generator gave {type(result).__name__} instead of a result.")
    return result


def _answer(
    ask: Ask,
    result: Result,
    told: Headers,
    outcome: Outcome,
    seconds: float,
    cost_seconds: float,
    reason: MissReason | None = None,
) -> Answer:
    told.append(("ETag", result.etag))
    if ask.if_none_match is not None and matches(ask.if_none_match, result.etag):
        return Answer(304, told, b"", outcome, seconds, cost_seconds, reason)
    body = result.body
    told.append(("Content-Type", result.content_type))
    told.append(("Content-Length", str(len(body))))
    return Answer(200, told, body, outcome, seconds, cost_seconds, reason)
