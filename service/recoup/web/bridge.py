"""The Flask application behind the asynchronous door: everything that is no generation, in a few threads of its own.

A body is read before a thread is taken, and an answer is sent after it was given back, so a slow sender or a slow
reader holds none. What WSGI would blur stays exact: header values are bytes (as Latin-1), names with an underscore are
dropped, and the path is the one that was sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from a2wsgi import WSGIMiddleware

from recoup.in_flight import Holding, InFlight
from recoup.web.generation.body import BodyTimeouts, read_body
from recoup.web.generation.request import content_length, select
from recoup.web.responses import RawHeaders
from recoup.web.sending import AT_ONCE_BYTES, Caller, Deliveries, Receive, Send, send_at_once

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: Bytes of a body that are read: as many as the management API takes; no other route behind has one.
MAX_BODY_BYTES = 64 * 1024
#: Bytes past the budget that management calls, pages and metrics may take: so they are available when it is full.
_RESERVE_BYTES = 64 * 2**20
_WANTED = frozenset({b"content-length"})
#: The characters of a query; a byte that is not ASCII is escaped, which means the same.
_QUERY_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


class FlaskBridge:
    """An ASGI application that asks a WSGI application.

    Args:
        application: The WSGI application.
        threads: How many requests it answers at one time.
        timeouts: Bounds how long bodies take to arrive.
        budget: What bodies and large answers are held in.
        deliveries: Sends large answers.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        threads: int,
        *,
        timeouts: BodyTimeouts,
        budget: InFlight,
        deliveries: Deliveries,
    ) -> None:
        exact: Any = _Exact(application)  # a2wsgi types the same things otherwise
        self._bridge: Any = WSGIMiddleware(exact, workers=threads)
        self._timeouts = timeouts
        self._budget = budget
        self._deliveries = deliveries

    def close(self) -> None:
        """End the threads."""
        self._bridge.executor.shutdown(wait=False, cancel_futures=True)

    async def answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            RequestError: Its body cannot be read.
            OverloadedError: The budget has no room for its body or its answer.
        """
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        holding = Holding(self._budget, "bodies", _RESERVE_BYTES)
        try:
            length = content_length(select(headers, _WANTED))
            body = await self._timeouts.within(read_body, receive, length, MAX_BODY_BYTES, holding)
            response = _Response()
            query = quote(scope["query_string"], safe=_QUERY_CHARACTERS).encode()
            await self._bridge({**scope, "headers": headers, "query_string": query}, _replayed(body), response.take)
        finally:
            holding.release()
        whole = b"".join(response.pieces)
        if len(whole) <= AT_ONCE_BYTES:
            await send_at_once(send, response.status, response.headers, whole)
        else:
            delivery = self._deliveries.begin(whole, _RESERVE_BYTES)
            caller = Caller(receive)
            try:
                await delivery.send(caller, send, response.status, response.headers)
            finally:
                caller.close()


class _Response:
    """What the bridge sends, gathered."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: RawHeaders = []
        self.pieces: list[bytes] = []

    async def take(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.pieces.append(message.get("body", b""))


def _replayed(body: bytes) -> Receive:
    """A `receive` that gives a body which is there already."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class _Exact:
    """A WSGI application that is asked with what the bridge's environment leaves out or blurs."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        scope = environ["asgi.scope"]
        # The server's own decoding of the path puts one character for every byte that is no UTF-8.
        path = unquote_to_bytes(raw_path(scope)).decode("latin-1")
        environ["PATH_INFO"] = path.removeprefix(environ["SCRIPT_NAME"])
        environ["wsgi.input_terminated"] = True
        environ["wsgi.errors"] = sys.stderr
        return self._application(environ, start_response)


def raw_path(scope: Mapping[str, Any]) -> bytes:
    """The path as it was sent, without the query."""
    path: bytes | None = scope.get("raw_path")
    return quote(scope["path"]).encode() if path is None else path
