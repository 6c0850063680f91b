"""Headers of one connection, which are never passed on (RFC 9110, 7.6.1), in neither direction."""

from __future__ import annotations

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """All headers but those of the connection, and those that `Connection` names; in their order."""
    given = list(headers)
    dropped = set(_HOP_BY_HOP)
    for name, value in given:
        if name == b"connection":
            # No sender may take away what says where a body ends, or whose a request is.
            dropped |= {part.strip().lower() for part in value.split(b",")} - _KEPT
    return [(name, value) for name, value in given if name not in dropped]


_KEPT = frozenset({b"content-length", b"host", b"authorization", b"cookie", b"set-cookie", b"cache-control", b""})
