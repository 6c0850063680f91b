"""Reading a request out of a WSGI environment: its body within a limit, its query, its media type."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from recoup.errors import BadRequestError, TooLargeError

_PIECE_BYTES = 2**16
#: Query members past this number are an attack, not a request.
_MOST_MEMBERS = 256
#: Few queries are seen again and again; longer ones are not worth keeping.
_KEPT_QUERIES = 256
_LONGEST_KEPT = 512

Query = Mapping[str, tuple[str, ...]]


def read_body(environ: dict[str, Any], limit_bytes: int) -> bytes:
    """The body of a request, whole.

    Raises:
        TooLargeError: It is over the limit, as it says itself or as it turns out to be.
        BadRequestError: It ended before its length, or its length is not one.
    """
    length = content_length(environ)
    if length is not None:
        if length > limit_bytes:
            raise too_large(limit_bytes)
        return read_exactly(environ["wsgi.input"], length)
    # Only a server that marks the body's end itself can be read to the end.
    return _read_up_to(environ["wsgi.input"], limit_bytes) if environ.get("wsgi.input_terminated") else b""


def content_length(environ: dict[str, Any]) -> int | None:
    """The length that a request gives for its body; None: it gives none.

    Raises:
        BadRequestError: It is not a number.
    """
    text = environ.get("CONTENT_LENGTH")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise BadRequestError("Content-Length must be a number of bytes.")
    return int(text)


def too_large(limit_bytes: int) -> TooLargeError:
    """The refusal of a body over the limit."""
    return TooLargeError(f"The body is over the limit of {limit_bytes / 2**20:.6g} MB ({limit_bytes} bytes).")


def read_exactly(stream: Any, length: int) -> bytes:
    """So many bytes of a stream.

    Raises:
        BadRequestError: It ended before.
    """
    body: bytes = stream.read(length) if length else b""
    if len(body) == length:
        return body
    pieces, missing = [body], length - len(body)
    while missing:
        piece = stream.read(missing)
        if not piece:
            raise BadRequestError(f"The body ended {missing} bytes before its Content-Length of {length}.")
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _read_up_to(stream: Any, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := stream.read(_PIECE_BYTES):
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def parse_query(text: str) -> Query:
    """The members of a query string by name, each with all its values in their order.

    Raises:
        BadRequestError: It is not UTF-8, or has too many members.
    """
    if not text:
        return _EMPTY
    return _kept_query(text) if len(text) <= _LONGEST_KEPT else _query(text)


def _query(text: str) -> Query:
    members: dict[str, tuple[str, ...]] = {}
    try:
        # A WSGI environment holds the bytes of the query as Latin-1.
        raw = text.encode("latin-1").decode("utf-8")
        # Two queries with different bytes must not become the same text, so nothing is replaced.
        pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=_MOST_MEMBERS)
    except UnicodeError:
        raise BadRequestError("The query is not UTF-8.") from None
    except ValueError:
        raise BadRequestError(f"The query has more than {_MOST_MEMBERS} members.") from None
    for name, value in pairs:
        members[name] = (*members.get(name, ()), value)
    return MappingProxyType(members)


_EMPTY: Query = MappingProxyType({})
_kept_query = lru_cache(maxsize=_KEPT_QUERIES)(_query)


@lru_cache(maxsize=_KEPT_QUERIES)
def _media_type(header: str) -> str | None:
    return header.partition(";")[0].strip().lower() or None


def media_type(content_type: str | None) -> str | None:
    """The media type of a `Content-Type` header: without parameters, in lower case; None where there is none."""
    return _media_type(content_type) if content_type else None
