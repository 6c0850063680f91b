"""The wire format of results: what the disk and the shared tier hold for a key. Version 1.

    offset  bytes  what
         0      4  89 52 43 50: the beginning of every record
         4      1  the version that it was written by
         5      1  the oldest version that can read it
         6      2  zero, for later
         8      4  the length of the header
        12      8  the length of the body
        20     16  BLAKE2b (RFC 7693) of all that comes before and after it
        36         the header: fields, each one byte of tag, four of length, and its value; tags ascend
                   the body

Numbers are big-endian. Times are seconds of the Unix epoch, as doubles; an expiry of infinity is none.

A reader reads every version from `OLDEST` to `VERSION`, and of later ones those that name a version of its own as the
oldest reader; it skips tags that it does not know. So a version that adds fields is read by the one before it, and
reads that one's records: two releases that follow each other share their tiers. A record that cannot be read is a
`RecordError`, whatever is wrong with it: nothing of it is used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from recoup.cache.tier import Payload, TierEntry
from recoup.tiers.compression import Compression, decompress

VERSION: Final = 1
OLDEST: Final = 1
#: The oldest version that can read what this one writes.
_READABLE_FROM: Final = 1
_MAGIC: Final = b"\x89RCP"
_START: Final = struct.Struct(">4sBBHIQ")
_CHECKSUM_BYTES: Final = 16
_FIELD: Final = struct.Struct(">BI")
_DOUBLE: Final = struct.Struct(">d")
_LENGTH: Final = struct.Struct(">Q")
_STATUS: Final = struct.Struct(">H")
_NAME: Final = struct.Struct(">H")
_BEGIN: Final = _START.size + _CHECKSUM_BYTES

_KEY, _PIPELINE, _TYPE, _CREATED, _EXPIRES, _COST, _PRICE = 1, 2, 3, 4, 5, 6, 7
_STATUS_TAG, _ETAG, _FINGERPRINT, _COMPRESSION, _WHOLE_LENGTH, _GROUP, _HEADER = 8, 9, 10, 11, 12, 13, 14
#: Those that may be there several times.
_REPEATED: Final = frozenset({_GROUP, _HEADER})
_ZSTD: Final = b"zstd"


class RecordError(ValueError):
    """A record that cannot be read; says why, and not what is in it."""


class OtherVersionError(RecordError):
    """A record of a version that this one cannot read, and that may well be whole."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: `entry` has no value yet, which a codec makes of `payload`."""

    entry: TierEntry
    payload: Payload


def encode(entry: TierEntry, payload: Payload, compression: Compression | None = None) -> bytes:
    """Write a record; its body compressed, where `compression` finds that it pays."""
    body = payload.body
    fields = [
        (_KEY, entry.key.encode()),
        (_PIPELINE, entry.pipeline.encode()),
        (_TYPE, payload.content_type.encode("utf-8", "surrogatepass")),
        (_CREATED, _DOUBLE.pack(entry.created_at)),
        (_EXPIRES, _DOUBLE.pack(entry.expires_at)),
        (_COST, _DOUBLE.pack(entry.cost_seconds)),
        (_PRICE, _DOUBLE.pack(entry.price)),
        (_STATUS_TAG, _STATUS.pack(payload.status)),
        (_ETAG, payload.etag.encode("utf-8", "surrogatepass")),
        (_FINGERPRINT, entry.fingerprint),
    ]
    packed = compression.compress(entry.pipeline, payload) if compression is not None and entry.compress else None
    if packed is not None:
        fields += [(_COMPRESSION, _ZSTD), (_WHOLE_LENGTH, _LENGTH.pack(len(body)))]
        body = packed
    fields += [(_GROUP, group.encode()) for group in entry.groups]
    fields += [(_HEADER, _NAME.pack(len(name)) + name + value) for name, value in payload.headers]
    header = b"".join(_FIELD.pack(tag, len(value)) + value for tag, value in fields)
    start = _START.pack(_MAGIC, VERSION, _READABLE_FROM, 0, len(header), len(body))
    return b"".join((start, _checksum(start, header, body), header, body))


def decode(data: bytes, key: str | None = None) -> Record:
    """Read a record.

    Args:
        data: All of it, and nothing else.
        key: The key that it was stored by; None: whatever is in it.

    Raises:
        RecordError: It cannot be read.
        OtherVersionError: It is of a version that this one does not read.
    """
    header, body = _parts(data)
    try:
        record = _record(_fields(header), body)
    except RecordError:
        raise
    except (ValueError, struct.error, KeyError) as error:
        raise RecordError(f"a field cannot be read: {type(error).__name__}") from None
    if key is not None and record.entry.key != key:
        raise RecordError("it belongs to another key")
    return record


def _parts(data: bytes) -> tuple[memoryview, memoryview]:
    """The header and the body, once all of it is what was written."""
    if len(data) < _BEGIN:
        raise RecordError("it is too short")
    magic, version, readable_from, zero, header_length, body_length = _START.unpack_from(data)
    if magic != _MAGIC:
        raise RecordError("it does not begin as a record")
    view = memoryview(data)
    header, body = view[_BEGIN : _BEGIN + header_length], view[_BEGIN + header_length :]
    if len(header) != header_length or len(body) != body_length:
        raise RecordError("it is not as long as it says")
    # Of every version: so one that is broken is not taken for one of another version.
    if _checksum(view[: _START.size], header, body) != data[_START.size : _BEGIN]:
        raise RecordError("its checksum is wrong")
    if version < OLDEST or not readable_from <= VERSION or readable_from > version or zero:
        raise OtherVersionError(f"it is of version {version}, which version {VERSION} does not read")
    return header, body


def _checksum(start: bytes | memoryview, header: bytes | memoryview, body: bytes | memoryview) -> bytes:
    digest = blake2b(start, digest_size=_CHECKSUM_BYTES, person=b"recoup-record")
    digest.update(header)
    digest.update(body)
    return digest.digest()


def _fields(header: memoryview) -> dict[int, list[bytes]]:
    """The values by tag."""
    fields: dict[int, list[bytes]] = {}
    last = 0
    for tag, value in _each_field(header):
        if tag < last or (tag == last and tag not in _REPEATED):
            raise RecordError("its fields are out of order")
        last = tag
        fields.setdefault(tag, []).append(value)
    return fields


def _each_field(header: memoryview) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(header):
        tag, length = _FIELD.unpack_from(header, place)
        place += _FIELD.size
        value = bytes(header[place : place + length])
        if len(value) != length:
            raise RecordError("a field is not as long as it says")
        place += length
        yield tag, value


def _record(fields: dict[int, list[bytes]], body: memoryview) -> Record:
    entry = TierEntry(
        key=fields[_KEY][0].decode("ascii"),
        pipeline=fields[_PIPELINE][0].decode(),
        value=None,
        created_at=_number(fields[_CREATED][0]),
        expires_at=_number(fields[_EXPIRES][0], infinite=True),
        cost_seconds=_number(fields[_COST][0]),
        price=_number(fields[_PRICE][0]),
        groups=tuple(group.decode() for group in fields.get(_GROUP, ())),
        fingerprint=fields[_FINGERPRINT][0],
    )
    if entry.cost_seconds < 0 or entry.price < 0:
        raise RecordError("a cost is negative")
    return Record(
        entry,
        Payload(
            _whole(fields, body),
            fields[_TYPE][0].decode("utf-8", "surrogatepass"),
            tuple(map(_header_line, fields.get(_HEADER, ()))),
            _STATUS.unpack(fields[_STATUS_TAG][0])[0],
            fields[_ETAG][0].decode("utf-8", "surrogatepass"),
        ),
    )


def _number(value: bytes, *, infinite: bool = False) -> float:
    number: float = _DOUBLE.unpack(value)[0]
    if math.isnan(number) or (math.isinf(number) and not (infinite and number > 0)):
        raise RecordError("a number is none")
    return number


def _header_line(value: bytes) -> tuple[bytes, bytes]:
    (length,) = _NAME.unpack_from(value)
    line = value[_NAME.size :]
    if len(line) < length:
        raise RecordError("a header is not as long as it says")
    return line[:length], line[length:]


def _whole(fields: dict[int, list[bytes]], body: memoryview) -> bytes:
    if _COMPRESSION not in fields:
        return bytes(body)
    if fields[_COMPRESSION][0] != _ZSTD:
        raise OtherVersionError("its body is compressed in a way that this version does not know")
    (length,) = _LENGTH.unpack(fields[_WHOLE_LENGTH][0])
    return decompress(body, length)
