"""What an upstream's refusal becomes: an error, its own answer passed on, or for a while something that is stored."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from recoup.errors import OwnAnswer, UpstreamError, UpstreamRefusedError
from recoup.pipelines.hop_by_hop import RawHeaders
from recoup.pipelines.protocol import Result

#: So much of a body that is no result is read, for the person who reads the problem.
REFUSAL_BYTES = 2048
_DELTA_SECONDS = re.compile(r"[0-9]{1,9}")
#: An upstream's longest `Retry-After` that is passed on, in seconds.
_LONGEST_RETRY = 86_400
#: What of a refusal is not stored: its length is that of its body, and a cookie is one caller's.
_NOT_STORED = (b"content-length", b"content-type", b"set-cookie")


def refusal_error(status: int, headers: RawHeaders, body: bytes) -> UpstreamError:
    """What an answer that is no result becomes: contract statuses only, the upstream's own where it has a meaning."""
    refused = 400 <= status < 500
    retry_after = parse_retry_after(_text(headers, b"retry-after")) if status in (429, 503) else None
    if status == 503 and retry_after is None:
        retry_after = 1
    return (UpstreamRefusedError if refused else UpstreamError)(
        f"the upstream answered {status}",
        status=status if refused or status == 503 else 502,
        upstream_status=status,
        upstream_body=body[:REFUSAL_BYTES].decode("utf-8", "replace"),
        retry_after_seconds=retry_after,
        www_authenticate=tuple(value for name, value in headers if name == b"www-authenticate"),
    )


def own_refusal_error(status: int, passed_on: RawHeaders, body: bytes) -> UpstreamError:
    """An answer that is no result, to be passed on as it is below a path of the pipeline's own."""
    kind = UpstreamRefusedError if status < 500 else UpstreamError
    return kind(
        f"the upstream answered {status}",
        status=status,
        upstream_status=status,
        own_answer=OwnAnswer(status, tuple(passed_on), body),
        retry_after_seconds=parse_retry_after(_text(passed_on, b"retry-after")) if status == 503 else None,
    )


def stored_refusal(head: Result, headers: RawHeaders, ttl_seconds: float) -> Result:
    """The result, still without its body, that a refusal is stored as for a while: with all of its headers."""
    return Result(
        b"",
        head.content_type,
        head.etag,
        status=head.status,
        headers=tuple((name, value) for name, value in headers if name not in _NOT_STORED),
        ttl_seconds=ttl_seconds if head.ttl_seconds is None else min(ttl_seconds, head.ttl_seconds),
        groups=head.groups,
        refused=True,
    )


def error_of(refused: Result) -> UpstreamError:
    """The error that a stored refusal stands for, where answers are not passed on as they came."""
    return refusal_error(refused.status, list(refused.headers), refused.body)


def parse_retry_after(value: str) -> int | None:
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


def _text(headers: RawHeaders, name: bytes) -> str:
    return b", ".join(value for header, value in headers if header == name).decode("latin-1")
