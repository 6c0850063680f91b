"""The `http` pipeline: any HTTP generator, as configured."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlencode

import urllib3

from recoup.errors import BadRequestError, UpstreamError
from recoup.pipelines.configured import ConfiguredPipeline, Terms
from recoup.pipelines.exchange import Answer, Upstream
from recoup.pipelines.headers import is_content_type, is_header_value
from recoup.pipelines.protocol import Prepared, Request, Result

#: The methods that can ask for a generation; the others mean something else, or have no body to answer with.
METHODS = ("POST", "PUT", "PATCH", "GET")
_UNNAMED_CONTENT = "application/octet-stream"
_DELTA_SECONDS = re.compile(r"[0-9]{1,9}")
#: An upstream's longest `Retry-After` that is passed on, in seconds.
_LONGEST_RETRY = 86_400


class HttpPipeline(ConfiguredPipeline):
    """Sends each request on to an upstream, and takes a 2xx answer as the result.

    The body, its content type, the query and the headers that the pipeline was given are passed on. An upstream's
    4xx and 503 keep their status, all else that is no result is a 502, and past the time limit it is a 504.

    Args:
        terms: Name, version, limits and headers.
        url: The upstream, `http://` or `https://`; it may have a query, which the request's is added to.
        method: One of `METHODS`.
        headers: Sent to the upstream with every request, in place of the caller's own.
        max_result_bytes: A larger result is a 502.
        clock: Monotonic seconds.
    """

    kind: ClassVar[str] = "http"

    def __init__(
        self,
        terms: Terms,
        *,
        url: str,
        method: str = "POST",
        headers: Mapping[str, str] = MappingProxyType({}),
        max_result_bytes: int = 256 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(terms)
        self._method = method
        self._headers = dict(headers)
        self._max_result_bytes = max_result_bytes
        self._upstream = Upstream(url, connections=self.max_concurrent, clock=clock)
        self._ready = False

    def generate(self, prepared: Prepared) -> Result:
        """Ask the upstream.

        Raises:
            UpstreamError: It gave no result; with the status to answer with.
            GenerationTimeoutError: It was not done within `timeout_seconds`.
            BadRequestError: A header of the request cannot be passed on.
        """
        request: Request = prepared.job
        answer = self._upstream.exchange(
            self._method,
            urlencode(request.query, doseq=True, errors="surrogatepass"),
            self._headers_for(request),
            request.body,
            timeout_seconds=self.timeout_seconds,
            max_bytes=self._max_result_bytes,
        )
        if 200 <= answer.status < 300:
            return Result(answer.body, _content_type(answer))
        raise _refusal(answer)

    def start(self) -> None:
        """Connections are made when they are needed."""
        self._ready = True

    def ready(self) -> bool:
        """Whether it was started, and not closed; the upstream is not asked."""
        return self._ready

    def close(self, grace_seconds: float) -> None:
        """Close the idle connections; generations under way end by their own time limit."""
        self._ready = False
        self._upstream.close()

    def _headers_for(self, request: Request) -> dict[str, str]:
        headers = {"content-type": request.content_type} if request.content_type else {}
        headers.update(request.headers)
        headers.update(self._headers)
        for name, value in headers.items():
            if not is_header_value(value):
                raise BadRequestError(f"the header {name!r} has characters that cannot be passed on")
        return headers


def is_upstream_url(url: str) -> bool:
    """Whether it is an `http` or `https` URL of a host, without a user, a password or a fragment."""
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError:
        return False
    complete = parts.scheme in ("http", "https") and bool(parts.host)
    return complete and parts.auth is None and parts.fragment is None


def _content_type(answer: Answer) -> str:
    named = " ".join(answer.headers.get("Content-Type", "").split())
    return named if is_content_type(named) else _UNNAMED_CONTENT


def _refusal(answer: Answer) -> UpstreamError:
    """What an answer that is no result becomes: contract statuses only, the upstream's own where it has a meaning."""
    kept = 400 <= answer.status < 500 or answer.status == 503
    retry_after = _retry_after(answer.headers.get("Retry-After", "")) if answer.status in (429, 503) else None
    if answer.status == 503 and retry_after is None:
        retry_after = 1
    return UpstreamError(
        f"the upstream answered {answer.status}",
        status=answer.status if kept else 502,
        upstream_status=answer.status,
        upstream_body=answer.body.decode("utf-8", "replace"),
        retry_after_seconds=retry_after,
    )


def _retry_after(value: str) -> int | None:
    """Seconds of a `Retry-After` (RFC 9110, 10.2.3): a number, or a date from now on; None for anything else."""
    if _DELTA_SECONDS.fullmatch(value.strip()):
        return min(int(value), _LONGEST_RETRY)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    seconds = (date - datetime.now(timezone.utc)).total_seconds()
    return min(max(0, round(seconds)), _LONGEST_RETRY)
