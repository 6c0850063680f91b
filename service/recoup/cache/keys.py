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
import functools
import ipaddress
import math
import pathlib
import re
import struct
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from recoup.cache import foreign
from recoup.errors import KeyDigestError

_DIGEST_BYTES = 16
#: Calls that a key of a usual depth needs at most.
_ROOM_FOR_KEYS = 200

Writer = Callable[[bytes], object]


def digest(*parts: Any) -> str:
    """The key of some parts, in their order: 32 hexadecimal digits.

    Takes None, booleans, numbers, text, bytes, tuples, lists, dictionaries, sets, ranges, deques, enumerations, dates,
    UUIDs, paths, IP addresses, patterns, classes, dataclasses, attrs classes, pydantic models, arrays, pandas' frames,
    series, indexes and times, and whatever has a method `__recoup_key__()` that returns one of these. An instance of a
    subclass differs from one of its base, and every attribute that a class adds counts.

    Raises:
        KeyDigestError: A part has no canonical form. Says which, and what to do.
    """
    chunks: list[bytes] = []
    write = chunks.append
    try:
        for part in parts:
            _write(part, write)
    except RecursionError:
        if _stack_depth() > sys.getrecursionlimit() - _ROOM_FOR_KEYS:
            raise  # it is the program that recurses, not the argument
        raise KeyDigestError(
            "an argument that is nested too deeply, or contains itself, cannot be part of a key"
        ) from None
    # One call for all of it: a call for each chunk costs more than the copy.
    return blake2b(b"".join(chunks), digest_size=_DIGEST_BYTES, person=b"recoup-key").hexdigest()


def _stack_depth() -> int:
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


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
    _str(class_name(value), write)


_names: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
_owners: dict[str, weakref.ref[type]] = {}
_names_lock = threading.Lock()


def class_name(kind: type) -> str:
    """What tells a class from all others: its name, and for one that shares its name a token of this process.

    Classes made inside functions share their names, and so do a class and its successor in a notebook.
    """
    name = _names.get(kind)
    if name is None:
        with _names_lock:
            name = _names.get(kind)
            if name is None:
                name = f"{kind.__module__}.{kind.__qualname__}"
                owner = _owners.setdefault(name, weakref.ref(kind))
                if "<locals>" in name or owner() is not kind:
                    name += "#" + uuid.uuid4().hex
                _names[kind] = name
    return name


def _named(name: str, content: Callable[[Any], Any]) -> Callable[[Any, Writer], None]:
    """A writer for a type that has a well-known value of simpler types."""

    def write_named(value: Any, write: Writer) -> None:
        write(b"v")
        _str(name, write)
        _write(content(value), write)

    return write_named


def _zone(zone: datetime.tzinfo | None) -> Any:
    """What tells a time zone from others, by simpler types: by its own text alone, two of one name would be alike."""
    if zone is None:
        return None
    kind = type(zone)
    if kind is datetime.timezone:
        return ("timezone", zone.utcoffset(None), zone.tzname(None))
    if hasattr(kind, "__recoup_key__"):
        return (class_name(kind), kind.__recoup_key__(zone))
    named = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    return (class_name(kind), str(zone) if named else _added(zone))


def _path(value: Any) -> tuple[Any, ...]:
    # The slots of pathlib's own classes hold what it computed.
    slots = [
        slot
        for owner in type(value).__mro__
        if owner.__module__.startswith("pathlib")
        for slot in owner.__dict__.get("__slots__", ())
    ]
    return (pathlib.PurePath.as_posix(value), isinstance(value, pathlib.PureWindowsPath), _added(value, slots) or None)


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
    datetime.datetime: _named("datetime", lambda value: (value.isoformat(), value.fold, _zone(value.tzinfo))),
    datetime.date: _named("date", datetime.date.isoformat),
    datetime.time: _named("time", lambda value: (value.isoformat(), value.fold, _zone(value.tzinfo))),
    datetime.timedelta: _named("timedelta", lambda value: (value.days, value.seconds, value.microseconds)),
    uuid.UUID: _named("uuid", lambda value: value.bytes),
}


#: The plain values of subclasses, by the base's own methods: a subclass may say something else with its own.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: lambda value: str.__getitem__(value, slice(None)),
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytes(bytearray.__getitem__(value, slice(None))),
    int: lambda value: int.__add__(value, 0),
    float: lambda value: float.__mul__(value, 1.0),
    complex: lambda value: complex(value.real, value.imag),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    collections.deque: lambda value: (value.maxlen, list(collections.deque.__iter__(value))),
    collections.OrderedDict: lambda value: list(collections.OrderedDict.items(value)),
    collections.defaultdict: lambda value: (_factory(value.default_factory), dict(dict.items(value))),
    dict: lambda value: dict(dict.items(value)),
    types.MappingProxyType: lambda value: dict(value),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    range: lambda value: (value.start, value.stop, value.step),
    slice: lambda value: (value.start, value.stop, value.step),
    re.Pattern: lambda value: (value.pattern, value.flags),
    decimal.Decimal: lambda value: decimal.Decimal.__str__(value),
    fractions.Fraction: lambda value: (value.numerator, value.denominator),
    datetime.datetime: lambda value: (datetime.datetime.isoformat(value), value.fold, _zone(value.tzinfo)),
    datetime.date: datetime.date.isoformat,
    datetime.time: lambda value: (datetime.time.isoformat(value), value.fold, _zone(value.tzinfo)),
    datetime.timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    datetime.tzinfo: _zone,
    uuid.UUID: lambda value: value.bytes,
    **dict.fromkeys(
        (
            ipaddress.IPv4Interface,
            ipaddress.IPv6Interface,
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        ),
        str,
    ),
}
#: Their attributes hold the very value that `_PLAIN` gives.
_VALUE_IN_ATTRIBUTES = (
    fractions.Fraction,
    uuid.UUID,
    datetime.tzinfo,
    ipaddress._BaseAddress,
    ipaddress._BaseNetwork,
)


def _factory(factory: Any) -> Any:
    if factory is None or isinstance(factory, type):
        return factory
    raise KeyDigestError("a defaultdict whose factory is no class cannot be part of a key: pass key=..., or a dict")


def _added(value: Any, known: Iterable[str] = ()) -> dict[str, Any]:
    """The attributes of a value, in its dictionary and in slots, but for those that are `known`."""
    kind = type(value)
    skipped = set(known)
    added = {}
    for owner in kind.__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = f"_{owner.__name__.lstrip('_')}{slot}" if slot.startswith("__") and not slot.endswith("__") else slot
            if name not in skipped and name not in ("__dict__", "__weakref__") and hasattr(value, name):
                added[name] = getattr(value, name)
    # What a cached property holds follows from the rest.
    added.update(
        (name, held)
        for name, held in getattr(value, "__dict__", {}).items()
        if name not in skipped and not isinstance(getattr(kind, str(name), None), functools.cached_property)
    )
    return added


def _writer_of(value: Any) -> Callable[[Any, Writer], None]:
    """The writer for a value whose very type has none."""
    kind = type(value)
    if isinstance(value, type):
        return _class
    own = class_name(kind)
    content = _content_of(kind, value)
    if content is None:
        raise KeyDigestError(
            f"a value of the type {kind.__module__}.{kind.__qualname__} cannot be part of a key, because it has no "
            "canonical form: pass key=..., a function of the arguments that gives what tells one call from another, or "
            "give the class a method __recoup_key__()"
        )
    return _named(own, content)


def _content_of(kind: type, value: Any) -> Callable[[Any], Any] | None:
    """What gives a value of simpler types for a value of this type; None where nothing does."""
    if hasattr(kind, "__recoup_key__"):
        own: Callable[[Any], Any] = kind.__recoup_key__
        return own
    if isinstance(value, enum.Enum):
        # A combination of flags has no name before Python 3.11.
        return lambda member: member.value if isinstance(member, enum.Flag) else member.name
    if dataclasses.is_dataclass(kind):
        return _dataclass
    if hasattr(kind, "__attrs_attrs__"):
        return _attrs
    if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "__pydantic_validator__"):
        return _pydantic
    if isinstance(value, pathlib.PurePath):
        return _path
    content = foreign.content_of(kind)
    if content is not None:
        return content
    for plain, content in _PLAIN.items():
        if isinstance(value, plain):
            return functools.partial(_plain, content, issubclass(plain, _VALUE_IN_ATTRIBUTES))
    return None


def _plain(content: Callable[[Any], Any], in_attributes: bool, value: Any) -> tuple[Any, Any]:
    # Text with a class of its own, named tuples, ordered dictionaries: by their class, plain value and attributes.
    return content(value), None if in_attributes else _added(value) or None


def _dataclass(value: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    fields = dataclasses.fields(value)
    compared = {
        field.name: getattr(value, field.name) for field in fields if field.compare and hasattr(value, field.name)
    }
    return compared, _added(value, (field.name for field in fields)) or None


def _attrs(value: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    fields = type(value).__attrs_attrs__
    compared = {field.name: getattr(value, field.name) for field in fields if field.eq}
    return compared, _added(value, (field.name for field in fields)) or None


def _pydantic(value: Any) -> tuple[Any, ...]:
    return (
        dict(value.__dict__),
        dict(value.__pydantic_extra__ or {}),
        dict(value.__pydantic_private__ or {}),
        sorted(value.__pydantic_fields_set__),
    )
