"""Exchanges with one upstream, over connections that are kept for the next one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from recoup import __version__
from recoup.errors import OverloadedError
from recoup.pipelines.answer_parser import ExchangeError
from recoup.pipelines.connection import Body, Connection
from recoup.pipelines.upstream_url import UpstreamURL

Headers = Iterable[tuple[bytes, bytes]]

#: A connection that was idle for longer may have been forgotten on the way, without a word to either end.
_IDLE_SECONDS = 60.0
#: Connections that are kept open to one upstream.
MOST_IDLE = 128
#: Why there is no connection that is not the upstream's fault: no file, or no port, is left here.
_OWN_LACK = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
#: RFC 9110, 9.2.2: what these ask for happens once, however often they are sent.
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
#: Without a body, these say nothing of its length.
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS", "DELETE", "TRACE")
_OWN_HEADERS = {b"user-agent": f"recoup/{__version__}".encode(), b"accept-encoding": b"identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream answers: its status and its headers, and its body as it comes.

    Attributes:
        status: 200 to 599; interim answers are skipped.
        headers: Names in lower case; all of them, in their order.
        chunks: The body's bytes as they come, encoded as they are. Raises ExchangeError where the body is cut short.
        abort: Closes its connection, at once: its body is cut short, unless all of it has come.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: AsyncIterator[bytes]
    abort: Callable[[], None]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for header, value in self.headers if header == name]

    def text(self, name: bytes) -> str:
        """All values of a header as one text; empty where there are none."""
        return b", ".join(self.values(name)).decode("latin-1")


class Upstream:
    """One URL, and the connections that are kept open to its server. Used on one event loop.

    Redirects are not followed, cookies are not kept, proxies of the environment are not used.

    Args:
        url: Where it is; certificates are verified against the system's authorities.
        connections: Connections that are kept open; at most `MOST_IDLE`.
    """

    def __init__(self, url: UpstreamURL, *, connections: int) -> None:
        self._url = url
        self._connections = min(connections, MOST_IDLE)
        self._idle: list[tuple[Connection, float]] = []
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    async def start(self) -> None:
        """Read the certificates of the authorities, if they are needed."""
        self._closed = False
        if self._url.tls:
            self._tls = await asyncio.to_thread(_tls_context)

    @asynccontextmanager
    async def exchange(
        self, method: str, query: str, headers: Headers, body: bytes | Body, *, rest: str = "", plain: bool = False
    ) -> AsyncIterator[Answer]:
        """Send one request; within the block its answer can be read. There is no time limit but the caller's own.

        Args:
            method: The HTTP method.
            query: An encoded query, added to the URL's own.
            headers: Request headers, names in lower case, but those of the connection.
            body: Sent as it is. One that is still coming is framed as `headers` say.
            rest: An encoded path, added to the URL's own.
            plain: Add no headers but `Host`, and the length of a body that is there.

        Raises:
            ExchangeError: There was no connection, or no answer that is HTTP.
            OverloadedError: This process has no file or port left for a connection.
        """
        head = self._head(method, rest, query, headers, body, plain=plain)
        connection, answer = await self._ask(method, head, body)
        try:
            yield answer
        finally:
            if connection.finish():
                self._keep(connection)

    def close(self) -> None:
        """Close the connections that are idle; exchanges under way go on."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.abort()

    async def _ask(self, method: str, head: bytes, body: bytes | Body) -> tuple[Connection, Answer]:
        # A body that is still coming cannot be sent again.
        connection = self._take() if isinstance(body, bytes) else None
        bodiless = method == "HEAD"
        if connection is not None:
            try:
                return connection, await _answer_of(connection, head, body, bodiless)
            except ExchangeError as error:
                # An upstream may close an idle connection at any moment, as a request is on its way. What was not
                # answered can be sent again if that happens once all the same; a generation by POST only if the
                # upstream cannot have seen it.
                if not error.unsent and not (error.unanswered and method in _IDEMPOTENT):
                    raise
        connection = await self._connect()
        return connection, await _answer_of(connection, head, body, bodiless)

    def _take(self) -> Connection | None:
        """The connection that was used last: the one that is open most likely."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if now - since < _IDLE_SECONDS and connection.is_usable():
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        if self._closed or len(self._idle) >= self._connections:
            connection.abort()
            return
        self._idle.append((connection, asyncio.get_running_loop().time()))

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        sock = None
        try:
            sock = await self._connected_socket()
            _, connection = await loop.create_connection(
                lambda: Connection(sock),
                sock=sock,
                ssl=self._tls,
                server_hostname=self._url.host if self._tls else None,
            )
        except BaseException as error:
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            if error.errno in _OWN_LACK:
                raise OverloadedError(f"no connection to the upstream can be opened: {_reason(error)}") from error
            raise ExchangeError(_reason(error)) from error
        return connection

    async def _connected_socket(self) -> socket.socket:
        """A socket to the first of the host's addresses that takes a connection."""
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._url.host, self._url.port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(addresses, 1):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
            except OSError:
                sock.close()
                if number == len(addresses):
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise OSError("the host has no address")

    def _head(self, method: str, rest: str, query: str, headers: Headers, body: bytes | Body, *, plain: bool) -> bytes:
        target = self._url.target + rest
        if query:
            target += ("&" if "?" in target else "?") + query
        given = list(headers)
        names = {name for name, _ in given}
        lines = [(b"host", self._url.authority.encode())]
        if not plain:
            lines += [(name, value) for name, value in _OWN_HEADERS.items() if name not in names]
        if isinstance(body, bytes) and (body or method not in _WITHOUT_BODY):
            lines.append((b"content-length", b"%d" % len(body)))
        lines += given
        start = f"{method} {target} HTTP/1.1\r\n".encode("latin-1")  # what is not ASCII in it came as bytes
        return start + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n"


async def _answer_of(connection: Connection, head: bytes, body: bytes | Body, bodiless: bool) -> Answer:
    try:
        status, headers = await connection.ask(head, body, bodiless=bodiless)
    except BaseException:
        connection.finish()
        raise
    return Answer(status, headers, _chunks(connection), connection.abort)


async def _chunks(connection: Connection) -> AsyncIterator[bytes]:
    while chunk := await connection.read():
        yield chunk


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _reason(error: OSError) -> str:
    """Why there is no connection, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if error.errno is None or isinstance(error, (socket.gaierror, ssl.SSLError)):
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)  # uvloop and asyncio put words of their own in place of the system's
