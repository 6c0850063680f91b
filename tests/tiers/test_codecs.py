"""Codecs: what comes back is what was stored, or it is not stored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.cache.codecs import checked_codec
from recoup.cache.tier import Payload
from recoup.errors import ConfigurationError
from recoup.tiers import NumpyCodec

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal types all the way down: `1`, `1.0` and `True` are three values."""
    return type(left) is type(right) and repr(left) == repr(right)


@given(json_values)
def test_json_gives_back_what_it_takes(value: Any) -> None:
    codec = checked_codec("json")
    assert same(value, codec.from_payload(codec.to_payload(value)))


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: "a"}, {"a": (1,)}, math.nan, math.inf, b"bytes", {1, 2}, object(), [type("L", (list,), {})()]],
    ids=lambda value: type(value).__name__,
)
def test_json_refuses_what_would_come_back_otherwise(value: Any) -> None:
    with pytest.raises(TypeError, match="JSON would not give back"):
        checked_codec("json").to_payload(value)


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), None, 1], ids=repr)
def test_bytes_takes_bytes_alone(value: Any) -> None:
    codec = checked_codec("bytes")
    assert b"x" == codec.from_payload(codec.to_payload(b"x"))
    with pytest.raises(TypeError, match="stores bytes"):
        codec.to_payload(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype="<i4").reshape(3, 4),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.array([], dtype=bool),
        np.array(3 + 4j),
        np.array([("a", 1)], dtype=[("name", "U5"), ("count", ">u2")]),
        np.array(["2026-01-01"], dtype="datetime64[D]"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_arrays_come_back_with_type_shape_and_order(array: Any) -> None:
    codec = checked_codec(NumpyCodec())
    back = codec.from_payload(codec.to_payload(array))
    assert array.tobytes("A") == back.tobytes("A")
    assert (array.dtype, array.shape, array.flags.f_contiguous) == (back.dtype, back.shape, back.flags.f_contiguous)
    assert back.flags.owndata or back.base is not None


@pytest.mark.parametrize(
    "value",
    [np.array([{}, None]), np.ma.masked_array([1, 2], [False, True]), [1, 2], np.float64(1.0)],
    ids=lambda v: type(v).__name__,
)
def test_arrays_of_objects_and_what_is_no_array_are_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        NumpyCodec().encode(value)


def test_an_array_with_something_behind_it_is_refused() -> None:
    data = NumpyCodec().encode(np.arange(3))
    with pytest.raises(ValueError, match="more than one"):
        NumpyCodec().decode(data + b"x")


def test_pickled_objects_are_not_read() -> None:
    from io import BytesIO

    target = BytesIO()
    np.save(target, np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        NumpyCodec().decode(target.getvalue())


class Reversed:
    """A codec of one's own."""

    def encode(self, value: str) -> bytes:
        return value[::-1].encode()

    def decode(self, data: bytes) -> str:
        return data.decode()[::-1]


def test_a_codec_of_ones_own_has_two_methods() -> None:
    codec = checked_codec(Reversed())
    assert b"cba" == codec.to_payload("abc").body
    assert "abc" == codec.from_payload(codec.to_payload("abc"))


def test_what_another_codec_has_written_is_not_read() -> None:
    with pytest.raises(ValueError, match="written as"):
        checked_codec("json").from_payload(checked_codec(Reversed()).to_payload("1"))


def test_a_codec_that_gives_no_bytes_is_refused() -> None:
    class Wrong(Reversed):
        def encode(self, value: str) -> Any:
            return value

    with pytest.raises(TypeError, match="not bytes"):
        checked_codec(Wrong()).to_payload("abc")


def test_a_payload_codec_is_taken_as_it_is() -> None:
    class Own:
        def to_payload(self, value: Any) -> Payload:
            return Payload(b"", str(value))

        def from_payload(self, payload: Payload) -> Any:
            return payload.content_type

    codec = Own()
    assert codec is checked_codec(codec)


@pytest.mark.parametrize(
    "value", ["pickle", None, 3, Reversed, object()], ids=["unknown", "none", "number", "class", "object"]
)
def test_anything_else_is_no_codec(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"codec=.*: expected bytes, json"):
        checked_codec(value)
