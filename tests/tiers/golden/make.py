"""Writes the golden records: `python -m tests.tiers.golden.make`. Those of released versions are never written again.

`version-1.bin` is what this version writes. `version-2.bin` is what the next one may write: with two fields more, and
readable by this one. `version-3.bin` is one that says that this version cannot read it.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from pathlib import Path

from recoup.cache.tier import Payload, TierEntry
from recoup.tiers.record import encode

FOLDER = Path(__file__).parent

ENTRY = TierEntry(
    key="00112233445566778899aabbccddeeff",
    pipeline="chat",
    value=None,
    created_at=1_800_000_000.25,
    expires_at=1_800_086_400.25,
    cost_seconds=12.5,
    price=0.03,
    groups=("model:größe", "all"),
    fingerprint=bytes(range(16)),
)
PAYLOAD = Payload(
    b'{"answer": 42}',
    "application/json; charset=utf-8",
    ((b"openai-model", b"m\xff1"), (b"x-empty", b"")),
    201,
    '"0123"',
)


def of_version(record: bytes, version: int, readable_from: int, more: bytes = b"") -> bytes:
    """A record as another version would have written it, with more fields after the others."""
    header_length, body_length = struct.unpack_from(">IQ", record, 8)
    header, body = record[36 : 36 + header_length] + more, record[36 + header_length :]
    start = struct.pack(">4sBBHIQ", b"\x89RCP", version, readable_from, 0, len(header), body_length)
    checksum = blake2b(start + header + body, digest_size=16, person=b"recoup-record").digest()
    return start + checksum + header + body


def golden() -> dict[str, bytes]:
    record = encode(ENTRY, PAYLOAD)
    more = struct.pack(">BI", 200, 3) + b"new" + struct.pack(">BI", 201, 0)
    return {
        "version-1.bin": record,
        "version-2.bin": of_version(record, 2, 1, more),
        "version-3.bin": of_version(record, 3, 2, more),
    }


if __name__ == "__main__":
    for name, record in golden().items():
        (FOLDER / name).write_bytes(record)
