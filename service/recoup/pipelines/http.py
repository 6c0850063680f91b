"""The `http` pipeline: any HTTP generator, as configured."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Container, Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import unquote_plus, urlencode

from recoup.errors import BadRequestError, GenerationTimeoutError, UpstreamError
from recoup.in_flight import answer_in_flight
from recoup.pipelines.answer_parser import ExchangeError
from recoup.pipelines.cache_groups import cache_groups
from recoup.pipelines.configured import ConfiguredPipeline, PipelineOptions
from recoup.pipelines.decoding import decoded, too_large
from recoup.pipelines.exchange import Answer, Upstream
from recoup.pipelines.headers import CONNECTION_HEADERS, HeaderNames, is_content_type, is_header_bytes
from recoup.pipelines.hop_by_hop import RawHeaders, end_to_end
from recoup.pipelines.paths import PathPattern
from recoup.pipelines.protocol import Direct, Prepared, Request, Result, finish_result
from recoup.pipelines.refusals import REFUSAL_BYTES, own_refusal_error, refusal_error, stored_refusal
from recoup.pipelines.stale_options import describe as describe_staleness
from recoup.pipelines.stream import Stream
from recoup.pipelines.time_limit import time_limit
from recoup.pipelines.upstream_url import parse_upstream_url
from recoup.pipelines.upstream_word import Word, word_of

#: The methods that can ask for a generation; the others mean something else, or have no body to answer with.
METHODS = ("POST", "PUT", "PATCH", "GET")
_UNNAMED_CONTENT = "application/octet-stream"
#: Accepted, but not done; reset; a part. What they carry is no result to answer others with.
_UNSTORABLE = (202, 204, 205, 206)
#: Without it, what is stored could not be read.
_ALWAYS_KEPT = ("content-encoding",)
_NO_TAG = "-"
_NOT_DIRECT = Direct()


class HttpPipeline(ConfiguredPipeline):
    """Sends each request on to an upstream, and takes a 2xx answer as the result.

    The body, its content type, the query and the headers that the pipeline was given are passed on. An upstream's
    4xx and 503 keep their status, all else that is no result is a 502, and past the time limit it is a 504. A 202, a
    206 and an answer without content are results that are not to be stored.

    Args:
        options: Name, version, limits and headers.
        url: The upstream, `http://` or `https://`; it may have a query, which the request's is added to.
        method: One of `METHODS`.
        headers: Sent to the upstream with every request, in place of the caller's own.
        max_result_bytes: A larger result is a 502; below a path of the pipeline's own it is passed on, and not stored.
        path: Where it is served beside `/api/generate/`; None: nowhere. If it is open, the URL ends where its rest is
            to be added.
        keep_headers: The upstream's headers that are stored, in lower case; one that ends in `*` stands for all that
            begin so.
        stream_end: The data or names of events of which the last one ends a stream of events well; empty: its framing
            does.
        obey: Whether the upstream's word is taken on what may be stored, and for how long.
        negative_ttls: For how many seconds refusals are stored, by their status; others are not.

    Attributes:
        path: See above.
        negative_ttls: See above.
        methods: The methods that are answered there.
    """

    kind: ClassVar[str] = "http"

    def __init__(
        self,
        options: PipelineOptions,
        *,
        url: str,
        method: str = "POST",
        headers: Mapping[str, str] = MappingProxyType({}),
        max_result_bytes: int = 256 * 2**20,
        path: PathPattern | None = None,
        keep_headers: tuple[str, ...] = (),
        stream_end: tuple[str, ...] = (),
        obey: bool = True,
        negative_ttls: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        super().__init__(options)
        self.negative_ttls = dict(negative_ttls)
        self.path = path
        self.methods = ("GET", "HEAD") if method == "GET" else (method,)
        self._stream_end = stream_end
        self._obey = obey
        self._varies_by: Container[str] = frozenset(self.key_headers)
        self._keeps = HeaderNames((*keep_headers, *_ALWAYS_KEPT))
        self._method = method
        self._headers = {name.lower(): (value.encode("latin-1"),) for name, value in headers.items()}
        self._max_result_bytes = max_result_bytes
        upstream_url = parse_upstream_url(url)
        self._members = upstream_url.members
        self._upstream = Upstream(upstream_url, connections=self.max_concurrent)
        self._ready = False

    def prepare(self, request: Request) -> Prepared:
        """As any configured pipeline does; and the members of the URL's own query are not the caller's to give.

        Raises:
            BadRequestError: A query member of the URL, or a JSON body that is none.
            UnsupportedMediaError: A form with parts, whose boundary the pipeline was not given.
        """
        for name in request.query:
            if name in self._members:
                raise BadRequestError(
                    f"the query member {name[:100]!r} is set by the pipeline {self.name!r}, and cannot be given",
                    errors=[{"parameter": name[:100], "detail": "set by the pipeline"}],
                )
        return super().prepare(request)

    def canonical(self, request: Request) -> Any:
        """As of any configured pipeline, and the rest of the path where that is open."""
        meaning = super().canonical(request)
        direct = request.direct or _NOT_DIRECT
        # Decoded, `?a` and `?a=` are the same; sent on as they came, they are not.
        odd: tuple[str | bytes, ...] = tuple(
            part
            for part in direct.query.split("&")
            if part and "=" not in part and unquote_plus(part) not in self.ignored_query
        )
        if request.content_type is not None and request.content_type.startswith("multipart/"):
            odd += tuple(value for name, value in direct.headers if name == b"content-type")  # with its boundary
        if self.path is not None and self.path.open:
            return (*meaning, direct.rest, odd)
        return (*meaning, odd) if odd else meaning

    def describe(self) -> dict[str, Any]:
        """As any configured pipeline does; and where it is served, and which refusals are stored."""
        path = None if self.path is None else self.path.text
        return {**super().describe(), "path": path, **describe_staleness(self.staleness, self.negative_ttls)}

    async def generate(self, prepared: Prepared) -> Result | Stream:
        """Ask the upstream.

        Raises:
            UpstreamError: It gave no result; with the status to answer with.
            GenerationTimeoutError: It was not done within `timeout_seconds`.
            BadRequestError: A header of the request cannot be passed on.
        """
        request: Request = prepared.job
        headers = self._headers_for(request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_seconds
        try:
            async with time_limit(self.timeout_seconds):
                if request.direct is not None:
                    return await self._open(request, request.direct, headers, deadline)
                query = urlencode(request.query, doseq=True, errors="surrogatepass")
                return await self._exchange(query, headers, request.body)
        except asyncio.TimeoutError:
            raise GenerationTimeoutError(f"the upstream took longer than {self.timeout_seconds:g} seconds") from None

    async def _exchange(self, query: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Result:
        try:
            async with self._upstream.exchange(self._method, query, headers, body) as answer:
                if answer.status in self.negative_ttls:
                    return await self._refused(answer, end_to_end(answer.headers))
                if not 200 <= answer.status < 300:
                    raise refusal_error(answer.status, answer.headers, await _beginning(answer))
                content = await _collect(answer, self._max_result_bytes)
        except ExchangeError as error:
            raise UpstreamError(f"the exchange with the upstream failed: {error}") from error
        encodings = answer.text(b"content-encoding")
        if encodings:
            content = await asyncio.to_thread(decoded, content, encodings, self._max_result_bytes)
        head = self._result_head(answer, [line for line in answer.headers if line[0] != b"content-encoding"])
        result = await finish_result(head, content, kept_out=head.kept_out or ("" if content else "empty"))
        return await self.rules.apply(result, self.aside)

    async def _open(
        self, request: Request, direct: Direct, headers: list[tuple[bytes, bytes]], deadline: float
    ) -> Stream | Result:
        """The upstream's answer, to be passed on as it comes; a refusal that is stored, as a whole."""
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(
                    self._upstream.exchange(self._method, direct.query, headers, request.body, rest=direct.rest)
                )
                passed_on = end_to_end(answer.headers)
                if answer.status in self.negative_ttls:
                    return await self._refused(answer, passed_on, own=True)
                if answer.status >= 400:
                    whole = await _collect(answer, self._max_result_bytes)
                    raise own_refusal_error(answer.status, passed_on, whole)
            except ExchangeError as error:
                raise UpstreamError(f"the exchange with the upstream failed: {error}") from error
            return Stream(
                answer.status,
                passed_on,
                answer.chunks,
                head=self._result_head(answer, passed_on),
                max_bytes=self._max_result_bytes,
                ends=self._stream_end,
                rules=self.rules,
                exchange=stack.pop_all(),
                timeout_seconds=deadline - asyncio.get_running_loop().time(),
                aside=self.aside,
            )

    async def _refused(self, answer: Answer, passed_on: RawHeaders, *, own: bool = False) -> Result:
        """A refusal that is stored for a while.

        Raises:
            UpstreamRefusedError: The upstream says that it is its caller's alone.
        """
        body = await _collect(answer, self._max_result_bytes)
        head = self._result_head(answer, passed_on)
        if not head.shared or answer.values(b"set-cookie"):
            make = own_refusal_error if own else refusal_error
            raise make(answer.status, passed_on, body)
        refused = stored_refusal(head, passed_on, self.negative_ttls[answer.status])
        return await finish_result(refused, body, kept_out="")

    def _result_head(self, answer: Answer, passed_on: RawHeaders) -> Result:
        """What an answer will be as a result, without its body."""
        word = word_of(answer.headers, self._varies_by) if self._obey else Word()
        storable = 200 <= answer.status < 300 and answer.status not in _UNSTORABLE
        kept_out = word.kept_out or ("" if storable else "status")
        return Result(
            b"",
            _content_type(answer),
            _NO_TAG,
            storable=storable,
            status=answer.status,
            headers=tuple((name, value) for name, value in passed_on if name in self._keeps),
            shared=not word.kept_out,
            kept_out=kept_out,
            ttl_seconds=word.ttl_seconds,
            groups=self.groups.usable(cache_groups(answer.headers)),
            staleness=word.staleness(self.staleness),
        )

    async def start(self) -> None:
        """Connections are made when they are needed."""
        await self._upstream.start()
        self._ready = True

    def ready(self) -> bool:
        """Whether it was started, and not closed; the upstream is not asked."""
        return self._ready

    async def close(self, grace_seconds: float) -> None:
        """Close the idle connections; generations under way end by their own time limit."""
        self._ready = False
        self._upstream.close()

    def _headers_for(self, request: Request) -> list[tuple[bytes, bytes]]:
        headers = {name: values for name, values in request.headers.items() if name not in CONNECTION_HEADERS}
        if request.direct is not None:
            for raw, value in request.direct.headers:
                name = raw.decode("latin-1")
                if name not in request.headers:
                    headers[name] = (*headers.get(name, ()), value)
        if request.content_type is not None:
            headers.setdefault("content-type", (request.content_type.encode("utf-8", "surrogateescape"),))
        headers.update(self._headers)
        for name, values in headers.items():
            if not all(map(is_header_bytes, values)):
                raise BadRequestError(f"the header {name[:100]!r} has characters that cannot be passed on")
        return [(name.encode("latin-1"), value) for name, values in headers.items() for value in values]


def is_upstream_url(url: str) -> bool:
    """Whether it is an `http` or `https` URL of a host, without a user, a password or a fragment."""
    try:
        parse_upstream_url(url)
    except ValueError:
        return False
    return True


async def _collect(answer: Answer, max_bytes: int) -> bytes:
    # BytesIO gives its buffer away without a copy: one of 50 MB would hold up the event loop.
    whole = io.BytesIO()
    with answer_in_flight() as held:
        async for chunk in answer.chunks:
            held.grow(len(chunk))
            whole.write(chunk)
            if whole.tell() > max_bytes:
                raise too_large(max_bytes)
    return whole.getvalue()


async def _beginning(answer: Answer) -> bytes:
    body = b""
    try:
        async for chunk in answer.chunks:
            body += chunk
            if len(body) > REFUSAL_BYTES:
                break
    except ExchangeError:
        # The status is known, and says more than that the rest of the body did not come.
        return body[:REFUSAL_BYTES]
    return body[:REFUSAL_BYTES]


def _content_type(answer: Answer) -> str:
    named = " ".join(answer.text(b"content-type").split())
    return named if is_content_type(named) else _UNNAMED_CONTENT
