"""Passing on: a request and its answer, both as they are and as they come, with nothing stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from recoup.errors import BadRequestError, StreamCutError, UpstreamError
from recoup.in_flight import Holding, InFlight
from recoup.pipelines.answer_parser import ExchangeError
from recoup.pipelines.connection import Body
from recoup.pipelines.exchange import Answer
from recoup.pipelines.hop_by_hop import end_to_end
from recoup.pipelines.passthrough import Passthrough
from recoup.pipelines.paths import sent_query
from recoup.telemetry import request_id
from recoup.web.generation.body import BodyTimeouts, read_body
from recoup.web.generation.own_answer import REQUEST_ID
from recoup.web.generation.request import content_length
from recoup.web.generation.streaming import StreamSender
from recoup.web.recorder import RequestRecord, RequestRecorder
from recoup.web.responses import RawHeaders
from recoup.web.sending import Caller, Deliveries, Receive, Send

#: A body of up to so many bytes is read before it is sent on, over a connection that is there already.
_READ_FIRST_BYTES = 64 * 1024
#: What is recorded of a request whose caller has left before its answer.
_CALLER_LEFT = 499
_CACHE_STATUS = (b"cache-status", b"recoup; fwd=bypass")
_FRAMING = (b"host", b"expect", b"content-length")


class PassingEndpoint:
    """Answers what passes through. Of one event loop.

    Args:
        budget: Holds bodies and answers on their way.
        deliveries: Gives turns to those who are sent much.
        recorder: Records requests; None: nobody does.
        body_timeout_seconds: How long a short body may take to arrive.
    """

    def __init__(
        self, budget: InFlight, deliveries: Deliveries, recorder: RequestRecorder | None, body_timeout_seconds: float
    ) -> None:
        self._budget = budget
        self._deliveries = deliveries
        self._recorder = recorder
        self._timeouts = BodyTimeouts(body_timeout_seconds)

    async def answer(
        self, passthrough: Passthrough, template: str, rest: str, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Pass one request on, and its answer back.

        Raises:
            RequestError: Its body cannot be read.
            OverloadedError: The budget has no room.
            UpstreamError: The upstream gave no answer.
        """
        given = dict(scope["headers"])
        record = RequestRecord(
            request_id(given.get(b"x-request-id", b"").decode("latin-1")),
            given.get(b"traceparent", b"").decode("latin-1"),
        )
        holding = Holding(self._budget, "bodies")
        self._deliveries.count += 1  # what is under way may finish before the service ends
        try:
            async with AsyncExitStack() as stack:
                sending = await _Sending.of(scope, receive, self._timeouts, holding)
                caller = Caller(sending.receive)
                stack.callback(caller.close)
                query = sent_query(scope["query_string"])
                exchange = passthrough.exchange(scope["method"], rest, query, sending.headers, sending.body)
                try:
                    answer = await _unless_left(caller.leaving, stack.enter_async_context, exchange)
                except ExchangeError as error:
                    raise UpstreamError(f"the exchange with the upstream failed: {error}") from error
                if answer is None:
                    self._record(record, scope, template, _CALLER_LEFT, 0)
                    return
                await self._answer(answer, record, template, scope, caller, send)
        finally:
            self._deliveries.count -= 1
            holding.release()

    async def _answer(
        self,
        answer: Answer,
        record: RequestRecord,
        template: str,
        scope: dict[str, Any],
        caller: Caller,
        send: Send,
    ) -> None:
        headers = [*end_to_end(answer.headers), _CACHE_STATUS, (REQUEST_ID, record.request_id.encode())]
        sender = StreamSender(_Chunks(answer), self._deliveries, self._budget, time.perf_counter)
        sent = await sender.send(caller, send, answer.status, headers, body=scope["method"] != "HEAD")
        if sent.cut and not sent.begun:
            raise UpstreamError(sent.cut)
        if sent.cut:
            record.error = f"StreamCutError: {sent.cut}"
        self._record(record, scope, template, _CALLER_LEFT if sent.left else answer.status, sent.size)

    def _record(self, record: RequestRecord, scope: dict[str, Any], template: str, status: int, size: int) -> None:
        if self._recorder is not None:
            self._recorder.record(record, scope["method"], scope["path"], template, status, size)


class _Sending:
    """The caller's side: what is sent on, and whether the caller is still there.

    Attributes:
        headers: What is sent on of the request's headers, with the framing of its body.
        body: Its body.
    """

    def __init__(self, headers: RawHeaders, receive: Receive) -> None:
        self.headers = headers
        self.body: bytes | Body = b""
        self._receive = receive
        self._is_read = asyncio.Event()

    @classmethod
    async def of(cls, scope: dict[str, Any], receive: Receive, timeouts: BodyTimeouts, holding: Holding) -> _Sending:
        """Read a short body; get ready to read a long one as it is sent on."""
        raw: RawHeaders = scope["headers"]
        length = content_length(_lengths(raw))
        chunked = any(name == b"transfer-encoding" for name, _ in raw)
        sending = cls([line for line in end_to_end(raw) if line[0] not in _FRAMING], receive)
        if length is not None and length > _READ_FIRST_BYTES:
            sending.headers.append((b"content-length", b"%d" % length))
            sending.body = sending._pieces(length)
        elif chunked:
            sending.headers.append((b"transfer-encoding", b"chunked"))
            sending.body = sending._chunks()
        else:
            sending.body = await timeouts.within(read_body, receive, length, _READ_FIRST_BYTES, holding)
            sending._is_read.set()
        return sending

    async def receive(self) -> dict[str, Any]:
        """What comes after the body, as a server's `receive`."""
        await self._is_read.wait()
        return await self._receive()

    async def _pieces(self, length: int | None) -> AsyncIterator[bytes]:
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise BadRequestError("its sender has gone")
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False) and size + len(piece) != length
            size += len(piece)
            if piece:
                yield piece
        self._is_read.set()
        if length is not None and size != length:
            raise BadRequestError(f"it has {size} bytes; its Content-Length is {length}")

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces(None):
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"


class _Chunks:
    """The body of an answer, as a reader of it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._rest = b""
        self._reason = ""

    async def read(self, most: int) -> bytes:
        """The next bytes, up to so many; none at the end.

        Raises:
            StreamCutError: They broke off.
        """
        if not self._rest:
            try:
                self._rest = await anext(self._answer.chunks, b"")
            except ExchangeError as error:
                raise StreamCutError(self._reason or f"the upstream's answer broke off: {error}") from error
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    def cut_off(self, reason: str) -> None:
        """End it, before its end."""
        self._reason = reason
        self._answer.abort()


async def _unless_left(left: asyncio.Future[Any], begin: Callable[[Any], Any], given: Any) -> Any:
    """What `begin(given)` gives; None where the caller leaves meanwhile."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  # for the types: this is a coroutine

    def leave(_: object) -> None:
        if not left.cancelled():
            task.cancel()

    left.add_done_callback(leave)
    try:
        return await begin(given)
    except asyncio.CancelledError:
        if not left.done() or left.cancelled():
            raise
        if hasattr(task, "uncancel"):  # from Python 3.11 on
            task.uncancel()
        return None
    finally:
        left.remove_done_callback(leave)


def _lengths(headers: RawHeaders) -> dict[bytes, tuple[bytes, ...]]:
    values = tuple(value for name, value in headers if name == b"content-length")
    return {b"content-length": values} if values else {}
