"""Generators for the benchmarks' `python` pipelines. They run in the service's worker processes."""

from __future__ import annotations

import time
from hashlib import shake_256

from recoup.pipelines.protocol import Request


def two_kilobytes(request: Request) -> bytes:
    """2 KB that depend on the request."""
    return shake_256(request.body).digest(2048)


def spin(request: Request) -> bytes:
    """Keep one core busy for the number of seconds that the body names, 60 at most."""
    until = time.monotonic() + min(60.0, float(request.body))
    while time.monotonic() < until:
        pass
    return b"done"


def as_long_as_it_says(request: Request) -> bytes:
    """As many bytes as the body says."""
    return bytes(int(request.body))


def sleep(request: Request) -> bytes:
    """Wait for as many seconds as the body says: an upstream's time, not the processor's."""
    time.sleep(float(request.body))
    return request.body
