"""Sending an answer that is still coming: each part as soon as it is there, for as long as its reader stays.

A stream that breaks off is left unfinished: the server then closes the connection without the end that the framing
promises, and the caller's library sees that the body is not whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from recoup.errors import OverloadedError, StreamCutError
from recoup.in_flight import Holding, InFlight
from recoup.web.responses import RawHeaders
from recoup.web.sending import PIECE_BYTES, QUEUED_BYTES, Caller, Deliveries, Send

#: Pieces of what comes slowly, and what the server's queue of them holds for one reader.
SMALL_PIECE_BYTES = PIECE_BYTES // 4
SMALL_QUEUED_BYTES = QUEUED_BYTES // 4


@dataclass(slots=True)
class Sent:
    """What was sent: `bytes` of the body, when the first one was, and how it ended.

    Attributes:
        size: Bytes of the body.
        first_byte_at: When the first one was sent, or the end; of the clock that was given.
        begun: Whether its status and headers were sent.
        cut: Why it broke off; empty: it did not.
        left: Whether the caller left before its end.
    """

    size: int = 0
    first_byte_at: float | None = None
    begun: bool = False
    cut: str = ""
    left: bool = False


class PartReader(Protocol):
    """Gives the parts of an answer."""

    async def read(self, most: int) -> bytes:
        """The next bytes, up to so many, as soon as there are any; none at the end.

        Raises:
            StreamCutError: It broke off.
        """

    def cut_off(self, reason: str) -> None:
        """End it, before its end: a `read` that waits raises."""


class StreamSender:
    """Sends one answer to one reader.

    Args:
        reader: Gives the parts.
        deliveries: Gives turns, and counts what is being sent.
        budget: What the server's queue holds is held in.
        clock: Seconds.

    Raises:
        OverloadedError: The budget has no room.
    """

    def __init__(
        self, reader: PartReader, deliveries: Deliveries, budget: InFlight, clock: Callable[[], float]
    ) -> None:
        self._reader = reader
        self._deliveries = deliveries
        self._clock = clock
        self._queued = Holding(budget, "results")
        self._queued.grow(SMALL_QUEUED_BYTES)
        self._piece_bytes = SMALL_PIECE_BYTES

    async def send(self, caller: Caller, send: Send, status: int, headers: RawHeaders, *, body: bool) -> Sent:
        """Send the answer; without `body` only its beginning, as a HEAD asks for.

        Nothing is sent before the first bytes of the body are there: what breaks off until then can be answered with
        an error, and a server sends the headers with the first part of a body anyway.
        """
        sent = Sent()
        left = caller.leaving

        def leave(_: object) -> None:
            self._reader.cut_off("its caller left")

        left.add_done_callback(leave)
        self._deliveries.count += 1
        try:
            piece = await self._reader.read(self._piece_bytes) if body else b""
            sent.begun = True
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if piece:
                await self._send_parts(piece, send, sent)
            sent.first_byte_at = sent.first_byte_at or self._clock()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except StreamCutError as error:
            sent.left = left.done() and not left.cancelled()
            sent.cut = "" if sent.left else str(error)
        finally:
            left.remove_done_callback(leave)
            self._deliveries.count -= 1
            self._queued.release()
        return sent

    async def _send_parts(self, piece: bytes, send: Send, sent: Sent) -> None:
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if sent.first_byte_at is None:
                sent.first_byte_at = self._clock()
            sent.size += len(piece)
            if len(piece) == self._piece_bytes:
                # There is more at once: others have their turn in between, as with any large answer.
                await self._deliveries.turn()
                self._widen(sent.size)
            piece = await self._reader.read(self._piece_bytes)

    def _widen(self, size: int) -> None:
        """Send larger pieces from now on, if the budget has room for a queue of them."""
        if self._piece_bytes == PIECE_BYTES or size < SMALL_QUEUED_BYTES:
            return
        try:
            self._queued.grow(QUEUED_BYTES - SMALL_QUEUED_BYTES)
        except OverloadedError:
            return
        self._piece_bytes = PIECE_BYTES
