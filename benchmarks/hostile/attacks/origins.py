"""Headers with bytes that are not ASCII, pages that a pipeline makes, and what a worker process can read."""

from __future__ import annotations

import gzip
from hashlib import sha256

from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import Answer, Headers, request
from benchmarks.hostile.client import ask as _ask
from benchmarks.hostile.target import Target

_TOKEN, _SECRET = "hostile-management-token", "hostile-upstream-secret"
_REFUSED = {"401", "403", "400"}
_FORWARDED = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP")


async def _management(target: Target, headers: Headers) -> Answer:
    return await target.service.get("/api/cache/config", headers)


async def _header_bytes(target: Target, bounds: Bounds) -> list[Check]:
    values = ("é".encode(), "é".encode("latin-1"), b"")
    opened = [
        f"{name}: {value!r}"
        for name in _FORWARDED
        for value in values
        if (await _management(target, [(name, value)])).status not in _REFUSED
    ]
    pairs: dict[str, tuple[Headers, Headers]] = {
        "Cookie José/Zoë": ([("Cookie", "name=José; sid=111")], [("Cookie", "name=Zoë; sid=222")]),
        "X-Forwarded-User José/Zoë": ([("X-Forwarded-User", "José")], [("X-Forwarded-User", "Zoë")]),
        "X-Tenant empty/absent": ([("X-Tenant", "")], []),
        "X-Tenant/X_Tenant": ([("X-Tenant", "spoofed")], [("X_Tenant", "spoofed")]),
    }
    shared = [name for name, (one, other) in pairs.items() if await _body(target, one) == await _body(target, other)]
    stored = [("Cache-Control", "no-store; reason=é".encode())]
    first, second = [await target.service.post("keyed", b"not to be stored", stored) for _ in range(2)]
    return [
        Check("no forwarded request opens management", not opened, ", ".join(opened) or "none does"),
        Check("requests that differ share no result", not shared, ", ".join(shared) or "none do"),
        Check(
            "`no-store; reason=é` is not stored",
            first.body != second.body,
            "stored" if first.body == second.body else "no",
        ),
    ]


async def _body(target: Target, headers: Headers) -> bytes:
    answer = await target.service.post("keyed", b"whose", headers)
    return answer.body if answer.status == "200" else answer.status.encode() + repr(headers).encode()


async def _page(target: Target, bounds: Bounds) -> list[Check]:
    service = target.service
    answers = [await service.post("page", b"page") for _ in range(2)]
    safe = [
        (answer.header("x-content-type-options") or "").lower() == "nosniff"
        and "sandbox" in (answer.header("content-security-policy") or "")
        and "allow-same-origin" not in (answer.header("content-security-policy") or "")
        for answer in answers
    ]
    cross = await _ask(target.address, request("POST", "/api/cache/clear", headers=[("Origin", "null")]))
    plain = await service.get("/api/cache/config")
    return [
        Check("HTML is sandboxed, as a miss and as a hit", all(safe), f"miss {safe[0]}, hit {safe[1]}"),
        Check("`Origin: null` does not clear the cache", cross.status in _REFUSED, cross.status),
        Check("curl without a header still reads it", plain.status == "200", plain.status),
    ]


async def _environment(target: Target, bounds: Bounds) -> list[Check]:
    answer = await target.service.post("environment", b"what do you know")
    seen = [name for name in (_TOKEN, _SECRET) if name.encode() in answer.body]
    told = answer.status == "200" and b"PATH=" in answer.body
    return [
        Check(
            "a worker sees neither the token nor an upstream's secret",
            told and not seen,
            ", ".join(seen) or answer.status,
        )
    ]


async def _encoded_body(target: Target, bounds: Bounds) -> list[Check]:
    """Both orders, so that neither can be answered with the other one's result."""
    wrong = []
    for number in range(bounds.count):
        plain = b"body %d" % number
        packed = gzip.compress(plain, mtime=0)
        asked = [("encoded", [("Content-Encoding", "gzip")], plain), ("as it is", [], packed)]
        for name, headers, read in asked if number % 2 else reversed(asked):
            answer = await target.service.post("digest", packed, headers)
            right = answer.body == sha256(read).hexdigest().encode()
            if not (right or (name == "encoded" and answer.status == "415")):
                wrong.append(name)
    return [
        Check("an encoded body and its bytes are two requests", not wrong, f"{len(wrong)} of {2 * bounds.count} wrong"),
        await _tiny_number(target),
    ]


async def _tiny_number(target: Target) -> Check:
    """It may be refused, as 1e400 is."""
    asked = [("Content-Type", "application/json")]
    zero, tiny = [await target.service.post("digest", body, asked) for body in (b'{"x":0.0}', b'{"x":1e-400}')]
    right = sha256(b'{"x":1e-400}').hexdigest().encode()
    held = tiny.body == right or tiny.status == "400"
    return Check(
        "1e-400 is not answered as 0.0", held, f"{tiny.status}, {'the same' if tiny.body == zero.body else 'another'}"
    )


ATTACKS = (
    Attack(
        "header-bytes",
        "Headers that are not ASCII, empty, or have an underscore: `X-Forwarded-For: é`, `Cookie: name=José`",
        Bounds(1, seconds=60),
        Bounds(1, seconds=60),
        _header_bytes,
        Limits(stored=None),
    ),
    Attack(
        "encoded-body",
        "The same bytes as a gzip-encoded body and as they are; `1e-400` after `0.0`",
        Bounds(10, seconds=60),
        Bounds(2, seconds=30),
        _encoded_body,
        Limits(stored=None),
    ),
    Attack(
        "html",
        "A pipeline that returns HTML with a script that clears the cache",
        Bounds(1, seconds=30),
        Bounds(1, seconds=30),
        _page,
        Limits(stored=1),
    ),
    Attack(
        "worker-environment",
        "A pipeline that reads its process' environment",
        Bounds(1, seconds=30),
        Bounds(1, seconds=30),
        _environment,
        Limits(stored=1),
        environment={"RECOUP_ADMIN_TOKEN": _TOKEN, "HOSTILE_UPSTREAM_SECRET": _SECRET},
    ),
)
