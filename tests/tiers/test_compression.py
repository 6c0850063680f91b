"""Compression pays, or is left."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import zstandard

from recoup.cache.tier import Payload
from recoup.tiers import compression
from recoup.tiers.compression import Compression, CompressionError, decompress
from recoup.tiers.record import RecordError, decode, encode

from .golden.make import ENTRY

TEXT = b"some words, and some of them again. " * 1000


def test_a_text_gets_shorter_and_comes_back() -> None:
    payload = Payload(TEXT, "text/plain")
    record = encode(ENTRY, payload, Compression())
    assert len(record) < len(TEXT) / 4
    assert payload == decode(record).payload


@pytest.mark.parametrize(
    "payload",
    [
        Payload(os.urandom(100_000), "application/octet-stream"),
        Payload(os.urandom(3 << 20), "application/octet-stream"),
        Payload(TEXT[:511], "text/plain"),
        Payload(TEXT, "image/png"),
        Payload(TEXT, "video/mp4"),
        Payload(TEXT, "text/plain", ((b"content-encoding", b"gzip"),)),
        Payload(b"", ""),
    ],
    ids=["noise", "much noise", "short", "png", "video", "encoded", "empty"],
)
def test_what_would_not_get_shorter_is_kept_as_it_is(payload: Payload) -> None:
    assert None is Compression().compress("p", payload)
    assert payload == decode(encode(ENTRY, payload, Compression())).payload


def test_a_pipeline_can_do_without() -> None:
    entry = replace(ENTRY, compress=False)
    assert len(encode(entry, Payload(TEXT), Compression())) > len(TEXT)


def test_without_the_library_nothing_is_compressed_and_what_is_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = encode(ENTRY, Payload(TEXT), Compression())
    monkeypatch.setattr(compression, "zstandard", None)
    assert Payload(TEXT) == decode(encode(ENTRY, Payload(TEXT), Compression())).payload
    with pytest.raises(RecordError):
        decode(packed)


@pytest.mark.parametrize("length", [0, len(TEXT) - 1, len(TEXT) + 1, 2**63])
def test_a_body_that_is_not_as_long_as_it_says_is_refused(length: int) -> None:
    with pytest.raises(CompressionError):
        decompress(zstandard.compress(TEXT), length)


def test_a_frame_that_would_take_a_lot_of_memory_is_refused_before_it_is_read() -> None:
    bomb = zstandard.compress(bytes(1 << 20))
    assert len(bomb) < 1000
    with pytest.raises(CompressionError):
        decompress(bomb, 1000)
    with pytest.raises(CompressionError):
        decompress(bomb + b"more", 1 << 20)
