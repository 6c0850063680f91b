"""Calls to the service; and requests that no HTTP client would send, byte for byte, and odd ways to read the answer.

Sockets of the standard library: Locust's greenlets yield on them where it has patched that.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPResponse
from typing import Literal
from urllib.parse import urlsplit

#: At once; all but its last byte, and then nothing; the answer read piece by piece; or gone when it is nearly sent.
Manner = Literal["usual", "stall", "read slowly", "leave"]

#: A slow reader takes so much, and pauses so long, for so many seconds; then it takes the rest.
_PIECE_BYTES, _PAUSE_SECONDS, _SLOW_SECONDS = 4096, 0.05, 2.0


@dataclass(frozen=True)
class Raw:
    """What is sent instead of a well-formed request.

    Attributes:
        message: The whole message; `{host}` stands for the service's host and port.
        manner: How it is sent and its answer read.
    """

    message: bytes
    manner: Manner = "usual"


#: For a generation, to the management API, one that the service has to refuse, and one that is not even HTTP.
Kind = Literal["generate", "manage", "garbage", "malformed"]


@dataclass(frozen=True)
class Call:
    """One HTTP request to the service.

    Attributes:
        item: What is asked for; calls for one item have one key in the cache.
        path: With its query.
        body: As it is sent.
        headers: Its content type among them.
        method: `POST` for every generation.
        kind: `generate`, `manage`, `garbage` or `malformed`: the last may end before it reaches a count of the service.
        allowed: The statuses that the contract has for it here; any other, and none at all, is a failure.
        raw: What is sent byte for byte, instead of what the others make.
        revalidates: It sends the entity tag that its item was last answered with (`If-None-Match`).
    """

    item: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    kind: Kind = "generate"
    allowed: frozenset[int] = frozenset({200})
    raw: Raw | None = None
    revalidates: bool = False


def exchange(url: str, raw: Raw, patience_seconds: float) -> tuple[int, Message, bytes]:
    """Send it, and give the answer: status, headers and body; for one who leaves, status 0.

    Raises:
        OSError: There is no answer.
        http.client.HTTPException: The answer is broken.
    """
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 80
    message = raw.message.replace(b"{host}", f"{host}:{port}".encode())
    with socket.create_connection((host, port), timeout=patience_seconds) as connection:
        connection.sendall(message[:-1] if raw.manner in ("stall", "leave") else message)
        if raw.manner == "leave":
            return 0, Message(), b""
        answer = HTTPResponse(connection)
        answer.begin()
        body = _read_slowly(answer) if raw.manner == "read slowly" else b""
        return answer.status, answer.headers, body + answer.read()


def _read_slowly(answer: HTTPResponse) -> bytes:
    body, ends = b"", time.monotonic() + _SLOW_SECONDS
    while time.monotonic() < ends and (piece := answer.read(_PIECE_BYTES)):
        body += piece
        time.sleep(_PAUSE_SECONDS)
    return body


def message(path: str, *headers: bytes, body: bytes = b"", method: str = "POST", host: bool = True) -> bytes:
    """A message of these header lines, as they are, with the body after them."""
    lines = [f"{method} {path} HTTP/1.1".encode(), *([b"Host: {host}"] if host else []), *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])
