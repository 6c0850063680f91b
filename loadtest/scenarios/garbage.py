"""Garbage: calls that the service has to refuse, each with the contract's status; and good ones that look odd."""

from __future__ import annotations

import gzip
import json

from loadtest.items import Item, of
from loadtest.plan import Call, Kind
from loadtest.rawhttp import Raw, message
from loadtest.settings import Settings

#: What only the generator can refuse: a lookup, and a miss.
GENERATED = frozenset({"garbage text as a picture", "garbage half a picture"})
#: Callers of each odd manner, side by side.
SLOW_CALLERS = 10

_RELIEF = "/api/generate/relief"
_PREVIEW = f"{_RELIEF}?quality=preview"
_JPEG = {"Content-Type": "image/jpeg"}
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
_EDGELESS = {"Content-Type": "multipart/form-data"}
_TEXT = b"This is not a photograph."
_IMAGE = b"Content-Type: image/jpeg"
#: Deeper than any parser should follow, and more members than any configuration has.
_DEEP, _MEMBERS = 20_000, 4_000
_BROKEN_FORM = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\nhalf'


def garbage_calls(settings: Settings) -> tuple[Call, ...]:
    """One of each that is refused."""
    (item,) = of(settings, "garbage", 1)
    return (*_bodies(item.body), *_queries(item.body), *_places(item.body), *_management(), *_malformed(item.body))


def odd_calls(held: Item, new: Item) -> tuple[Call, ...]:
    """Calls that look odd and are to be answered: one is a hit as it would be without its header, one a bypass."""
    note = _raw("name of a person", held, "X-Note: José".encode())
    tenant = _raw("header with an underscore", held, b"X_Tenant: spoofed")
    past = _raw("no-store and more", new, "Cache-Control: no-store; reason=é".encode())
    return (note, tenant, past)


def slow_calls(held: Item) -> tuple[Call, ...]:
    """Callers who hold a connection: who do not send to the end, who read slowly, and who leave."""
    whole = message(held.path, _IMAGE, _length(held.body), body=held.body)
    stalled, slow, left = (
        _call("slow sender", held.path, Raw(whole, "stall"), 408),
        Call(held.name, held.path, held.body, raw=Raw(whole, "read slowly")),
        _call("caller who leaves", held.path, Raw(whole, "leave"), 0),
    )
    return (stalled, slow, left) * SLOW_CALLERS


def _raw(name: str, item: Item, header: bytes) -> Call:
    raw = Raw(message(item.path, _IMAGE, header, _length(item.body), body=item.body))
    return Call(item.name, item.path, item.body, {"X-Case": name}, raw=raw)


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def _bodies(photograph: bytes) -> tuple[Call, ...]:
    encoded = {**_JPEG, "Content-Encoding": "gzip"}
    form, text = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}
    cut_off = gzip.compress(photograph, mtime=0)[:-20]
    return (
        _refused("text as a picture", _PREVIEW, 422, _TEXT),
        _refused("text", _PREVIEW, 415, _TEXT, text),
        _refused("half a picture", _PREVIEW, 422, photograph[: len(photograph) // 2]),
        _refused("empty", _PREVIEW, 422, b""),
        _refused("form without its file", _PREVIEW, 415, b"image=none", form),
        _refused("form that breaks off", _PREVIEW, (400, 422), _BROKEN_FORM, _FORM),
        _refused("form without an edge", _PREVIEW, (400, 415, 422), _BROKEN_FORM, _EDGELESS),
        _refused("gzip that is none", _PREVIEW, (400, 415), photograph, encoded),
        _refused("gzip that breaks off", _PREVIEW, (400, 415), cut_off, encoded),
        _refused("unknown encoding", _PREVIEW, 415, photograph, {**_JPEG, "Content-Encoding": "x-nonsense"}),
    )


def _queries(photograph: bytes) -> tuple[Call, ...]:
    return (
        _refused("unknown parameter", f"{_PREVIEW}&colour=red", 400, photograph),
        _refused("unknown word", f"{_RELIEF}?quality=ultra", 400, photograph),
        _refused("no number", f"{_PREVIEW}&width_mm=wide", 400, photograph),
        _refused("given twice", f"{_PREVIEW}&depth_mm=1&depth_mm=2", 400, photograph),
        _refused("out of range", f"{_PREVIEW}&depth_mm=1000", 422, photograph),
        _refused("huge query", f"{_PREVIEW}&colour={'r' * 20_000}", (400, 414), photograph),
        _refused("query of many members", f"{_PREVIEW}{'&c=1' * 5_000}", (400, 414), photograph),
    )


def _places(photograph: bytes) -> tuple[Call, ...]:
    return (
        _refused("unknown pipeline", "/api/generate/nothing", 404, photograph),
        _refused("unknown path", "/api/nothing", 404, photograph),
        Call("garbage wrong method", _RELIEF, method="GET", kind="garbage", allowed=frozenset({405})),
    )


def _management() -> tuple[Call, ...]:
    config, clear, entry = "/api/cache/config", "/api/cache/clear", "/api/cache/entries"
    members = json.dumps(dict.fromkeys(map(str, range(_MEMBERS)), 1)).encode()
    return (
        _managed("broken JSON", config, 400, b'{"max_size": '),
        _managed("wrong type", config, 400, b'{"max_size": "many"}'),
        _managed("unknown field", config, 400, b'{"colour": "red"}'),
        _managed("duplicate member", config, 400, b'{"max_size": 1, "max_size": 2}'),
        _managed("duplicate after many members", config, 400, members[:-1] + b', "0": 2}'),
        _managed("deep JSON", config, 400, b"[" * _DEEP + b"]" * _DEEP),
        _managed("nobody's entries", clear, 404, b'{"pipeline": "nothing"}'),
        Call("garbage unknown key", f"{entry}/{'0' * 32}", method="DELETE", kind="manage", allowed=frozenset({404})),
    )


def _malformed(photograph: bytes) -> tuple[Call, ...]:
    """What is wrong as HTTP already."""
    good = _length(photograph)
    messages = {
        "negative length": message(_PREVIEW, _IMAGE, b"Content-Length: -5", body=photograph),
        "two lengths": message(_PREVIEW, _IMAGE, good, b"Content-Length: 3", body=photograph),
        "two hosts": message(_PREVIEW, b"Host: elsewhere", _IMAGE, good, body=photograph),
        "no host": message(_PREVIEW, _IMAGE, good, body=photograph, host=False),
        "chunk of negative size": _chunked(b"-5\r\nabcde\r\n0\r\n\r\n"),
        "chunk of no size": _chunked(b"zz\r\nabcde\r\n0\r\n\r\n"),
        "chunk of more than 64 bits": _chunked(b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        "chunk with bare line feeds": _chunked(b"5\nabcde\n0\n\n"),
    }
    return tuple(_call(name, _PREVIEW, Raw(content), 400) for name, content in messages.items())


def _chunked(body: bytes) -> bytes:
    return message(_PREVIEW, _IMAGE, b"Transfer-Encoding: chunked", body=body)


def _call(name: str, path: str, raw: Raw, status: int) -> Call:
    return Call(f"garbage {name}", path, kind="malformed", allowed=frozenset({status}), raw=raw)


def _refused(
    name: str,
    path: str,
    status: int | tuple[int, ...],
    body: bytes,
    headers: dict[str, str] = _JPEG,
    kind: Kind = "garbage",
) -> Call:
    allowed = frozenset({status} if isinstance(status, int) else status)
    return Call(f"garbage {name}", path, body, headers, kind=kind, allowed=allowed)


def _managed(name: str, path: str, status: int, body: bytes) -> Call:
    return _refused(name, path, status, body, _JSON, "manage")
