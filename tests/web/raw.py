"""Requests as bytes, for what no HTTP library would send."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from .running import PATIENCE


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    """A connection; with a small receive buffer, a reader who does not read soon holds up the sender."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", port))
    return connection


def post(path: str, body: bytes = b"", *headers: bytes, length: int | None = None) -> bytes:
    """A request; `length` where its Content-Length is to be another than that of its body."""
    size = len(body) if length is None else length
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: x", b"Content-Length: %d" % size, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def head_of(connection: socket.socket) -> bytes:
    """The head of the next answer; empty where the connection was closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            return b""
        received += piece
    return received.partition(b"\r\n\r\n")[0]


def status_of(port: int, request: bytes) -> int:
    """The status of the answer to one request."""
    with connect(port) as connection:
        connection.sendall(request)
        return int(head_of(connection).split()[1])


def chunked(path: str, chunks: bytes, headers: Iterable[bytes] = ()) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"Host: x", b"Transfer-Encoding: chunked", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + chunks
