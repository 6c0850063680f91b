"""One pipeline before a whole upstream, without any file: `recoup serve --upstream URL`.

POSTs with a JSON body are the pipeline, whatever their path, which belongs to the key; all else passes through. Nobody
has said which headers matter, so every header belongs to the key that goes on, but for those that tell of the way and
of the program that asks. An upstream whose answers depend on one of these says so (`Vary`), and they are not stored.
"""

from __future__ import annotations

from typing import Any

from recoup.errors import ConfigurationError
from recoup.fields import echo
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.headers import CONNECTION_HEADERS, HeaderNames
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.passthrough import Passthrough
from recoup.pipelines.paths import parse_path
from recoup.pipelines.protocol import Request
from recoup.pipelines.upstream_url import parse_upstream_url

NAME = "upstream"
#: Headers that name a caller: each has results of its own.
CALLERS = ("authorization", "cookie", "x-api-key", "api-key")
URL_RULE = "an http:// or https:// URL with a host, without user, password, query or fragment"
#: As long as the clients of language models wait.
_TIMEOUT_SECONDS = 600.0
#: An upstream that nobody has described has a limit of its own, and says so.
_MOST = 4096

#: They go on, and do not belong to the key: they tell of the way, or of the program that asks.
_NOISE = HeaderNames(
    (
        "b3",
        "baggage",
        "dnt",
        "forwarded",
        "idempotency-key",
        "newrelic",
        "priority",
        "referer",
        "sec-*",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "uber-trace-id",
        "user-agent",
        "via",
        "x-amzn-trace-id",
        "x-b3-*",
        "x-client-request-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-*",
        "x-forwarded-*",
        "x-real-ip",
        "x-request-id",
        "x-stainless-*",
    )
)
#: They do not go on: they are between the caller and Recoup, or would have only a part of a result answered.
_STAYING = HeaderNames(
    (
        *CONNECTION_HEADERS,
        "cache-control",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "prefer",
        "range",
    )
)


class _KeyHeaders:
    """The names of all headers that belong to the key."""

    def __contains__(self, name: object) -> bool:
        raw = str(name).encode()
        return name != "*" and raw not in _NOISE and raw not in _STAYING


class UpstreamPipeline(HttpPipeline):
    """The pipeline before a whole upstream.

    Args:
        url: The base URL.

    Attributes:
        json_only: It takes requests with a JSON body alone; others pass it by.
    """

    json_only = True

    def __init__(self, url: str) -> None:
        options = PipelineOptions(
            name=NAME,
            description="Everything that is asked of one upstream by POST with a JSON body.",
            timeout_seconds=_TIMEOUT_SECONDS,
            max_concurrent=_MOST,
            max_waiting=_MOST,
            key_headers=CALLERS,
        )
        super().__init__(options, url=url, path=parse_path("/*"))
        self._varies_by = _KeyHeaders()

    def sort_header(self, name: bytes) -> str:
        """What becomes of a request's header: `key`, `passed` (it goes on), or `dropped`."""
        if name in _STAYING:
            return "dropped"
        return "passed" if name in _NOISE else "key"

    def canonical(self, request: Request) -> Any:
        """As of any HTTP pipeline, and all headers that go on, but for noise."""
        return (*super().canonical(request), tuple(sorted(request.headers.items())))


def upstream_parts(url: str) -> tuple[list[HttpPipeline], list[Passthrough]]:
    """The pipeline and the passthrough of a base URL.

    Raises:
        ConfigurationError: The URL cannot be used.
    """
    try:
        if "?" in url:
            raise ValueError("a URL without a query is expected")
        base = url.rstrip("/") + "/"
        parse_upstream_url(base)
    except ValueError:
        # There may be a password in it.
        shown = "(not shown)" if "@" in url else echo(url)
        raise ConfigurationError(f"RECOUP_UPSTREAM={shown}: expected {URL_RULE}") from None
    return [UpstreamPipeline(base)], [Passthrough(parse_path("/*"), base)]
