"""The bodies are what they are said to be: small to send, and dear or wrong to read."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from benchmarks.hostile import payloads
from PIL import Image


def test_empty_arrays_are_json_of_their_size() -> None:
    body = payloads.empty_arrays(3001)
    assert 2990 <= len(body) <= 3001
    assert [[]] * 1000 == json.loads(body)


def test_nested_arrays_hold_each_other() -> None:
    assert b"[[[[[]]]]]" == payloads.nested_arrays(10)


def test_the_duplicate_is_the_last_member() -> None:
    names = [name for name, _ in json.loads(payloads.duplicate_member(1000), object_pairs_hook=list)]
    assert (names[-1], len(names) - 1) == (names[-2], len(set(names)))


def test_gzip_members_hold_nothing() -> None:
    body = payloads.empty_gzip_members(50)
    assert (1000, b"") == (len(body), gzip.decompress(body))


def test_the_garbage_begins_as_an_image_and_is_none() -> None:
    with Image.open(io.BytesIO(payloads.garbage_png(100_000))) as image:
        assert (6000, 4000) == image.size
        with pytest.raises(OSError, match="broken data stream"):
            image.load()


def test_the_gigapixel_image_is_whole_and_small() -> None:
    body = payloads.gigapixel_png(2000)
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        assert ((2000, 2000), (0, 0)) == (image.size, image.getextrema())
    assert len(body) < 2000 * 2000 / 8 / 100


def test_the_jpeg_has_as_many_scans_as_asked_for_and_can_be_decoded() -> None:
    body = payloads.jpeg_of_scans(100, 64)
    assert 100 == body.count(b"\xff\xda")
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        assert (64, 64) == image.size
