"""Codecs: how values become bytes that outlive the process, and values again. No pickle: bytes are data, not code.

A cache with tiers has one codec: `bytes`, `json`, an object with the methods `encode` and `decode`, or a
`PayloadCodec`. A codec refuses a value that would not come back as it was; such a value stays in memory alone.
"""

from __future__ import annotations

import json
import math
from typing import Any, Protocol, runtime_checkable

from recoup.cache.tier import Payload, PayloadCodec
from recoup.errors import ConfigurationError
from recoup.fields import echo, refusal


@runtime_checkable
class Codec(Protocol):
    """What a codec of one's own has. Both methods are called in other threads, several at a time."""

    def encode(self, value: Any) -> bytes:
        """The bytes of a value.

        Raises:
            Exception: It has none. The value is not stored in tiers.
        """

    def decode(self, data: bytes) -> Any:
        """The value of bytes that `encode` gave, perhaps in a process of an earlier version.

        Raises:
            Exception: They cannot be read. They are counted as corrupt, and removed.
        """


class BytesCodec:
    """For values that are `bytes` already."""

    def encode(self, value: Any) -> bytes:
        """The value itself."""
        if type(value) is not bytes:
            raise TypeError(f"the codec `bytes` stores bytes, not {type(value).__qualname__}")
        return value

    def decode(self, data: bytes) -> bytes:
        """The bytes themselves."""
        return data


class JsonCodec:
    """For values that JSON gives back as they were: None, booleans, numbers, text, lists, dictionaries of text keys.

    Tuples would come back as lists, and other keys as text: they are refused.
    """

    def encode(self, value: Any) -> bytes:
        """The JSON of a value, in UTF-8."""
        _refuse_unfaithful(value)
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")

    def decode(self, data: bytes) -> Any:
        """The value of a JSON text."""
        return json.loads(data.decode("utf-8", "surrogatepass"))


_FAITHFUL = frozenset({str, bool, type(None)})
_MOST_DIGITS = 4300  # of a whole number, which Python reads from text


def _refuse_unfaithful(value: Any) -> None:
    pending = [value]
    while pending:
        part = pending.pop()
        kind = type(part)
        if kind in _FAITHFUL or (kind is float and math.isfinite(part)):
            continue
        if kind is int and part.bit_length() < _MOST_DIGITS * 3:
            continue
        if kind is list:
            pending += part
        elif kind is dict and all(type(name) is str for name in part):
            pending += part.values()
        else:
            raise TypeError(f"JSON would not give back a {kind.__qualname__} as it was")


class _Wrapped:
    """A codec of bytes as a `PayloadCodec`."""

    def __init__(self, codec: Codec, content_type: str) -> None:
        self._codec = codec
        self._content_type = content_type

    def to_payload(self, value: Any) -> Payload:
        """Write a value."""
        body = self._codec.encode(value)
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"the codec gave {type(body).__qualname__}, not bytes")
        return Payload(bytes(body), self._content_type)

    def from_payload(self, payload: Payload) -> Any:
        """Read a value.

        Raises:
            ValueError: Another codec has written it.
        """
        if payload.content_type != self._content_type:
            raise ValueError(f"written as {payload.content_type!r}, and read as {self._content_type!r}")
        return self._codec.decode(payload.body)


_BY_NAME: dict[str, tuple[type[Any], str]] = {
    "bytes": (BytesCodec, "application/octet-stream"),
    "json": (JsonCodec, "application/json"),
}


def checked_codec(value: Any) -> PayloadCodec:
    """A codec by its name, or the object itself.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, str) and value in _BY_NAME:
        make, content_type = _BY_NAME[value]
        named: Codec = make()
        return _Wrapped(named, content_type)
    if hasattr(value, "to_payload") and hasattr(value, "from_payload"):
        codec: PayloadCodec = value
        return codec
    if isinstance(value, Codec) and not isinstance(value, type):
        kind = type(value)
        return _Wrapped(value, getattr(value, "content_type", f"application/x-{kind.__module__}.{kind.__qualname__}"))
    raise ConfigurationError(
        refusal("codec", echo(value), "bytes, json, or an object with the methods encode and decode")
    )
