"""Generators of the attacked service's `python` pipelines. They run in its worker processes."""

from __future__ import annotations

import os
import secrets
import time
from hashlib import sha256
from pathlib import Path

from recoup.pipelines.protocol import Request


def digest(request: Request) -> str:
    """The digest of the body that arrived here."""
    return sha256(request.body).hexdigest()


def once(request: Request) -> str:
    """Something that no other generation gives, so that a shared result shows."""
    return secrets.token_hex(16)


def slow(request: Request) -> str:
    """Takes as many seconds as the body names before its first space, 30 at most."""
    time.sleep(min(30.0, float(request.body.split()[0])))
    return "done"


def large(request: Request) -> bytes:
    """As many bytes as the body names, 64 MB at most."""
    return bytes(min(64_000_000, int(request.body)))


def page(request: Request) -> tuple[str, str]:
    """HTML whose script would clear the cache."""
    return '<script>fetch("/api/cache/clear", {method: "POST"})</script>', "text/html; charset=utf-8"


def environment(request: Request) -> tuple[bytes, str]:
    """All that a worker process knows of its environment, now and as it was started."""
    now = "\n".join(f"{name}={value}" for name, value in os.environ.items()).encode()
    return now + b"\n" + Path("/proc/self/environ").read_bytes(), "application/octet-stream"
