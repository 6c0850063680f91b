"""What a pipeline is: a named generator, a function of a request that returns a result, slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from recoup.cache import DEFAULT, NEVER_STALE, Staleness
from recoup.cache.open_results import Decision, OpenResult
from recoup.errors import UpstreamRefusedError

#: Result content types are few; this many bytes of digest make an ETag.
_ETAG_BYTES = 16
#: A body of more bytes is not hashed on the event loop: that would take over a fifth of a millisecond.
_LARGE_BYTES = 1 << 18
_REFUSED_KIND = UpstreamRefusedError.kind
#: What keeps a result out whose body is over a limit.
TOO_LARGE = "too-large"
#: What keeps a result out because of what is in it, as its pipeline says: a member that it has; one that it has not, or
#: with another value; or that it cannot be read. It still answers those who were waiting: they sent the same request.
STORE_UNLESS, STORE_ONLY_IF, UNREADABLE = "store_unless", "store_only_if", "unreadable"
CONDITIONS = (STORE_UNLESS, STORE_ONLY_IF, UNREADABLE)


class Direct(NamedTuple):
    """How a request came that was made below its pipeline's own path: what is passed on as it is.

    Attributes:
        rest: What of its path follows the pipeline's.
        query: As it was sent.
        headers: Those that are passed on and do not belong to the key; names in lower case.
    """

    rest: str = ""
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One generation's request, free of any web framework.

    Attributes:
        body: The request's body, whole, without any content encoding.
        content_type: The media type without its parameters, in lower case; None when the request names none.
        query: Query members by name, each with all its values in their order.
        headers: The headers that the pipeline names in `key_headers` and `ignore_headers`, and those that name a caller
            (a request with one that is not named is never stored). Names are in lower case; each has all its values
            as bytes, in their order. A header that is present but empty is `(b"",)`.
        direct: How it came where it was made below the pipeline's own path; None: it was not.
    """

    body: bytes
    content_type: str | None = None
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    direct: Direct | None = None

    def header(self, name: str) -> str | None:
        """The text of a header, or None where the request has none of that name.

        All values are joined by `", "` and read as UTF-8. Bytes that are not UTF-8 become lone surrogates, so that
        `.encode("utf-8", "surrogateescape")` gives the same bytes back.

        Args:
            name: In any case.
        """
        values = self.headers.get(name.lower())
        return None if values is None else b", ".join(values).decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that was checked and can be generated.

    Attributes:
        canonical: What the request means, as a value that `recoup.cache.digest` takes: two requests that mean the
            same thing have equal ones. Values only: `bytes`, `str`, numbers, booleans, None, tuples, dicts.
        job: What `Pipeline.generate` needs; the pipeline's own affair. Callers of one key at one time share it; where
            it is a `Request`, each keeps the headers of its own.
    """

    canonical: Any
    job: Any


@dataclass(frozen=True, slots=True)
class Result:
    """What a generation gives: bytes and their content type, and the entity tag of both.

    Attributes:
        body: The bytes.
        content_type: Their media type with its parameters.
        etag: Made from the body where it is left out, in about a millisecond for a megabyte.
        storable: False where it answers its own request alone: it is not stored, and nobody else is answered with it.
        status: The status that it is answered with below a path of its pipeline.
        headers: Further headers that are stored with it, and answered there; names in lower case.
        shared: False where its upstream says that it must not answer anybody but its own caller: for a minute, nobody
            waits for another result of its key.
        kept_out: What keeps it from being stored, as a word for `Cache-Status`; empty: nothing does.
        ttl_seconds: How long it may be kept, as its upstream says; None: it says nothing.
        groups: The groups that its upstream says that it is in.
        price: What its generation cost in money, in the currency of its pipeline, beside its time.
        price_per_second: What each second of it cost.
        staleness: What may be done with it near its end and past it, as its upstream says; None: as its pipeline does.
        refused: It is no result, but an upstream's refusal, which is stored all the same.
    """

    body: bytes
    content_type: str
    etag: str = ""
    storable: bool = True
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    shared: bool = True
    kept_out: str = ""
    ttl_seconds: float | None = None
    groups: tuple[str, ...] = ()
    price: float = 0.0
    price_per_second: float = 0.0
    staleness: Staleness | None = None
    refused: bool = False

    def decision(self) -> Decision:
        """What the cache may do with it."""
        if self.refused:
            return Decision(
                ttl_seconds=self.ttl_seconds, groups=self.groups, staleness=NEVER_STALE, failure=_REFUSED_KIND
            )
        return Decision(
            store=self.kept_out in CONDITIONS or (self.storable and not self.kept_out),
            keep=self.kept_out not in CONDITIONS,
            share=self.shared,
            ttl_seconds=DEFAULT if self.ttl_seconds is None else self.ttl_seconds or None,
            reason="too_large" if self.kept_out == TOO_LARGE else "uncacheable",
            groups=self.groups,
            price=self.price,
            price_per_second=self.price_per_second,
            staleness=self.staleness,
        )

    def __post_init__(self) -> None:
        if not self.etag:
            digest = blake2b(self.body, digest_size=_ETAG_BYTES, person=b"recoup-etag")
            object.__setattr__(self, "etag", f'"{digest.hexdigest()}"')


async def finish_result(head: Result, body: bytes, *, kept_out: str, shared: bool = True) -> Result:
    """A result whose body is there now; the entity tag of a large one is computed in a thread.

    Args:
        head: The result without its body.
        body: Its body.
        kept_out: What keeps it from being stored; empty: nothing does.
        shared: Whether it may answer others, if `head` may.
    """
    make = partial(
        replace, head, body=body, etag="", storable=not kept_out, kept_out=kept_out, shared=head.shared and shared
    )
    return make() if len(body) <= _LARGE_BYTES else await asyncio.to_thread(make)


async def make_result(body: bytes, content_type: str, *, storable: bool = True) -> Result:
    """A `Result`; the entity tag of a large one is computed in a thread, so that the event loop goes on meanwhile."""
    if len(body) <= _LARGE_BYTES:
        return Result(body, content_type, storable=storable)
    return await asyncio.to_thread(Result, body, content_type, storable=storable)


class Pipeline(Protocol):
    """A named generator. Its coroutines all run on one event loop, which none of them may hold up.

    Attributes:
        name: Its name: lower-case letters, digits, `-` and `_`.
        kind: `relief`, `http` or `python`.
        version: Part of every key.
        ttl_seconds: Seconds that a result is kept; None: the cache's own default; 0: never expires.
        timeout_seconds: Seconds that one generation may take.
        max_concurrent: Generations at one time.
        max_waiting: Callers that may wait for their turn to generate.
        key_headers: Request headers (lower case) that belong to the key.
        ignore_headers: Request headers (lower case) that do not, although they may name a caller
            (`authorization`, `cookie`).
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def ttl_seconds(self) -> float | None: ...
    @property
    def timeout_seconds(self) -> float: ...
    @property
    def max_concurrent(self) -> int: ...
    @property
    def max_waiting(self) -> int: ...
    @property
    def key_headers(self) -> tuple[str, ...]: ...
    @property
    def ignore_headers(self) -> tuple[str, ...]: ...

    def prepare(self, request: Request) -> Prepared:
        """Check a request and bring it to its canonical form. Fast: it runs on hits, too.

        Not a coroutine, and thread-safe: for a large body it is called in a thread.

        Raises:
            RequestError: The request is not to be generated; says why.
        """

    async def generate(self, prepared: Prepared) -> Result | OpenResult:
        """Generate, slowly. At most `max_concurrent` calls run at one time.

        An open result is passed on as it comes; what its `whole` gives is a `Result`.

        Raises:
            GenerationError: It failed.
            RequestError: Only generating showed that the request cannot be generated.
        """

    def describe(self) -> dict[str, Any]:
        """What it takes, for `GET /api/pipelines` and the API's description.

        Members: `name`, `kind`, `version`, `description`, `accepts` (media types), `produces` (media types), `path`
        (where it is served beside `/api/generate/`, or None),
        `parameters`: a list of objects with `name`, `type`, `description`, `default`, and where they apply `unit`,
        `minimum`, `maximum`, `choices`; `type` is one of `string`, `number`, `integer`, `boolean`; `ttl_seconds`,
        `timeout_seconds`, `max_concurrent`, `max_waiting`, `key_headers`, `ignore_headers`.
        """

    async def start(self) -> None:
        """Start what it needs (worker processes). Called once, before the first request."""

    def ready(self) -> bool:
        """Whether it can generate now. Only looks, and may be called in any thread."""

    async def close(self, grace_seconds: float) -> None:
        """End what `start` started, within `grace_seconds`. Running generations may finish in that time."""
