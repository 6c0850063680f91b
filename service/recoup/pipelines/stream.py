"""An upstream's answer that is passed on as it comes: one pump, and any number of readers, each at a pace of its own.

What came is kept, so that followers who join get it, too, and so that it can be stored. That is the queue, and no
reader holds up another one or the upstream. An answer over the limit of a result, or for which the budget has no room,
is not stored, and nobody joins it any more: from then on only a window of it is kept, and the upstream waits for the
slowest reader. One who takes nothing for `STALL_SECONDS` meanwhile is cut off.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import islice

from recoup.cache.open_results import OpenResult
from recoup.errors import GenerationTimeoutError, OverloadedError, StreamCutError
from recoup.in_flight import answer_in_flight
from recoup.pipelines.answer_parser import ExchangeError
from recoup.pipelines.aside import AT_HOME, Aside
from recoup.pipelines.hop_by_hop import RawHeaders
from recoup.pipelines.protocol import TOO_LARGE, Result, finish_result
from recoup.pipelines.result_rules import ResultRules
from recoup.pipelines.server_sent_events import MEDIA_TYPE, STREAMING_TYPES, ended_well
from recoup.pipelines.time_limit import time_limit

#: So much of an answer is kept that is not to be stored.
WINDOW_BYTES = 1 << 20
#: Seconds for which the others wait for a reader of such an answer who takes nothing.
STALL_SECONDS = 30.0
#: Readers that are woken in one round of the event loop.
READERS_A_ROUND = 32


class Stream(OpenResult):
    """An answer on its way. Of one event loop.

    Args:
        status: Of the upstream.
        headers: Of the upstream, without those of its connection.
        chunks: The body as it comes.
        head: The result that it will be, without its body.
        max_bytes: A larger one is not stored.
        ends: The data or names of events of which the last one ends a stream of events well; empty: its framing does.
        rules: What the result is looked at for.
        exchange: Closed once the body has come.
        timeout_seconds: So long it may still take.
        aside: Where long JSON is read.

    Attributes:
        status: See above.
        headers: See above.
        head: See above.
        joinable: Whether a reader may still begin at its beginning.
        kept_out: What keeps it from being stored; empty as long as nothing does.
        size: Bytes that have come.
        ended: Whether it came to its end, well or not.
        ended_at: When, of `time.perf_counter`; None: it has not yet.
    """

    def __init__(
        self,
        status: int,
        headers: RawHeaders,
        chunks: AsyncIterator[bytes],
        *,
        head: Result,
        max_bytes: int,
        ends: tuple[str, ...],
        rules: ResultRules,
        exchange: AsyncExitStack,
        timeout_seconds: float,
        aside: Aside = AT_HOME,
    ) -> None:
        self.status = status
        self.headers = headers
        self.head = head
        self.kept_out = head.kept_out
        self.joinable = True
        self.size = 0
        self.ended = False
        self.ended_at: float | None = None
        self._chunks = chunks
        self._rules = rules
        self._examination = rules.begin(head.content_type)
        self._max_bytes = max_bytes
        self._ends = ends if self.media_type == MEDIA_TYPE else ()
        self._exchange = exchange
        self._timeout_seconds = timeout_seconds
        self._aside = aside
        self._buffer: io.BytesIO | None = io.BytesIO()
        self._kept = 0
        self._body: bytes | None = None
        self._held = ExitStack()
        self._window: bytearray | None = None
        self._window_at = 0
        self._cut: str | None = None
        self._readers: set[Reader] = set()
        self._room: asyncio.Future[None] | None = None
        # How far every reader has to be before more is taken, and how many are not there yet.
        self._wanted = self._behind = 0
        self._to_wake: dict[Reader, None] = {}

    @property
    def media_type(self) -> str:
        """The media type, in lower case."""
        return self.head.content_type.partition(";")[0].strip().lower()

    @property
    def streams(self) -> bool:
        """Whether its parts mean something by themselves."""
        return self.media_type in STREAMING_TYPES

    @property
    def has_length(self) -> bool:
        """Whether it says how long it is."""
        return any(name == b"content-length" for name, _ in self.headers)

    def reader(self) -> Reader:
        """A reader at its beginning, which has to be closed. Only while it is joinable."""
        reader = Reader(self)
        self._readers.add(reader)
        return reader

    async def whole(self) -> Result:
        """Take the answer as it comes, to its end.

        Raises:
            StreamCutError: It broke off.
            GenerationTimeoutError: It took too long.
        """
        held = self._held.enter_context(answer_in_flight())
        try:
            async with self._exchange, time_limit(self._timeout_seconds):
                await self._take_all(held.grow)
        except ExchangeError as error:
            if not self._has_ended_well():
                raise self._break_off(StreamCutError(f"the upstream's answer broke off: {error}")) from error
        except asyncio.TimeoutError:
            message = f"the upstream's answer was not whole after {self._timeout_seconds:g} seconds"
            raise self._break_off(GenerationTimeoutError(message)) from None
        except BaseException as error:
            self._break_off(error)
            raise
        return await self._end()

    # --- what came

    async def _take_all(self, hold: Callable[[int], None]) -> None:
        async for chunk in self._chunks:
            if self._window is None and not self._keep(chunk, hold):
                self._stop_keeping()
            if self._window is not None:
                if not self._readers:
                    return  # it is for nobody any more
                self._window += chunk
            self.size += len(chunk)
            self._wake()
            await self._examination.feed_as_it_comes(chunk, self._aside)
            if self._window is not None:
                await self._wait_for_readers()

    def _keep(self, chunk: bytes, hold: Callable[[int], None]) -> bool:
        if self._buffer is None or self.size + len(chunk) > self._max_bytes:
            return False
        try:
            hold(len(chunk))
        except OverloadedError:
            return False
        self._buffer.write(chunk)
        self._kept += len(chunk)
        return True

    def _stop_keeping(self) -> None:
        self.kept_out = self.kept_out or TOO_LARGE
        self.joinable = False
        self._window = bytearray()
        self._window_at = self.size
        self._let_go()

    async def _wait_for_readers(self) -> None:
        """Wait until the slowest reader is within the window. However many there are, a read counts itself alone."""
        loop = asyncio.get_running_loop()
        self._wanted = self.size - WINDOW_BYTES
        self._behind = sum(reader.at < self._wanted for reader in self._readers)
        while self._behind:
            since = loop.time()
            self._room = loop.create_future()
            timer = loop.call_later(STALL_SECONDS, _resolve, self._room)
            try:
                await self._room
            finally:
                timer.cancel()
            if self._behind:
                self._cut_off_stalled(since)
        self._wanted = 0
        self._let_go()

    def _cut_off_stalled(self, since: float) -> None:
        stalled = [reader for reader in self._readers if reader.at < self._wanted and reader.moved_at <= since]
        for reader in stalled:
            reader.cut_off("it was not read for so long that others had to wait")

    def _let_go(self) -> None:
        """Forget what every reader has read."""
        if self._window is None:
            return
        slowest = min((reader.at for reader in self._readers), default=self.size)
        if self._buffer is not None and slowest >= self._kept:
            self._buffer = None
            self._held.close()
            with suppress(OverloadedError):  # without room it goes on with what it has: the window is bounded
                self._held.enter_context(answer_in_flight()).grow(WINDOW_BYTES)
        if slowest > self._window_at:
            del self._window[: slowest - self._window_at]
            self._window_at = slowest

    # --- how it ends

    def _has_ended_well(self) -> bool:
        """Whether the event that ends a stream well is there, whatever came of the connection afterwards."""
        return bool(self._ends) and self._window is None and ended_well(self._content(), self._ends)

    def _content(self) -> bytes:
        return b"" if self._buffer is None or self._window is not None else self._buffer.getvalue()

    async def _end(self) -> Result:
        body = self._content()
        if self._window is None:
            self._body, self._buffer = body, None
            if self._ends and not ended_well(body, self._ends):
                self.kept_out = self.kept_out or "unfinished"
        self.ended, self.ended_at = True, time.perf_counter()
        self._wake()
        self._release_if_read()
        if not body and self._window is None:
            self.kept_out = self.kept_out or "empty"
        finding = await self._examination.finish_as_it_came(None if self._window is not None else body, self._aside)
        head = self._rules.priced(self.head, finding)
        self.kept_out = self.kept_out or finding.kept_out
        return await finish_result(head, body, kept_out=self.kept_out, shared=self.joinable)

    def _break_off(self, error: BaseException) -> BaseException:
        self._cut = str(error) or type(error).__name__
        self.ended, self.ended_at = True, time.perf_counter()
        self.joinable = False
        self._wake()
        self._release_if_read()
        return error

    def _release_if_read(self) -> None:
        """What came is on its way until the last reader has it."""
        if self.ended and not self._readers:
            self._held.close()

    # --- readers

    def _wake(self) -> None:
        """Wake the readers that wait, some in each round of the event loop: what all of them do at once takes long."""
        begun = bool(self._to_wake)
        self._to_wake.update(dict.fromkeys(reader for reader in self._readers if reader.waits))
        if not begun:
            self._wake_some()

    def _wake_some(self) -> None:
        for reader in list(islice(self._to_wake, READERS_A_ROUND)):
            del self._to_wake[reader]
            reader.wake()
        if self._to_wake:
            asyncio.get_running_loop().call_soon(self._wake_some)

    def available(self, at: int) -> bool:
        """Whether there is something from a place on, or nothing will come any more."""
        return at < self.size or self.ended

    def slice(self, at: int, most: int) -> bytes:
        """Up to so many bytes from a place on; none at the end.

        Raises:
            StreamCutError: It broke off there.
        """
        if at >= self.size:
            if self._cut is not None:
                raise StreamCutError(self._cut)
            return b""
        if self._body is not None:
            return self._body[at : at + most]
        if at < self._kept and self._buffer is not None:
            with self._buffer.getbuffer() as view:
                return bytes(view[at : min(at + most, self._kept)])
        assert self._window is not None  # noqa: S101  # what is not kept is in the window
        return bytes(memoryview(self._window)[at - self._window_at : at - self._window_at + most])

    def moved(self, before: int, after: int) -> None:
        """A reader has read on, from a place to another."""
        if before < self._wanted <= after:
            self._behind -= 1
            if not self._behind and self._room is not None:
                _resolve(self._room)

    def leave(self, reader: Reader) -> None:
        """A reader has gone."""
        if reader in self._readers:
            self._readers.remove(reader)
            self.moved(reader.at, self.size)
        self._release_if_read()


class Reader:
    """One reader of a stream.

    Attributes:
        at: Bytes that it has read.
        moved_at: When it read last, of the loop's time.
    """

    __slots__ = ("_cut_off", "_stream", "_waiter", "at", "moved_at")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiter: asyncio.Future[None] | None = None
        self._cut_off: str | None = None
        self.at = 0
        self.moved_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether it waits for more."""
        return self._waiter is not None

    async def read(self, most: int) -> bytes:
        """The next bytes, up to so many, as soon as there are any; none at the end.

        Raises:
            StreamCutError: It broke off, or this reader was too slow for the others.
        """
        while self._cut_off is None and not self._stream.available(self.at):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._cut_off is not None:
            raise StreamCutError(self._cut_off)
        piece = self._stream.slice(self.at, most)
        before, self.at = self.at, self.at + len(piece)
        self.moved_at = asyncio.get_running_loop().time()
        self._stream.moved(before, self.at)
        return piece

    def wake(self) -> None:
        """Something has come."""
        if self._waiter is not None:
            _resolve(self._waiter)

    def cut_off(self, reason: str) -> None:
        """End it, before its end."""
        self._cut_off = reason
        self.wake()
        self._stream.leave(self)

    def close(self) -> None:
        """Read no more."""
        self._stream.leave(self)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
