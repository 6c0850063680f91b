"""Content encodings are undone as browsers do it, within a limit, in time that grows with the body's length alone."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.errors import UpstreamError
from recoup.pipelines.decoding import decoded

EMPTY_MEMBER = gzip.compress(b"")


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"hello") + b"\0" * 1000),
        ("gzip", gzip.compress(b"he") + gzip.compress(b"llo") + b"\0"),
        ("deflate", raw_deflate(b"hello")),
        ("deflate", zlib.compress(b"hello")),
        ("x-gzip", gzip.compress(b"hello")),
        ("gzip, identity,", gzip.compress(b"hello")),
    ],
    ids=["gzip and zeros", "members and zeros", "raw deflate", "zlib", "the old name", "with nothing"],
)
def test_what_browsers_take_is_taken(encoding, body):
    assert b"hello" == decoded(body, encoding, 100)


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("gzip", gzip.compress(b"hello") + b"\0x", "cannot be decoded"),
        ("gzip", gzip.compress(b"hello") + b"x", "cannot be decoded"),
        ("gzip", gzip.compress(b"hello")[:-1], "ends early"),
        ("gzip", b"\0" * 30, "cannot be decoded"),
        ("deflate", raw_deflate(b"hello")[:-1], "ends early"),
        ("deflate", b"\xff" * 30, "cannot be decoded"),
        ("br", b"x", "'br', which was not asked for"),
        ("x" * 10_000, b"x", "which was not asked for"),
        ("gzip," * 5, gzip.compress(b""), "5 content encodings"),
    ],
    ids=[
        "zeros and more",
        "more",
        "short gzip",
        "zeros",
        "short deflate",
        "no deflate",
        "unknown",
        "unknown and long",
        "five times",
    ],
)
def test_what_is_broken_is_a_502_whose_message_is_short(encoding, body, says):
    with pytest.raises(UpstreamError, match=says) as raised:
        decoded(body, encoding, 100)
    assert len(str(raised.value)) < 200


@given(st.binary(max_size=5000), st.lists(st.integers(0, 5000), max_size=5), st.integers(0, 50))
def test_any_body_in_any_members_comes_back(body, cuts, zeros):
    ends = [*sorted(cut for cut in cuts if cut <= len(body)), len(body)]
    starts = [0, *ends[:-1]]
    members = b"".join(gzip.compress(body[start:end]) for start, end in zip(starts, ends, strict=True))
    assert body == decoded(members + b"\0" * zeros, "gzip", 5000)
    if body:
        with pytest.raises(UpstreamError, match="larger than"):
            decoded(members, "gzip", len(body) - 1)


def test_a_bomb_ends_at_the_limit():
    with pytest.raises(UpstreamError, match="larger than 1 MB"):
        decoded(gzip.compress(bytes(200_000_000), 1), "gzip", 2**20)


def test_a_million_empty_members_are_refused_before_they_are_gone_through():
    with pytest.raises(UpstreamError, match="more than 65536 gzip members"):
        decoded(EMPTY_MEMBER * 1_000_000, "gzip", 2**20)


@pytest.mark.load
def test_the_time_is_linear_in_the_number_of_members():
    def seconds(members: int) -> float:
        body = EMPTY_MEMBER * members
        began = time.process_time()
        assert decoded(body, "gzip", 100) == b""
        return time.process_time() - began

    few, many = (min(seconds(count) for _ in range(3)) for count in (2_000, 40_000))
    assert many < 60 * few  # twenty times as many take twenty times as long; they took four hundred
