"""Keys: the digest of a value's canonical form.

Every value is written with a tag for its type and with the length of what follows, so no two values share a form:
`1`, `1.0`, `True` and `"1"` have four keys. Dictionaries and sets are written in the order of their members' own
forms. Nothing depends on the process, on hash randomisation or on the order of insertion. The digest is BLAKE2b
(RFC 7693) of 128 bits.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import struct
import uuid
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any

from recoup.errors import KeyDigestError

_DIGEST_BYTES = 16

Writer = Callable[[bytes], object]


def digest(*parts: Any) -> str:
    """The key of some parts, in their order: 32 hexadecimal digits.

    Takes None, booleans, numbers, text, bytes, tuples, lists, dictionaries, sets, enumerations, dates, UUIDs, paths,
    classes, dataclasses, arrays, and whatever has a method `__recoup_key__()` that returns one of these.

    Raises:
        KeyDigestError: A part has no canonical form. Says which, and what to do.
    """
    chunks: list[bytes] = []
    write = chunks.append
    try:
        for part in parts:
            _write(part, write)
    except RecursionError:
        raise KeyDigestError(
            "an argument that is nested too deeply, or contains itself, cannot be part of a key"
        ) from None
    # One call for all of it: a call for each chunk costs more than the copy.
    return blake2b(b"".join(chunks), digest_size=_DIGEST_BYTES, person=b"recoup-key").hexdigest()


def _write(value: Any, write: Writer) -> None:
    writer = _WRITERS.get(type(value))
    if writer is None:
        writer = _writer_of(value)
    writer(value, write)


def _form(value: Any) -> bytes:
    """The canonical form of one value, whole: for sorting members whose order means nothing."""
    chunks: list[bytes] = []
    _write(value, chunks.append)
    return b"".join(chunks)


def _none(value: None, write: Writer) -> None:
    write(b"n")


def _bool(value: bool, write: Writer) -> None:
    write(b"T" if value else b"F")


def _int(value: int, write: Writer) -> None:
    write(b"i%x;" % value)


def _float(value: float, write: Writer) -> None:
    write(b"f" + struct.pack(">d", value if value == value else math.nan))  # NaNs have many forms


def _complex(value: complex, write: Writer) -> None:
    write(b"c" + struct.pack(">dd", value.real, value.imag))


def _str(value: str, write: Writer) -> None:
    # Lone surrogates can come in from a file name or from JSON.
    content = value.encode("utf-8", "surrogatepass")
    write(b"s%d:%b" % (len(content), content))


def _bytes(value: bytes, write: Writer) -> None:
    write(b"y%d:" % len(value))
    write(value)


def _bytearray(value: bytearray, write: Writer) -> None:
    write(b"Y%d:" % len(value))
    write(bytes(value))


def _tuple(value: tuple[Any, ...], write: Writer) -> None:
    write(b"t%d:" % len(value))
    for item in value:
        _write(item, write)


def _list(value: list[Any], write: Writer) -> None:
    write(b"l%d:" % len(value))
    for item in value:
        _write(item, write)


def _dict(value: dict[Any, Any], write: Writer) -> None:
    write(b"d%d:" % len(value))
    # Sorted by the names' forms alone: equal names cannot be, so values are never compared.
    for form, item in sorted(((_form(name), item) for name, item in value.items()), key=_first):
        write(form)
        _write(item, write)


def _first(pair: tuple[bytes, Any]) -> bytes:
    return pair[0]


def _set(value: set[Any] | frozenset[Any], write: Writer) -> None:
    write((b"S%d:" if isinstance(value, set) else b"z%d:") % len(value))
    for form in sorted(map(_form, value)):
        write(form)


def _class(value: type, write: Writer) -> None:
    if "<locals>" in value.__qualname__:
        raise KeyDigestError(
            f"the class {value.__module__}.{value.__qualname__} was made inside a function, so its name does not tell "
            "it from others: move it to the module, or pass key=..."
        )
    write(b"C")
    _str(value.__module__, write)
    _str(value.__qualname__, write)


def _named(name: str, content: Callable[[Any], Any]) -> Callable[[Any, Writer], None]:
    """A writer for a type that has a well-known value of simpler types."""

    def write_named(value: Any, write: Writer) -> None:
        write(b"v")
        _str(name, write)
        _write(content(value), write)

    return write_named


_WRITERS: dict[type, Callable[[Any, Writer], None]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    bytearray: _bytearray,
    tuple: _tuple,
    list: _list,
    dict: _dict,
    set: _set,
    frozenset: _set,
    type: _class,
    decimal.Decimal: _named("decimal", str),
    fractions.Fraction: _named("fraction", lambda value: (value.numerator, value.denominator)),
    datetime.datetime: _named("datetime", lambda value: (value.isoformat(), value.fold, str(value.tzinfo))),
    datetime.date: _named("date", datetime.date.isoformat),
    datetime.time: _named("time", lambda value: (value.isoformat(), value.fold, str(value.tzinfo))),
    datetime.timedelta: _named("timedelta", lambda value: (value.days, value.seconds, value.microseconds)),
    uuid.UUID: _named("uuid", lambda value: value.bytes),
}


#: The plain values of subclasses, by the base's own methods: a subclass may say something else with its own.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: lambda value: str.__getitem__(value, slice(None)),
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    int: lambda value: int.__add__(value, 0),
    float: lambda value: float.__mul__(value, 1.0),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    collections.OrderedDict: lambda value: list(collections.OrderedDict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _plain(content: Callable[[Any], Any], value: Any) -> tuple[Any, Any]:
    return content(value), getattr(value, "__dict__", None) or None


def _writer_of(value: Any) -> Callable[[Any, Writer], None]:
    """The writer for a value whose very type has none."""
    kind = type(value)
    own = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        return _class
    if hasattr(kind, "__recoup_key__"):
        return _named(own, kind.__recoup_key__)
    if isinstance(value, enum.Enum):
        # A combination of flags has no name before Python 3.11.
        return _named(own, lambda member: member.value if isinstance(member, enum.Flag) else member.name)
    if dataclasses.is_dataclass(kind):
        return _named(own, _fields)
    if isinstance(value, pathlib.PurePath):
        windows = isinstance(value, pathlib.PureWindowsPath)
        return _named("windows path" if windows else "path", pathlib.PurePath.as_posix)
    if hasattr(kind, "__array_interface__") and hasattr(value, "dtype"):
        return _named(own, _array)
    # Named tuples, ordered dictionaries, text with a class of its own: by their class, plain value and attributes.
    for plain, content in _PLAIN.items():
        if isinstance(value, plain):
            return _named(own, partial(_plain, content))
    raise KeyDigestError(
        f"a value of the type {own} cannot be part of a key, because it has no canonical form: pass key=..., "
        "a function of the arguments that gives what tells one call from another, or give the class a method "
        "__recoup_key__()"
    )


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare}


def _array(value: Any) -> tuple[str, tuple[int, ...], bytes]:
    if value.dtype.hasobject:
        raise KeyDigestError("an array of Python objects cannot be part of a key: pass key=..., or a list")
    # The short form of a type with fields names none of them.
    kind = repr(value.dtype) if value.dtype.names else value.dtype.str
    return (kind, tuple(value.shape), value.tobytes())
