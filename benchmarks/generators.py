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
