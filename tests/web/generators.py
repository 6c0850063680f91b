"""Callables for the tests of the server. A request's body names two pipes, by which test and generator meet."""

from __future__ import annotations

import os
from pathlib import Path

from recoup.errors import UnprocessableError
from recoup.pipelines.protocol import Request


def meet(request: Request) -> str:
    """Tell that it has begun (its process and its parent), and end when the test says so."""
    place = Path(request.body.decode())
    with place.with_suffix(".begun").open("w") as begun:
        begun.write(f"{os.getpid()} {os.getppid()}")
    with place.with_suffix(".go").open() as go:
        return f"went: {go.read()}"


def quick(request: Request) -> bytes:
    """The body, as it came."""
    return request.body


def sized(request: Request) -> bytes:
    """As many bytes as the body says."""
    return b"r" * int(request.body)


def garbage(request: Request) -> bytes:
    """What a decoder says of garbage."""
    raise UnprocessableError(f"{len(request.body)} bytes are no image")
