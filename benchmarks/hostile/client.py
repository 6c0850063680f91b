"""A client on raw sockets: it sends what it is told, however wrong, and reads whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]
Headers = Sequence[tuple[str, str | bytes]]

#: Statuses that are none.
CLOSED, NO_ANSWER, REFUSED = "closed", "no answer", "not accepted"
_READ_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: Of three digits; or `CLOSED` (without an answer), `NO_ANSWER` (in time), `REFUSED` (no connection).
        seconds: From the first byte sent to the last one read.
        whole: Whether the body is as long as the head says.
    """

    status: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    seconds: float = 0.0
    whole: bool = True

    def header(self, name: str) -> str | None:
        """All values of a header, joined by commas; None without one."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


def request(
    method: str, path: str, body: bytes = b"", headers: Headers = (), *, host: str | None = "127.0.0.1"
) -> bytes:
    """A well-formed request but for what `headers` make of it. Header values that are text go out as UTF-8."""
    lines = [f"{method} {path} HTTP/1.1".encode()]
    names = {name.lower() for name, _ in headers}
    if host is not None and "host" not in names:
        lines.append(f"Host: {host}".encode())
    if body and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}".encode())
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) for name, value in headers
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(slots=True)
class Connection:
    """One connection; it reads nothing by itself."""

    sock: socket.socket
    _buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    async def open(cls, address: Address, *, receive_bytes: int | None = None) -> Connection:
        """Connect. `receive_bytes` is the size of the kernel's receive buffer: a small one for who does not read.

        Raises:
            OSError: It was refused.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def close(self) -> None:
        """Close it; twice is once."""
        self.sock.close()

    async def send(self, data: bytes | memoryview) -> None:
        """Send everything, as fast as it is taken."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def send_now(self, data: bytes) -> bool:
        """Send without waiting; False once the other side has closed."""
        try:
            self.sock.send(data)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    async def _more(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.sock, _READ_BYTES)
        self._buffer += data
        return bool(data)

    async def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if len(self._buffer) > _MOST_HEAD_BYTES or not await self._more():
                raise ConnectionError("closed")
        taken, _, rest = bytes(self._buffer).partition(end)
        self._buffer = bytearray(rest)
        return taken

    async def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not await self._more():
                raise ConnectionError("closed")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int((await self._until(b"\r\n")).partition(b";")[0], 16):
            parts.append(await self._exactly(size))
            await self._exactly(2)
        await self._until(b"\r\n")
        return b"".join(parts)

    async def answer(self) -> Answer:
        """Read one answer, interim ones skipped; a body that breaks off is not `whole`.

        Raises:
            OSError: It ended before a whole head.
        """
        status = "100"
        headers: tuple[tuple[str, str], ...] = ()
        while status.startswith("1"):
            status, headers = _head(await self._until(b"\r\n\r\n"))
        fields = dict(headers)
        try:
            if fields.get("transfer-encoding", "").lower() == "chunked":
                body = await self._chunks()
            else:
                body = await self._exactly(int(fields.get("content-length", 0)))
        except (OSError, ValueError):
            return Answer(status, headers, bytes(self._buffer), whole=False)
        return Answer(status, headers, body)


def _head(head: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split(" ")[1], tuple((name.lower(), value.strip()) for name, _, value in pairs)


async def ask(address: Address, data: bytes, body: bytes = b"", *, seconds: float = 30.0) -> Answer:
    """Send on a connection of its own, and read the answer: within so many seconds, or what stands for one.

    A large `body` that many send comes apart from `data`, so that there is one of it.
    """
    began = time.monotonic()
    try:
        answer = await asyncio.wait_for(_ask(address, data, body), seconds)
    except (asyncio.TimeoutError, TimeoutError):
        answer = Answer(NO_ANSWER)
    return Answer(answer.status, answer.headers, answer.body, time.monotonic() - began, answer.whole)


async def _ask(address: Address, data: bytes, body: bytes) -> Answer:
    try:
        connection = await Connection.open(address)
    except OSError:
        return Answer(REFUSED)
    # An answer may come before the request is sent in whole: it is read meanwhile.
    sending = asyncio.ensure_future(_send(connection, data, body))
    try:
        return await connection.answer()
    except OSError:
        return Answer(CLOSED)
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
        connection.close()


async def _send(connection: Connection, *parts: bytes) -> None:
    for part in parts:
        await connection.send(part)


async def ask_all(
    address: Address, requests: Iterable[bytes], body: bytes = b"", *, seconds: float = 30.0
) -> list[Answer]:
    """All at once, each on a connection of its own."""
    return list(await asyncio.gather(*(ask(address, data, body, seconds=seconds) for data in requests)))


def statuses(answers: Iterable[Answer]) -> str:
    """How often which status came, as text."""
    counts: dict[str, int] = {}
    for answer in answers:
        counts[answer.status] = counts.get(answer.status, 0) + 1
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items())) or "none"


def raise_descriptor_limit(wanted: int) -> int:
    """Let this process open so many files, or as many as it may; gives the limit that holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if limit > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(soft, limit)
