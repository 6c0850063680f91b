"""Compression of bodies: zstd (RFC 8878) where it shrinks them and pays; without the library, none."""

from __future__ import annotations

from typing import Any, Final

from recoup.cache.tier import Payload

try:
    import zstandard
except ImportError:  # the library alone, without the extras that name it
    zstandard = None  # type: ignore[assignment,unused-ignore]

#: Shorter bodies are kept as they are: a record's header is as long.
_LEAST_BYTES: Final = 512
#: The fastest level that finds most of what there is to find; measured in docs/explanation/tiers.md.
_LEVEL: Final = 1
#: A body that does not get shorter than this share of itself is kept as it is.
_WORTH: Final = 0.9
#: Of a longer body, two pieces of this length say whether all of it is worth trying.
_PIECE: Final = 64 << 10
#: A body that says that it is longer than this when whole is not read.
_MOST_BYTES: Final = 4 << 30
#: Bodies of these types are compressed already. What else is, its pieces show.
_PACKED: Final = ("image/png", "image/jpeg", "image/webp", "image/avif", "video/", "audio/", "application/zip")


class CompressionError(ValueError):
    """A compressed body that cannot be read."""


class Compression:
    """Decides and compresses. Safe under threads.

    Attributes:
        available: Whether there is a library that does it.
    """

    available: bool = zstandard is not None

    def compress(self, pipeline: str, payload: Payload) -> bytes | None:
        """A payload's body, compressed; None: it is better kept as it is."""
        body = payload.body
        if zstandard is None or len(body) < _LEAST_BYTES or payload.content_type.startswith(_PACKED):
            return None
        if any(name == b"content-encoding" for name, _ in payload.headers):
            return None
        compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        if len(body) > 4 * _PIECE:
            middle = len(body) // 2
            pieces = body[:_PIECE] + body[middle : middle + _PIECE]
            if len(compress(pieces)) > _WORTH * len(pieces):
                return None
        packed: bytes = compress(body)
        return packed if len(packed) <= _WORTH * len(body) else None


def decompress(body: Any, length: int) -> bytes:
    """The body as it was, which has `length` bytes.

    Raises:
        CompressionError: It cannot be read, is not of that length, or there is no library to read it with.
    """
    if zstandard is None:
        raise CompressionError("it is compressed, and the library zstandard is not installed")
    try:
        # A frame says how long its content is, and so much would be allocated.
        if length > _MOST_BYTES or zstandard.frame_content_size(body) != length:
            raise CompressionError("it is not as long as it says")
        whole: bytes = zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    except zstandard.ZstdError:
        raise CompressionError("it cannot be decompressed") from None
    if len(whole) != length:
        raise CompressionError("it is not as long as it says")
    return whole
