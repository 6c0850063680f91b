"""What an answer of the service tells of itself, and the journal's record of one request. Pure, standard library only.

`Cache-Status` is RFC 9211's, `Retry-After` RFC 9110's, `Server-Timing` the W3C's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from loadtest.journal import Request
from loadtest.plan import Call

#: Gives a header by its name, or None; names are lower case.
Header = Callable[[str], "str | None"]

_DURATION = r"(?:^|,)\s*{}\s*;(?:[^,]*;)?\s*dur=([0-9.]+)"
_GENERATED, _RECOUPED = (re.compile(_DURATION.format(name)) for name in ("generate", "recouped"))
_TTL = re.compile(r";\s*ttl=(-?[0-9]+)")
#: Of what stands in a journal of a whole body.
_DIGEST_BYTES = 8


def outcome_fields(header: Header) -> dict[str, Any]:
    """What the headers of an answer say, by the names of `journal.Request`."""
    outcome, reason = _status(header("cache-status") or "")
    timing = header("server-timing") or ""
    ttl = _TTL.search(header("cache-status") or "")
    return {
        "outcome": outcome,
        "reason": reason,
        "retry_after": _seconds(header("retry-after")),
        "generation_seconds": _milliseconds(_GENERATED, timing),
        "recouped_seconds": _milliseconds(_RECOUPED, timing),
        "content_type": header("content-type"),
        "etag": header("etag"),
        "age": _seconds(header("age")),
        "ttl": float(ttl[1]) if ttl else None,
    }


def _milliseconds(pattern: re.Pattern[str], timing: str) -> float | None:
    """A duration of a `Server-Timing`, in seconds."""
    found = pattern.search(timing)
    return float(found[1]) / 1e3 if found else None


def _status(text: str) -> tuple[str | None, str | None]:
    """The outcome, and the reason of a miss or a bypass, that a `Cache-Status` names."""
    if not text:
        return None, None
    # Of several caches on the way, the one nearest to the caller stands last; the service's own is the only one.
    parameters = [part.strip() for part in text.split(",")[0].split(";")][1:]
    values: Mapping[str, str] = dict((*part.split("=", 1), "")[:2] for part in parameters)  # type: ignore[misc]
    if "hit" in values:
        return ("stale" if values.get("ttl", "").startswith("-") else "hit"), None
    if "collapsed" in values:
        return "coalesced", None
    if values.get("fwd") == "bypass":
        return "bypass", values.get("detail")
    return ("miss" if "fwd" in values else None), values.get("detail")


def _seconds(text: str | None) -> float | None:
    """Seconds of a header, such as `Retry-After`; None for one without, and for a date."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _bypass(call: Call) -> bool:
    return "no-store" in call.headers.get("Cache-Control", "")


def digest(body: Iterable[bytes]) -> str:
    """Of a body in parts: equal for equal bodies alone."""
    value = blake2b(digest_size=_DIGEST_BYTES)
    for part in body:
        value.update(part)
    return value.hexdigest()


def answered(
    call: Call,
    sent: tuple[float, float],
    status: int,
    header: Header,
    body: Sequence[bytes],
    first_seconds: float | None = None,
) -> Request:
    """The record of a request that was answered as a whole.

    Args:
        call: What was sent.
        sent: When, in seconds since the epoch, and the seconds until all of the answer was there.
        status: Of the answer.
        header: Its headers.
        body: Its body, in the parts in which it was read.
        first_seconds: When its head was there, where that is known.
    """
    fields = outcome_fields(header)
    size, length = sum(map(len, body)), header("content-length")
    if length is not None and call.method != "HEAD" and status not in (204, 304) and length != str(size):
        record = unanswered(call, sent, f"{size} of {length} bytes came")
        return replace(record, outcome=fields["outcome"], reason=fields["reason"])
    digested = digest(body) if size else ""
    return Request(
        *sent,
        call.kind,
        call.item,
        status,
        bytes=size,
        digest=digested,
        allowed=status in call.allowed,
        first_seconds=first_seconds,
        bypass=_bypass(call),
        **fields,
    )


def unanswered(call: Call, sent: tuple[float, float], error: str, *, allowed: bool = False) -> Request:
    """The record of a request without an answer, or with a broken one; `allowed`: the contract has that here."""
    return Request(
        at=sent[0],
        seconds=sent[1],
        kind=call.kind,
        item=call.item,
        status=0,
        allowed=allowed,
        error=error,
        bypass=_bypass(call),
    )
