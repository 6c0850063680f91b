"""Content encodings of an upstream's answer, undone within a limit, in time that is linear in the body's length."""

from __future__ import annotations

import io
import zlib

from recoup.errors import UpstreamError

#: zlib's window, and 32 for: gzip or zlib, as the header says.
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
#: Input is given to zlib in slices of these sizes: it copies what comes after a member, which is short this way.
_FIRST_SLICE, _LARGEST_SLICE = 1 << 8, 1 << 16
#: Gzip members in one body. Each costs microseconds however short it is; block-wise compressors make one for 64 KB.
_MOST_MEMBERS = 1 << 16
#: Encodings of one body. Each may cost as much as the largest result.
_MOST_ENCODINGS = 4


def decoded(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """Undo the encodings of a `Content-Encoding`, the last one first.

    Accepted as browsers do: zeros after a gzip body, and raw deflate (RFC 1951) under the name of `deflate`.

    Raises:
        UpstreamError: An encoding is unknown, the body is broken or ends early, or its content is over `max_bytes`.
    """
    names = [name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise UpstreamError(f"the upstream's body has {len(names)} content encodings; at most {_MOST_ENCODINGS} do")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            body = _inflated(body, _GZIP_OR_ZLIB, max_bytes)
        elif name == "deflate":
            body = _deflate(body, max_bytes)
        else:
            raise UpstreamError(f"the upstream's body is in the encoding {name[:40]!r}, which was not asked for")
    return body


def too_large(max_bytes: int) -> UpstreamError:
    """The error about a result over the limit."""
    return UpstreamError(f"the upstream's result is larger than {max_bytes / 2**20:g} MB")


def _deflate(body: bytes, max_bytes: int) -> bytes:
    try:
        return _inflated(body, _GZIP_OR_ZLIB, max_bytes)
    except UpstreamError as error:
        if not isinstance(error.__cause__, zlib.error):
            raise
    return _inflated(body, _RAW_DEFLATE, max_bytes)


def _inflated(body: bytes, window: int, max_bytes: int) -> bytes:
    """Inflate all members of a body; zeros may come after the last one."""
    whole, view, position = io.BytesIO(), memoryview(body), 0
    for _ in range(_MOST_MEMBERS):
        if position == len(view):
            return whole.getvalue()
        if position and view[position] == 0 and body.count(0, position) == len(body) - position:
            return whole.getvalue()
        position = _inflate_member(view, position, window, whole, max_bytes)
    raise UpstreamError(f"the upstream's body cannot be decoded: it has more than {_MOST_MEMBERS} gzip members")


def _inflate_member(view: memoryview, position: int, window: int, whole: io.BytesIO, max_bytes: int) -> int:
    """Inflate one member from a position on; returns where it ends."""
    member, size = zlib.decompressobj(window), _FIRST_SLICE
    while not member.eof:
        piece = view[position : position + size]
        if not piece:
            raise UpstreamError("the upstream's body cannot be decoded: it ends early")
        position += len(piece)
        try:
            whole.write(member.decompress(piece, max_bytes + 1 - whole.tell()))
        except zlib.error as error:
            raise UpstreamError(f"the upstream's body cannot be decoded: {error}") from error
        if whole.tell() > max_bytes:
            raise too_large(max_bytes)
        size = min(2 * size, _LARGEST_SLICE)
    return position - len(member.unused_data)
