"""Which headers may be passed on, and what they may contain."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_VALUE_BYTES = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_CONTENT_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,1023}")

#: Headers of one connection or of the body's framing and encoding: an exchange with an upstream sets its own. A
#: request's body has no content encoding any more when a pipeline gets it.
CONNECTION_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def is_header_name(name: object) -> bool:
    """Whether it is the name of a header that may be passed on: a token (RFC 9110, 5.6.2), not the connection's."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and name.lower() not in CONNECTION_HEADERS


def is_header_value(value: object) -> bool:
    """Whether it is a text that a header may contain: one line of Latin-1."""
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None


def is_header_bytes(value: bytes) -> bool:
    """Whether a header may contain the bytes: one line without control characters."""
    return _VALUE_BYTES.fullmatch(value) is not None


def is_content_type(value: object) -> bool:
    """Whether it is a text that may stand as a content type: one line of ASCII, not empty and not endless."""
    return isinstance(value, str) and _CONTENT_TYPE.fullmatch(value) is not None


class HeaderNames:
    """Names of headers, in lower case; one that ends in `*` stands for all that begin so."""

    def __init__(self, names: Iterable[str]) -> None:
        given = tuple(name.encode() for name in names)
        self._exact = frozenset(name for name in given if not name.endswith(b"*"))
        self._beginnings = tuple(name[:-1] for name in given if name.endswith(b"*"))

    def __contains__(self, name: bytes) -> bool:
        return name in self._exact or name.startswith(self._beginnings)
