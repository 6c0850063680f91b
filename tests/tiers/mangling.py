"""Mangled records: `python -m tests.tiers.mangling [COUNT]` makes 100,000 of them, and counts those that are read."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from hashlib import blake2b

from recoup.cache.tier import Payload
from recoup.tiers.compression import Compression
from recoup.tiers.record import RecordError, decode, encode

from .golden.make import ENTRY, PAYLOAD

#: One with all fields, one whose body is compressed, one of a few bytes.
RECORDS = (
    encode(ENTRY, PAYLOAD),
    encode(ENTRY, Payload(b"a text that gets shorter. " * 200, "text/plain"), Compression()),
    encode(ENTRY, Payload(b"", "")),
)


def mangle(record: bytes, draw: random.Random) -> bytes:
    """The record with one thing wrong: bits, bytes, a piece that is lost, doubled, moved, zeroed, or of another."""
    data = bytearray(record)
    start = draw.randrange(len(data))
    end = min(len(data), start + draw.choice((1, 2, 4, 8, 64, 512)))
    kind = draw.randrange(9)
    if kind == 0:
        data[start] ^= 1 << draw.randrange(8)
    elif kind == 1:
        data[start:end] = draw.randbytes(end - start)
    elif kind == 2:
        del data[start:]
    elif kind == 3:
        del data[start:end]
    elif kind == 4:
        data[start:start] = data[start:end]
    elif kind == 5:
        data[start:end] = bytes(end - start)
    elif kind == 6:
        other = draw.choice(RECORDS)
        data[start:] = other[start:]
    elif kind == 7:
        data += draw.randbytes(draw.randrange(1, 64))
    else:
        piece = data[start:end]
        del data[start:end]
        place = draw.randrange(len(data) + 1)
        data[place:place] = piece
    return bytes(data)


def mangled(count: int, seed: int) -> Iterator[bytes]:
    """So many, all of them different from the record that they were made of."""
    draw = random.Random(seed)
    while count:
        record = draw.choice(RECORDS)
        data = mangle(record, draw)
        if data not in RECORDS:
            count -= 1
            yield data


def with_checksum(data: bytes) -> bytes:
    """A mangled record whose checksum is right again, and whose lengths are: so its fields are what is refused."""
    if len(data) < 36:
        return data
    header_length = min(struct.unpack_from(">I", data, 8)[0], len(data) - 36)
    header, body = data[36 : 36 + header_length], data[36 + header_length :]
    start = struct.pack(">4sBBHIQ", b"\x89RCP", 1, 1, 0, len(header), len(body))
    return start + blake2b(start + header + body, digest_size=16, person=b"recoup-record").digest() + header + body


def read(data: bytes) -> bool:
    """Whether a record is read. Whatever is not a `RecordError` comes through."""
    try:
        decode(data)
    except RecordError:
        return False
    return True


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = random.SystemRandom().randrange(2**32)
    served = sum(map(read, mangled(count, seed)))
    print(f"{count} mangled records, seed {seed}: {served} of them were read")
    return 1 if served else 0


if __name__ == "__main__":
    sys.exit(main())
