"""Callables for the tests of the `python` pipeline. They run in worker processes."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from typing import Any

from recoup.errors import UnprocessableError
from recoup.pipelines.protocol import Request

RETURNS: dict[bytes, Any] = {
    b"bytes": b"\x00\xff",
    b"bytearray": bytearray(b"ab"),
    b"text": "grün",
    b"object": {"a": [1, "ü"]},
    b"array": [1, None],
    b"bytes with a type": (b"GIF", "image/gif"),
    b"text with a type": ("<p>", "text/html"),
    b"none": None,
    b"number": 1,
    b"set": {1},
    b"nan": [float("nan")],
    b"object of sets": {"a": {1}},
    b"lone surrogate": "\ud800",
    b"long tuple": (b"a", "b/c", "d"),
    b"tuple of no body": (1, "b/c"),
    b"tuple of no type": (b"a", None),
    b"tuple of a broken type": (b"a", "text/plain\r\nX-Evil: 1"),
}

number = 1


def by_name(request: Request) -> Any:
    """What the body names."""
    return RETURNS[request.body]


def echo(request: Request) -> dict[str, Any]:
    """The request, and the process that it came to."""
    return {
        "body": request.body.decode(),
        "content_type": request.content_type,
        "query": {name: list(values) for name, values in request.query.items()},
        "headers": {name: request.header(name) for name in request.headers},
        "process": os.getpid(),
    }


def fail(request: Request) -> bytes:
    """Fails in the way that the body names."""
    if request.body == b"refuse":
        raise UnprocessableError("no such style")
    if request.body == b"exit":
        sys.exit(3)
    if request.body == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    if request.body == b"hang":
        time.sleep(60)
    return json.dumps(request.body).encode()  # bytes are no JSON: a TypeError


def fail_by_first_byte(request: Request) -> bytes:
    """Fails in the way that the body begins with, however long the body is."""
    body = request.body.rstrip(b"\0")
    return fail(Request(body if body in (b"refuse", b"die", b"hang") else b"raise"))


def environment(_: Request) -> dict[str, str]:
    """All that the process has in its environment."""
    return dict(os.environ)


def limits(_: Request) -> dict[str, list[int]]:
    """What the process may take."""
    return {name: list(resource.getrlimit(getattr(resource, name))) for name in ("RLIMIT_AS", "RLIMIT_CPU")}


def allocate(request: Request) -> bytes:
    """As many megabytes as the body says."""
    return b"%d" % len(bytearray(int(request.body) << 20))


def spin(_: Request) -> bytes:
    """Takes processor time for ever."""
    while True:
        pass


def raise_at_length(request: Request) -> bytes:
    """An error that is as long as the body, of the kind that it begins with."""
    if request.body.startswith(b"own"):
        raise UnprocessableError(request.body.decode())
    raise ValueError(request.body.decode())


async def later(_: Request) -> bytes:
    """Not a plain function."""
    return b""


class Styles:
    """Callables may be attributes of classes."""

    @staticmethod
    def plain(request: Request) -> bytes:
        """The body, as it is."""
        return request.body
