"""Requests on raw sockets that HTTP does not allow."""

from __future__ import annotations

from benchmarks.hostile.attack import Attack, Bounds, Check, Limits
from benchmarks.hostile.client import ask
from benchmarks.hostile.target import Target

_HOST = b"Host: 127.0.0.1"
_CHUNKED = b"Transfer-Encoding: chunked"


def _post(number: int, lines: tuple[bytes, ...], body: bytes) -> bytes:
    """Of no key that another one has, so that each that is generated is stored."""
    first = b"POST /api/generate/digest?n=%d HTTP/1.1" % number
    return b"\r\n".join((first, *lines, b"Connection: close")) + b"\r\n\r\n" + body


#: By what is wrong with it, a request's header lines and its body.
MALFORMED: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "chunk size -5": ((_HOST, _CHUNKED), b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size zz": ((_HOST, _CHUNKED), b"zz\r\nhello\r\n0\r\n\r\n"),
    "chunk size 2^64+5": ((_HOST, _CHUNKED), b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size 0x5": ((_HOST, _CHUNKED), b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size of nothing": ((_HOST, _CHUNKED), b"\r\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk size": ((_HOST, _CHUNKED), b"5\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk": ((_HOST, _CHUNKED), b"5\r\nhello\n0\r\n\r\n"),
    "chunk longer than its size": ((_HOST, _CHUNKED), b"3\r\nhello\r\n0\r\n\r\n"),
    "two Hosts": ((_HOST, b"Host: example.org", b"Content-Length: 5"), b"hello"),
    "no Host": ((b"Content-Length: 5",), b"hello"),
    "two Content-Lengths": ((_HOST, b"Content-Length: 5", b"Content-Length: 4"), b"hello"),
    "Content-Length 5, 4": ((_HOST, b"Content-Length: 5, 4"), b"hello"),
    "Content-Length -5": ((_HOST, b"Content-Length: -5"), b"hello"),
    "Content-Length +5": ((_HOST, b"Content-Length: +5"), b"hello"),
    "Content-Length 2^64+5": ((_HOST, b"Content-Length: 18446744073709551621"), b"hello"),
    "Content-Length and chunked": ((_HOST, b"Content-Length: 5", _CHUNKED), b"5\r\nhello\r\n0\r\n\r\n"),
    "chunked, then gzip": ((_HOST, b"Transfer-Encoding: chunked, gzip"), b"5\r\nhello\r\n0\r\n\r\n"),
    "space before the colon": ((_HOST, b"Content-Length : 5"), b"hello"),
    "NUL in a header": ((_HOST, b"X-Thing: a\0b", b"Content-Length: 5"), b"hello"),
}
#: RFC 9112 lets a recipient take this one, if it drops the length and closes the connection afterwards.
MAY_PASS = {"Content-Length and chunked"}


async def _malformed(target: Target, bounds: Bounds) -> list[Check]:
    names = list(MALFORMED)[: bounds.count]
    answers = {
        name: await ask(target.address, _post(number, *MALFORMED[name]), seconds=5) for number, name in enumerate(names)
    }
    passed = [name for name, answer in answers.items() if answer.status.startswith("2") and name not in MAY_PASS]
    others = [
        f"{name}: {answer.status}"
        for name, answer in answers.items()
        if answer.status not in {"400", "501"} and name not in {*MAY_PASS, *passed}
    ]
    good = len(names) - len(passed) - len(others)
    return [
        Check(
            "none of them is generated", not passed, f"{len(passed)} of {len(names)} are: {', '.join(passed) or 'none'}"
        ),
        Check(
            "each is answered 400",
            not others and not passed,
            f"{good} of {len(names)}; {', '.join(others) or 'no others'}",
        ),
    ]


ATTACKS = (
    Attack(
        "malformed",
        f"{len(MALFORMED)} malformed requests: chunk sizes `-5`, `zz`, 2^64+5, bare LF, two or no `Host`s, two lengths",
        Bounds(len(MALFORMED), seconds=120),
        Bounds(len(MALFORMED), seconds=120),
        _malformed,
        Limits(stored=len(MAY_PASS)),
    ),
)
