"""Reading a request's body: within its limit, in time, held in the budget, decoded."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from recoup.errors import BadRequestError, BodyTimeoutError, UnsupportedMediaError
from recoup.in_flight import Holding
from recoup.inflating import InflateError, inflate
from recoup.web.generation.request import too_large
from recoup.web.sending import Receive

_CODINGS = ("gzip", "deflate", "identity")
#: Members of one gzip body: writers make one, or one for each block of some 64 KB.
_MOST_MEMBERS = 4096
#: Seconds for which a refused body is read on.
_READ_AWAY_SECONDS = 5.0


class BodyTimeouts:
    """Ends the reading of bodies that do not arrive in time: one timer for all of them, since they have one limit.

    Args:
        seconds: How long a body may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # In the order of their deadlines.
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def within(self, reading: Callable[..., Awaitable[bytes]], *given: Any) -> bytes:
        """What `reading(*given)` gives.

        Raises:
            BodyTimeoutError: It took too long.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # for the types: this is a coroutine
        loop = asyncio.get_running_loop()
        self._deadlines[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._sweep, loop)
        try:
            return await reading(*given)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            self._late.discard(task)
            if hasattr(task, "uncancel"):  # from Python 3.11 on
                task.uncancel()
            raise BodyTimeoutError(f"The body did not arrive within {self._seconds:g} seconds.") from None
        finally:
            self._deadlines.pop(task, None)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        while self._deadlines:
            task = next(iter(self._deadlines))
            deadline = self._deadlines[task]
            if deadline > now:
                self._timer = loop.call_at(deadline, self._sweep, loop)
                return
            del self._deadlines[task]
            self._late.add(task)
            task.cancel()


async def read_body(receive: Receive, length: int | None, limit_bytes: int, holding: Holding) -> bytes:
    """The body of a request, whole.

    Args:
        receive: The server's.
        length: What the request says of its length; None: it says nothing.
        limit_bytes: A longer one is refused.
        holding: Grows with what arrives.

    Raises:
        TooLargeError: It is over the limit, as it says itself or as it turns out to be.
        BadRequestError: It ended before its end, or its framing is broken.
        OverloadedError: The budget has no room for it.
    """
    if length is not None and length > limit_bytes:
        raise too_large(limit_bytes)
    message = await receive()
    piece: bytes = message.get("body", b"")
    holding.grow(len(piece))
    if len(piece) == length or (message["type"] == "http.request" and not message.get("more_body", False)):
        return _complete(piece, length, limit_bytes)
    # BytesIO gives its buffer away without a copy, and grows without one where the system can move pages.
    gathered = io.BytesIO()
    gathered.write(piece)
    size = len(piece)
    while message["type"] == "http.request" and message.get("more_body", False) and size != length:
        if size > limit_bytes:
            raise too_large(limit_bytes)
        message = await receive()
        piece = message.get("body", b"")
        holding.grow(len(piece))
        size += len(piece)
        gathered.write(piece)
    if message["type"] != "http.request":
        # The sender has gone, or its framing cannot be read; the server does not say which.
        raise BadRequestError(f"The body broke off after {size} bytes, or its framing is broken.")
    return _complete(gathered.getvalue(), length, limit_bytes)


async def read_away(receive: Receive) -> None:
    """Take, for a while, what a sender still sends that was refused already.

    The connection is closed with the answer. If something came in that nobody read, it would be reset, and the sender,
    who reads only when it has sent everything, would not see why it was refused.
    """
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_read_to_end(receive), _READ_AWAY_SECONDS)


async def _read_to_end(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass


def _complete(body: bytes, length: int | None, limit_bytes: int) -> bytes:
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)
    if length is not None and len(body) != length:
        raise BadRequestError(f"The body has {len(body)} bytes; its Content-Length is {length}.")
    return body


def coding_of(header: bytes | None) -> str:
    """The coding of a body by its `Content-Encoding`.

    Raises:
        UnsupportedMediaError: It is none that is decoded here.
    """
    coding = "identity" if header is None else header.decode("latin-1").strip().lower()
    coding = "gzip" if coding == "x-gzip" else coding
    if coding not in _CODINGS:
        raise UnsupportedMediaError("A body in this Content-Encoding is not decoded here.", allowed=_CODINGS)
    return coding


def decode(body: bytes, coding: str, limit_bytes: int, holding: Holding) -> bytes:
    """A body out of its coding. May take long.

    Raises:
        BadRequestError: It is not in that coding.
        TooLargeError: Decoded, it is over the limit.
        OverloadedError: The budget has no room for it.
    """
    if coding == "identity":
        return body
    gathered = io.BytesIO()

    def take(piece: bytes) -> None:
        holding.grow(len(piece))
        gathered.write(piece)
        if gathered.tell() > limit_bytes:
            raise too_large(limit_bytes)

    try:
        inflate(body, coding, take, most_members=_MOST_MEMBERS)
    except InflateError as error:
        raise BadRequestError(f"The body is not {coding}, as its Content-Encoding says: {error}.") from None
    return gathered.getvalue()
