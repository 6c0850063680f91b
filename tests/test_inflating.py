"""Inflating: any content comes back in small pieces, and the work grows with the body's length alone."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
import zlib

import pytest

from recoup.inflating import InflateError, inflate

EMPTY_MEMBER = gzip.compress(b"", mtime=0)
PIECE = 2**18


def inflated(body, coding="gzip", most_members=100):
    pieces: list[bytes] = []
    inflate(body, coding, pieces.append, most_members=most_members)
    return pieces


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE, 5 * PIECE + 7])
@pytest.mark.parametrize("fill", [bytes, os.urandom], ids=["zeros", "random"])
@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)], ids=["gzip", "zlib"]
)
def test_content_of_any_size_comes_back_in_small_pieces(size, fill, coding, pack):
    content = fill(size)
    pieces = inflated(pack(content), coding)
    assert content == b"".join(pieces)
    assert all(len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize(
    ("body", "coding", "says"),
    [
        (b"", "gzip", "ends early"),
        (gzip.compress(b"cat")[:-1], "gzip", "ends early"),
        (gzip.compress(bytes(3 * PIECE))[:-9], "gzip", "ends early"),
        (b"no gzip", "gzip", "incorrect header"),
        (zlib.compress(b"cat") + b"x", "deflate", "goes on after its end"),
        (EMPTY_MEMBER * 101, "gzip", "more than 100 gzip members"),
    ],
    ids=["nothing", "cut", "cut, and long", "none", "more", "many members"],
)
def test_what_is_broken_is_told(body, coding, says):
    with pytest.raises(InflateError, match=says):
        inflated(body, coding)


def test_what_the_taker_raises_ends_the_work():
    class EnoughError(Exception):
        pass

    pieces: list[bytes] = []

    def take(piece):
        pieces.append(piece)
        if len(pieces) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        inflate(gzip.compress(bytes(100 * PIECE)), "gzip", take, most_members=1)
    assert 3 == len(pieces)


def test_a_bomb_takes_no_memory_but_its_pieces():
    bomb = gzip.compress(bytes(200 * PIECE))
    tracemalloc.start()
    try:
        inflate(bomb, "gzip", len, most_members=1)
        assert tracemalloc.get_traced_memory()[1] < 8 * PIECE
    finally:
        tracemalloc.stop()


@pytest.mark.load
def test_what_comes_after_the_members_costs_nothing():
    """It was copied for each of them."""

    def seconds(behind: bytes) -> float:
        body = EMPTY_MEMBER * 4096 + behind
        began = time.process_time()
        with pytest.raises(InflateError):
            inflate(body, "gzip", len, most_members=4096)
        return time.process_time() - began

    short, long = (min(seconds(behind) for _ in range(3)) for behind in (EMPTY_MEMBER, EMPTY_MEMBER * 500_000))
    assert long < 5 * short
