"""A real HTTP server for the tests of the `http` pipeline: each test says how it answers."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: Seconds after which a server that a test forgot to release gives up.
PATIENCE = 60.0
#: Of 127.0.0.1, signed by itself, with its key.
CERTIFICATE = Path(__file__).with_name("certificate.pem")


@dataclass
class Seen:
    """One request as the upstream saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[["Handler", Seen], None]


@dataclass
class Upstream:
    """What a test holds of the server."""

    url: str
    requests: list[Seen] = field(default_factory=list)
    connections: list[Any] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def last(self) -> Seen:
        return self.requests[-1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    disable_nagle_algorithm = True
    upstream: Upstream
    behaviour: Behaviour

    def setup(self) -> None:
        super().setup()
        self.upstream.connections.append(self.client_address)

    def handle_request_of_any_method(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.upstream.requests.append(seen)
        type(self).behaviour(self, seen)

    do_GET = do_POST = do_PUT = do_PATCH = handle_request_of_any_method  # noqa: N815  # http.server looks for these names

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Answer with a body of a stated length; `Content_Type="..."` gives a header."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Write bytes as they are, and close the connection afterwards."""
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def trickle(self, data: bytes) -> None:
        """Write a byte every 20 milliseconds until the client has gone or the test is over."""
        self.close_connection = True
        for byte in data:
            if self.upstream.released.wait(0.02):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    upstream: Upstream

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        # A client that goes away in the middle is what some of the tests are about.
        if error is not None and not isinstance(error, ConnectionError):
            self.upstream.errors.append(error)


@contextmanager
def serve(behaviour: Behaviour, *, tls: bool = False) -> Iterator[Upstream]:
    """Serve on a free port of 127.0.0.1 until the block ends; an error in the behaviour fails the test."""
    upstream = Upstream(url="")
    handler = type("TestHandler", (Handler,), {"upstream": upstream, "behaviour": staticmethod(behaviour)})
    server = _Server(("127.0.0.1", 0), handler)
    server.upstream = upstream
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    upstream.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/generate"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield upstream
    finally:
        upstream.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert not upstream.errors
