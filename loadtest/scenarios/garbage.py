"""Garbage: calls that the service has to refuse, each with the status that the contract has for it."""

from __future__ import annotations

from loadtest.items import of
from loadtest.plan import Call
from loadtest.settings import Settings

#: What only the generator can refuse: a lookup, and a miss.
GENERATED = frozenset({"garbage text as a picture", "garbage half a picture"})

_RELIEF = "/api/generate/relief"
_JPEG = {"Content-Type": "image/jpeg"}
_JSON = {"Content-Type": "application/json"}
_TEXT = b"This is not a photograph."


def garbage_calls(settings: Settings) -> tuple[Call, ...]:
    """One of each."""
    (item,) = of(settings, "garbage", 1)
    return (*_bodies(item.body), *_queries(item.body), *_places(item.body), *_management())


def _bodies(photograph: bytes) -> tuple[Call, ...]:
    path = f"{_RELIEF}?quality=preview"
    return (
        _refused("text as a picture", path, 422, _TEXT),
        _refused("text", path, 415, _TEXT, {"Content-Type": "text/plain"}),
        _refused("half a picture", path, 422, photograph[: len(photograph) // 2]),
        _refused("empty", path, 422, b""),
        _refused(
            "form without its file", path, 415, b"image=none", {"Content-Type": "application/x-www-form-urlencoded"}
        ),
    )


def _queries(photograph: bytes) -> tuple[Call, ...]:
    return (
        _refused("unknown parameter", f"{_RELIEF}?quality=preview&colour=red", 400, photograph),
        _refused("unknown word", f"{_RELIEF}?quality=ultra", 400, photograph),
        _refused("no number", f"{_RELIEF}?quality=preview&width_mm=wide", 400, photograph),
        _refused("given twice", f"{_RELIEF}?quality=preview&depth_mm=1&depth_mm=2", 400, photograph),
        _refused("out of range", f"{_RELIEF}?quality=preview&depth_mm=1000", 422, photograph),
    )


def _places(photograph: bytes) -> tuple[Call, ...]:
    return (
        _refused("unknown pipeline", "/api/generate/nothing", 404, photograph),
        _refused("unknown path", "/api/nothing", 404, photograph),
        Call("garbage wrong method", _RELIEF, method="GET", kind="garbage", allowed=frozenset({405})),
    )


def _management() -> tuple[Call, ...]:
    config, clear, entry = "/api/cache/config", "/api/cache/clear", "/api/cache/entries"
    return (
        _managed("broken JSON", config, 400, b'{"max_size": '),
        _managed("wrong type", config, 400, b'{"max_size": "many"}'),
        _managed("unknown field", config, 400, b'{"colour": "red"}'),
        _managed("nobody's entries", clear, 404, b'{"pipeline": "nothing"}'),
        Call("garbage unknown key", f"{entry}/{'0' * 32}", method="DELETE", kind="manage", allowed=frozenset({404})),
    )


def _refused(name: str, path: str, status: int, body: bytes, headers: dict[str, str] = _JPEG) -> Call:
    return Call(f"garbage {name}", path, body, headers, kind="garbage", allowed=frozenset({status}))


def _managed(name: str, path: str, status: int, body: bytes) -> Call:
    return Call(f"garbage {name}", path, body, _JSON, kind="manage", allowed=frozenset({status}))
