"""The identifiers of a request: its trace, from W3C Trace Context, and its own."""

from __future__ import annotations

import os
import re

#: https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags; later versions may
#: append more after a dash. Version ff and ids of zeros alone are invalid.
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
#: Characters that are safe in a header, a log line, a label and a URL.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,64}")
_REQUEST_ID_BYTES = 16


def parse_traceparent(header: str | None) -> str | None:
    """The trace id of a `traceparent` header: 32 hex digits; None where there is none or it is malformed."""
    match = _TRACEPARENT.fullmatch(header) if header else None
    if match is None or (match["version"] == "00" and match["more"]):
        return None
    return match["trace"]


def request_id(header: str | None) -> str:
    """The id of a request: that of its `X-Request-Id` header, or a new one where that is missing or unsafe."""
    if header and _REQUEST_ID.fullmatch(header):
        return header
    return os.urandom(_REQUEST_ID_BYTES).hex()
