"""One HTTP/1.1 connection to an upstream: one exchange at a time, idle between them.

llhttp (by way of httptools) reads the answers, in its strict mode. What it cannot know is decided here: interim answers
are skipped, an answer has to be whole, and a connection on which anything came that was not asked for is never used
again, as the next caller would be answered with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

from recoup.pipelines.answer_parser import AnswerParser, ExchangeError

#: So much of an answer is kept for its reader; then the upstream has to wait.
_HIGH_WATER, _LOW_WATER = 1 << 18, 1 << 16
#: A longer request body is sent by a task of its own, in pieces of this size.
_PIECE_BYTES = 1 << 18
#: Where Linux tells how many bytes of a connection the other side's system has acknowledged (struct tcp_info).
_ACKNOWLEDGED = struct.Struct("120xQ")
#: A reset within so many seconds of a request is the answer to it.
_PROMPT_SECONDS = 5.0

#: A request's body that is still coming, framed as its headers say.
Body = AsyncIterator[bytes]


class Connection(asyncio.Protocol):
    """A connection that is open.

    Args:
        sock: Its socket, which the transport owns; looked at, never read.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._answer: AnswerParser | None = None
        self._failure: str | None = None
        self._lost = self._paused = self._blocked = False
        self._reset = False
        self._asked_at = 0.0
        self._buffered = 0
        self._written = self._written_before = 0
        self._acknowledged_before: int | None = None
        self._acknowledged_at_end: int | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    # What the transport calls: asyncio.Protocol

    def connection_made(self, transport: Any) -> None:
        """It is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        answer = self._answer
        if answer is None or answer.complete:
            self.abort()  # nobody asked for it
            return
        pieces = answer.pieces
        count = len(pieces)
        try:
            answer.feed(data)
        except ExchangeError as error:
            self._fail(str(error))
            return
        if len(pieces) > count + 1:
            # Many short chunks: one piece of them all takes less room.
            pieces[count:] = [b"".join(pieces[count:])]
        if len(pieces) > count:
            self._buffered += len(pieces[-1])
        if self._buffered > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The upstream sends nothing more."""
        self._note_acknowledged()
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        self._note_acknowledged()
        self._lost = True
        asked_for = self._loop.time() - self._asked_at
        self._reset = isinstance(error, ConnectionError) and asked_for < _PROMPT_SECONDS
        self._let_write()
        if error is not None and self._answer is not None and not self._answer.complete:
            self._fail(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        self._end()

    def pause_writing(self) -> None:
        """What was written waits to be sent."""
        self._blocked = True

    def resume_writing(self) -> None:
        """What was written is sent, mostly."""
        self._blocked = False
        self._let_write()

    # What an exchange calls

    def is_usable(self) -> bool:
        """Whether it is open, and nothing came since the last answer: neither an end nor anything else."""
        if self._lost or self._transport.is_closing():
            return False
        try:
            # What the event loop has not read yet counts, too.
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def ask(
        self, head: bytes, body: bytes | Body, *, bodiless: bool = False
    ) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Send a request, and wait for the status and the headers of its answer.

        Args:
            head: Its first line and its headers.
            body: Its body, framed as its headers say; one that is still coming is sent as it comes.
            bodiless: Whether the answer has no body, whatever its headers say.

        Raises:
            ExchangeError: There is no answer, or none that is HTTP.
        """
        if self._lost or self._transport.is_closing():
            raise ExchangeError("the connection was closed", unanswered=True, unsent=True)
        self._answer = answer = AnswerParser(bodiless)
        self._asked_at = self._loop.time()
        self._acknowledged_before, self._written_before = self._acknowledged(), self._written
        if not isinstance(body, bytes):
            self._write(head)
            self._sender = self._loop.create_task(self._send_all(body))
        elif len(body) <= _PIECE_BYTES:
            self._write(head + body)
        else:
            self._write(head)
            self._sender = self._loop.create_task(self._send(memoryview(body)))
        while not answer.has_head:
            await self._more()
        return answer.status, answer.headers

    async def read(self) -> bytes:
        """The next bytes of the answer's body; none at its end.

        Raises:
            ExchangeError: The body is not whole.
        """
        answer = self._answer
        if answer is None:
            return b""
        while not answer.pieces:
            if answer.complete:
                return b""
            await self._more()
        piece = answer.pieces.pop(0)
        self._buffered -= len(piece)
        if self._paused and self._buffered <= _LOW_WATER:
            self._paused = False
            self._transport.resume_reading()
        return piece

    def finish(self) -> bool:
        """End the exchange. Whether another one may follow on this connection; if not, it is closed."""
        answer, self._answer = self._answer, None
        sender, self._sender = self._sender, None
        sent = sender is None or sender.done()
        if sender is not None:
            sender.cancel()
        if answer is not None:
            answer.parser = None  # it leads back to the answer, and both would stay until a collection
            if answer.is_clean() and sent and self._failure is None and self.is_usable():
                return True
        self.abort()
        return False

    def abort(self) -> None:
        """Close it, at once."""
        self._transport.abort()

    # Its own

    def _write(self, data: bytes | memoryview) -> None:
        self._written += len(data)
        self._transport.write(data)

    async def _send(self, body: memoryview) -> None:
        """Send a long body. One write of all of it would be one copy of all of it, at once."""
        for start in range(0, len(body), _PIECE_BYTES):
            if not await self._can_write():
                return
            self._write(body[start : start + _PIECE_BYTES])

    async def _send_all(self, body: Body) -> None:
        """Send a body that is still coming. One that breaks off ends the exchange."""
        try:
            async for piece in body:
                if not await self._can_write():
                    return
                self._write(piece)
        except Exception as error:  # noqa: BLE001  # the exchange tells its caller
            self._fail(f"the request's body broke off: {error}")

    async def _can_write(self) -> bool:
        """Wait until what was written is sent, mostly; whether the connection is still open then."""
        while self._blocked and not self._lost:
            self._writable = self._loop.create_future()
            await self._writable
        return not self._lost and not self._transport.is_closing()

    def _let_write(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def _more(self) -> None:
        """Wait until something came."""
        if self._failure is not None:
            raise self._error(self._failure)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self) -> None:
        answer = self._answer
        if answer is not None and not answer.complete and self._failure is None:
            try:
                answer.end()
            except ExchangeError as error:
                self._fail(str(error))
        self._wake()

    def _fail(self, message: str) -> None:
        # Kept as text: an error that its own traceback's frames lead to stays until a collection.
        if self._failure is None:
            self._failure = message
        self._transport.abort()
        self._wake()

    def _error(self, message: str) -> ExchangeError:
        unanswered = self._answer is None or not self._answer.begun
        return ExchangeError(message, unanswered=unanswered, unsent=unanswered and self._was_unsent())

    def _was_unsent(self) -> bool:
        """Whether no program of the upstream's can have read the last request whole. Only on a connection used before.

        The upstream's system acknowledges what it takes, and its last word, with which it closes, tells how far it
        came. If that is where it was before the request, the request came to a connection that was closed already.
        If it acknowledged more and resets the connection at once, instead of closing it in order, its program closed
        it with bytes unread (RFC 1122, 4.2.2.13). After a while, though, a reset may come from anything on the way.
        """
        if not self._written_before:
            return False
        if self._reset:
            return True
        before, end = self._acknowledged_before, self._acknowledged_at_end
        if before is None or end is None or before < self._written_before:
            return False
        return before == end

    def _note_acknowledged(self) -> None:
        if self._acknowledged_at_end is None:
            self._acknowledged_at_end = self._acknowledged()

    def _acknowledged(self) -> int | None:
        if not hasattr(socket, "TCP_INFO"):
            return None
        with contextlib.suppress(OSError, struct.error):
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED.size)
            (count,) = _ACKNOWLEDGED.unpack(info)
            return int(count)
        return None
