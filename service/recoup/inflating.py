"""Inflating: gzip and deflate bodies, in small pieces, in time that is linear in the body's length."""

from __future__ import annotations

import zlib
from collections.abc import Callable

#: zlib's window bits for gzip and zlib by their header, and for deflate without any.
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
#: Input is given to zlib in slices of these sizes: it copies what comes after a member, which is short this way.
_FIRST_SLICE, _LARGEST_SLICE = 1 << 8, 1 << 16
#: Output is taken from zlib in pieces of at most this size.
_PIECE_BYTES = 1 << 18


class InflateError(ValueError):
    """A body that is not in its coding; says what is wrong with it."""


def inflate(body: bytes, coding: str, take: Callable[[bytes], object], *, most_members: int) -> None:
    """Inflate a body.

    Accepted as browsers do: zeros after a gzip body, and raw deflate (RFC 1951) under the name of `deflate`, which by
    RFC 9110, section 8.4.1.2, is zlib's format.

    Args:
        body: The body, whole.
        coding: `gzip` or `deflate`.
        take: Gets the content, piece by piece. What it raises ends the work.
        most_members: Of gzip: each costs microseconds, however short it is. Deflate has one.

    Raises:
        InflateError: The body is broken, ends early, goes on after its end, or has too many members.
    """
    view, position = memoryview(body), 0
    window = _GZIP if coding == "gzip" else _ZLIB if _has_zlib_header(body) else _RAW
    for _ in range(most_members if window == _GZIP else 1):
        position = _inflate_member(view, position, window, take)
        if position == len(view):
            return
        if window == _GZIP and view[position] == 0 and body.count(0, position) == len(body) - position:
            return
    raise InflateError(
        f"it has more than {most_members} gzip members" if window == _GZIP else "it goes on after its end"
    )


def _has_zlib_header(body: bytes) -> bool:
    """Whether a body begins as RFC 1950 says; raw deflate that is padded with zeros never does."""
    return len(body) >= 2 and body[0] & 15 == 8 and (body[0] * 256 + body[1]) % 31 == 0


def _inflate_member(view: memoryview, position: int, window: int, take: Callable[[bytes], object]) -> int:
    """Inflate one member from a position on; returns where it ends."""
    member, size = zlib.decompressobj(window), _FIRST_SLICE
    while not member.eof:
        rest: bytes | memoryview = view[position : position + size]
        if not rest:
            raise InflateError("it ends early")
        position += len(rest)
        size = min(2 * size, _LARGEST_SLICE)
        full = True
        while rest or (full and not member.eof):  # zlib may have more to give than it was given
            content = _decompress(member, rest)
            take(content)
            rest, full = member.unconsumed_tail, len(content) == _PIECE_BYTES
    return position - len(member.unused_data)


def _decompress(member: zlib._Decompress, data: bytes | memoryview) -> bytes:
    try:
        return member.decompress(data, _PIECE_BYTES)
    except zlib.error as error:
        raise InflateError(str(error)) from error
