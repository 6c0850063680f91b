"""One HTTP exchange with an upstream, under one time limit for all of it.

urllib3's own time limits hold for single waits, so an upstream that trickles could take for ever. Here the socket
itself knows when the exchange has to be over, and waits for no byte of it longer than until then.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from recoup import __version__
from recoup.errors import GenerationTimeoutError, UpstreamError

_CHUNK_BYTES = 1 << 16
#: So much of a body that is no result is read, for the person who reads the problem.
_REFUSAL_BYTES = 2048
#: zlib's window, and 32 for: gzip or zlib, as the header says.
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
#: How exact the system's timers are, in seconds.
_TIMER_SLACK = 0.005


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream answered: its status, its headers, and its body with all encodings undone.

    The body is whole for a status 2xx; for others it is its beginning.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """One URL, and the connections that are kept open to its server. Safe for many threads.

    Redirects are not followed and nothing is sent twice: a generation is neither free nor known to be repeatable.

    Args:
        url: `http://` or `https://`, with a host; certificates are verified against the system's authorities.
        connections: Connections that are kept open.
        clock: Monotonic seconds.
    """

    def __init__(self, url: str, *, connections: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = urllib3.connection_from_url(url, maxsize=connections)
        self._pool.ConnectionCls = _TimedHTTPS if url.startswith("https:") else _TimedHTTP
        self._target = urllib3.util.parse_url(url).request_uri
        self._clock = clock

    def exchange(
        self,
        method: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout_seconds: float,
        max_bytes: int,
    ) -> Answer:
        """Send one request and read the whole answer, within `timeout_seconds`.

        Args:
            method: The HTTP method.
            query: An encoded query, added to the URL's own.
            headers: Request headers.
            body: Sent as it is; nothing is sent when it is empty.
            timeout_seconds: For connecting, sending, waiting and reading together.
            max_bytes: A longer result is refused.

        Raises:
            GenerationTimeoutError: It was not over in time.
            UpstreamError: No connection, no HTTP, or a body that is cut short, too large or not to be decoded.
        """
        deadline = _Deadline(self._clock, self._clock() + timeout_seconds)
        _current.deadline = deadline
        try:
            response = self._send(method, self._target_with(query), headers, body, timeout_seconds)
            try:
                return _read(response, max_bytes)
            finally:
                # A connection whose answer was read to its end has gone back to the pool before.
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if deadline.passed or _is_timeout(error):
                raise GenerationTimeoutError(f"the upstream took longer than {timeout_seconds:g} seconds") from error
            raise UpstreamError(f"the exchange with the upstream failed: {_cause(error)}") from error
        finally:
            _current.deadline = None

    def close(self) -> None:
        """Close the connections that are idle; exchanges under way go on."""
        self._pool.close()

    def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> urllib3.BaseHTTPResponse:
        return self._pool.urlopen(
            method,
            target,
            body=body or None,
            headers={"User-Agent": f"recoup/{__version__}", **headers},
            timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )

    def _target_with(self, query: str) -> str:
        if not query:
            return self._target
        return self._target + ("&" if "?" in self._target else "?") + query


@dataclass(frozen=True, slots=True)
class _Deadline:
    clock: Callable[[], float]
    at: float

    def remaining(self) -> float:
        """Seconds that are left; raises TimeoutError when there are none."""
        left = self.at - self.clock()
        if left <= 0:
            raise TimeoutError("the exchange's time is over")
        return left

    @property
    def passed(self) -> bool:
        return self.clock() + _TIMER_SLACK >= self.at


class _Current(threading.local):
    """The deadline of the exchange that this thread makes; all its waiting is done in the thread itself."""

    deadline: _Deadline | None = None


_current = _Current()


class _TimedReader(io.RawIOBase):
    """Reads from a socket, and waits no longer than the exchange may last."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        _limit(self._sock)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _AnswerReader(io.BufferedReader):
    """Refuses an answer that ends within its headers, which http.client takes for one with an empty body."""

    _in_headers = True

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if self._in_headers:
            if not line:
                raise ConnectionError("the connection was closed within the headers")
            self._in_headers = line not in (b"\r\n", b"\n")
        return line


class _TimedSocket:
    """A connected socket, plain or TLS, that waits no longer than the exchange may last."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: Any) -> None:
        _limit(self._sock)
        self._sock.sendall(data)

    def makefile(self, *_args: Any, **_options: Any) -> io.BufferedReader:
        """The reader that http.client takes an answer from."""
        return _AnswerReader(_TimedReader(self._sock), _CHUNK_BYTES)


def _limit(sock: Any) -> None:
    if _current.deadline is not None:
        sock.settimeout(_current.deadline.remaining())


class _TimedHTTP(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock)


class _TimedHTTPS(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _TimedSocket(self.sock)


def _read(response: urllib3.BaseHTTPResponse, max_bytes: int) -> Answer:
    headers = response.headers
    if 200 <= response.status < 300:
        encodings = headers.get("Content-Encoding", "")
        return Answer(response.status, headers, _decoded(_read_whole(response, max_bytes), encodings, max_bytes))
    return Answer(response.status, headers, _read_beginning(response))


def _read_whole(response: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _read_beginning(response: urllib3.BaseHTTPResponse) -> bytes:
    body = bytearray()
    # The status is known, and says more than that the rest of the body did not come.
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        for chunk in response.stream(_REFUSAL_BYTES, decode_content=False):
            body += chunk
            if len(body) > _REFUSAL_BYTES:
                break
    return bytes(body[:_REFUSAL_BYTES])


def _decoded(body: bytes, encodings: str, max_bytes: int) -> bytes:
    """Undo the content encodings, the last one first; a body that ends early in one is an error."""
    for encoding in reversed([name.strip().lower() for name in encodings.split(",")]):
        if encoding in ("gzip", "x-gzip", "deflate"):
            body = _inflated(body, max_bytes)
        elif encoding not in ("", "identity"):
            raise UpstreamError(f"the upstream's body is in the encoding {encoding[:40]!r}, which was not asked for")
    return body


def _inflated(body: bytes, max_bytes: int) -> bytes:
    """Inflate gzip (RFC 1952, all its members) or zlib (RFC 1950) data, up to a limit."""
    whole = bytearray()
    while body:
        part = zlib.decompressobj(_GZIP_OR_ZLIB)
        try:
            whole += part.decompress(body, max_bytes + 1 - len(whole))
        except zlib.error as error:
            raise UpstreamError(f"the upstream's body cannot be decoded: {error}") from None
        if len(whole) > max_bytes:
            raise _too_large(max_bytes)
        if not part.eof:
            raise UpstreamError("the upstream's body cannot be decoded: it ends early")
        body = part.unused_data
    return bytes(whole)


def _too_large(max_bytes: int) -> UpstreamError:
    return UpstreamError(f"the upstream's result is larger than {max_bytes / 2**20:g} MB")


def _is_timeout(error: Exception) -> bool:
    # urllib3 derives "no connection" from its timeouts.
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return False
    return isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))


def _cause(error: Exception) -> str:
    """The innermost reason in words, without the objects and addresses that urllib3 names around it."""
    inner = error.args[-1] if error.args and isinstance(error.args[-1], BaseException) else error.__cause__
    if inner is None:
        return type(error).__name__
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
