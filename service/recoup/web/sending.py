"""Sending: large bodies in small pieces, so that a reader who is slow costs a few pieces and not a copy.

Each piece waits until the server has taken it, and for its turn: a thousand readers who come at once take no longer a
share of the event loop than some. The server's own queue takes some sixteen of them; past that, `send` waits for the
reader. A reader who takes nothing at all is let go by the kernel (see
`recoup.listener`): from then on the server takes and drops whatever comes, so nothing more is sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from recoup.in_flight import Holding, InFlight
from recoup.web.responses import RawHeaders

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

#: Small enough that what the server queues for one reader stays below half a megabyte.
PIECE_BYTES = 16 * 1024
#: What a reader of a large body costs at most: the pieces in the server's queue, and what it is writing.
QUEUED_BYTES = 20 * PIECE_BYTES
#: Pieces that are sent in one round of the event loop, to all readers together: half a millisecond's work.
PIECES_A_ROUND = 8
#: Up to here a body is sent at once.
AT_ONCE_BYTES = 4 * PIECE_BYTES


async def caller_leaves(receive: Receive) -> None:
    """Return when the caller, whose request was read, has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Caller:
    """The caller of one request, whose body was read: whether it is still there. One ear for all who want to know.

    A server may answer a `receive` that follows a cancelled one as if the caller had left (seen with Granian 2.8 under
    load), so there is one for each request, and it is cancelled when all is over.

    Args:
        receive: The server's.
    """

    __slots__ = ("_receive", "_watch")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None

    @property
    def leaving(self) -> asyncio.Task[None]:
        """Done when the caller has closed its connection."""
        if self._watch is None:
            self._watch = asyncio.ensure_future(caller_leaves(self._receive))
        return self._watch

    def close(self) -> None:
        """Listen no more."""
        if self._watch is not None:
            self._watch.cancel()


async def send_at_once(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    """Send a response whose body is small."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class Deliveries:
    """Large bodies on their way. Of one event loop, which alone calls it.

    Args:
        budget: What they are held in, as `results`.
    """

    def __init__(self, budget: InFlight) -> None:
        self._budget = budget
        self._copies: dict[int, _Copy] = {}
        self.count = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    def begin(self, body: bytes, reserve: int = 0) -> Delivery:
        """Hold what sending a body takes: the body once, however many read it, and some pieces for each reader.

        Args:
            body: The body.
            reserve: Bytes past the budget's limit that it may take.

        Raises:
            OverloadedError: The budget has no room.
        """
        copy = self._copies.get(id(body)) or _Copy(body, Holding(self._budget, "results", reserve))
        queued = Holding(self._budget, "results", reserve)
        queued.grow(QUEUED_BYTES)
        try:
            copy.holding.grow(0 if copy.readers else len(body))
        except BaseException:
            queued.release()
            raise
        copy.readers += 1
        self._copies[id(body)] = copy
        self.count += 1
        return Delivery(self, copy, queued)

    async def turn(self) -> None:
        """Wait for one's turn to send a piece, first come first served."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._turns.append(turn)
        if len(self._turns) == 1:
            loop.call_soon(self._give_turns, loop)
        await turn

    def _give_turns(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(PIECES_A_ROUND, len(self._turns))):
            turn = self._turns.popleft()
            if not turn.done():  # its reader's request may have been cancelled
                turn.set_result(None)
        if self._turns:
            loop.call_soon(self._give_turns, loop)

    def end(self, delivery: Delivery) -> None:
        """Give back what `begin` took."""
        delivery.queued.release()
        self.count -= 1
        copy = delivery.copy
        copy.readers -= 1
        if not copy.readers:
            del self._copies[id(copy.body)]
            copy.holding.release()


class _Copy:
    """One body that is being sent. Whether a cache holds it as well is not known here."""

    __slots__ = ("body", "holding", "readers")

    def __init__(self, body: bytes, holding: Holding) -> None:
        self.body = body
        self.holding = holding
        self.readers = 0


class Delivery:
    """One large body on its way to one reader; made by `Deliveries.begin`, and ended by `send`."""

    __slots__ = ("_all", "copy", "queued")

    def __init__(self, deliveries: Deliveries, copy: _Copy, queued: Holding) -> None:
        self._all = deliveries
        self.copy = copy
        self.queued = queued

    async def send(self, caller: Caller, send: Send, status: int, headers: RawHeaders) -> None:
        """Send a response with it, for as long as its reader stays."""
        left = caller.leaving
        try:
            # Copies of pieces, no views of them: Granian takes what is no `bytes` in byte by byte, six times as long.
            body = self.copy.body
            last = (len(body) - 1) // PIECE_BYTES * PIECE_BYTES
            await self._all.turn()
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for at in range(0, last, PIECE_BYTES):
                await send({"type": "http.response.body", "body": body[at : at + PIECE_BYTES], "more_body": True})
                await self._all.turn()  # `send` itself waits for nobody while the server's queue has room
                if left.done():
                    return
            await send({"type": "http.response.body", "body": body[last:], "more_body": False})
        finally:
            self._all.end(self)
