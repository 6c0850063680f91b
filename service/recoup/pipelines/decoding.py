"""Content encodings of an upstream's answer, undone within a limit."""

from __future__ import annotations

import io

from recoup.errors import UpstreamError
from recoup.inflating import InflateError, inflate

#: Gzip members in one body. Each costs microseconds however short it is; block-wise compressors make one for 64 KB.
_MOST_MEMBERS = 1 << 16
#: Encodings of one body. Each may cost as much as the largest result.
_MOST_ENCODINGS = 4


def decoded(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """Undo the encodings of a `Content-Encoding`, the last one first.

    Raises:
        UpstreamError: An encoding is unknown, the body is broken or ends early, or its content is over `max_bytes`.
    """
    names = [name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS:
        raise UpstreamError(f"the upstream's body has {len(names)} content encodings; at most {_MOST_ENCODINGS} do")
    for name in reversed(names):
        if name not in ("gzip", "x-gzip", "deflate"):
            raise UpstreamError(f"the upstream's body is in the encoding {name[:40]!r}, which was not asked for")
        body = _inflated(body, name.removeprefix("x-"), max_bytes)
    return body


def too_large(max_bytes: int) -> UpstreamError:
    """The error about a result over the limit."""
    return UpstreamError(f"the upstream's result is larger than {max_bytes / 2**20:g} MB")


def _inflated(body: bytes, coding: str, max_bytes: int) -> bytes:
    whole = io.BytesIO()

    def take(piece: bytes) -> None:
        whole.write(piece)
        if whole.tell() > max_bytes:
            raise too_large(max_bytes)

    try:
        inflate(body, coding, take, most_members=_MOST_MEMBERS)
    except InflateError as error:
        raise UpstreamError(f"the upstream's body cannot be decoded: {error}") from error
    return whole.getvalue()
