"""The answer to one request, as llhttp (by way of httptools) reads it in its strict mode, and what it cannot know."""

from __future__ import annotations

from typing import Any

import httptools

#: An upstream's status line, headers and trailers together.
_MOST_HEADER_BYTES = 1 << 17
#: Interim answers (1xx) before the answer.
_MOST_INTERIM = 100
_SWITCHING_PROTOCOLS = 101
_WITHOUT_CONTENT = (204, 304)


class ExchangeError(Exception):
    """An exchange that failed: no connection, no HTTP, or an answer that is not whole.

    Args:
        message: What happened.
        unanswered: Not a byte of an answer came.
        unsent: No program of the upstream's can have read the request whole.
    """

    def __init__(self, message: str, *, unanswered: bool = False, unsent: bool = False) -> None:
        super().__init__(message)
        self.unanswered = unanswered
        self.unsent = unsent


class AnswerParser:
    """What the parser finds of the answer to one request.

    Args:
        bodiless: Whether it has no body, whatever its headers say: it answers a HEAD.
    """

    def __init__(self, bodiless: bool = False) -> None:
        self._bodiless = bodiless
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append
        self.begun = self.has_head = self.complete = self.until_close = self.keep_alive = False
        self.surplus = False
        self._header_bytes = self._interim = self._whole = 0
        self.parser: Any = httptools.HttpResponseParser(self)  # takes the callbacks that are there by now

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection. The answer's own last byte has to be the last one of all that came.

        Raises:
            ExchangeError: They are no HTTP.
        """
        self.begun = True
        if not self.has_head:
            self._header_bytes += len(data)
        view = memoryview(data)
        try:
            # Whether the answer was complete before the last byte tells whether anything came after it.
            if len(view) > 1:
                self.parser.feed_data(view[:-1])
            self.surplus = self.complete
            if not self.complete:
                self.parser.feed_data(view[-1:])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise ExchangeError(_reason(error)) from None
            self.surplus = True
        if self.complete:
            del self.pieces[self._whole :]  # the body of what came after it
        if not self.has_head and self._header_bytes > _MOST_HEADER_BYTES:
            raise ExchangeError(f"its headers are longer than {_MOST_HEADER_BYTES} bytes")

    def end(self) -> None:
        """Take the end of the connection.

        Raises:
            ExchangeError: The answer is not whole.
        """
        if not self.begun:
            raise ExchangeError("the connection was closed without an answer")
        if not self.has_head:
            raise ExchangeError("the connection was closed within the headers")
        if not self.until_close:
            raise ExchangeError("the connection was closed within the body")
        self.complete = True

    def is_clean(self) -> bool:
        """Whether it came whole, was read whole, nothing came after it, and its sender expects another request."""
        return self.complete and self.keep_alive and not self.surplus and not self.pieces

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self.complete:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, has come."""
        if self.complete:
            return
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > 2 * _MOST_HEADER_BYTES:
            raise ExchangeError(f"its headers are longer than {_MOST_HEADER_BYTES} bytes")
        if not self.has_head:  # what comes after the body are trailers, which nobody asked for
            self.headers.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """The headers have come."""
        if self.complete:
            return
        self.status = self.parser.get_status_code()
        if self.status < 200:
            self._skip_interim()
            return
        self.keep_alive = self.parser.should_keep_alive()
        self.until_close = self._check_framing()
        self.has_head = True
        if self._bodiless:
            self.complete = True
            self.keep_alive = self.until_close = False  # the parser would wait for a body

    def on_message_complete(self) -> None:
        """The answer has come."""
        if self.has_head and not self.complete:
            self.complete = True
            self._whole = len(self.pieces)

    def _skip_interim(self) -> None:
        self._interim += 1
        if self.status < 100 or self.status == _SWITCHING_PROTOCOLS or self._interim > _MOST_INTERIM:
            raise ExchangeError(f"the interim answer {self.status} was not expected")
        self.headers.clear()

    def _check_framing(self) -> bool:
        """Whether the body ends with the connection. RFC 9112, 6.3: what leaves its length open is refused."""
        version = self.parser.get_http_version()
        lengths = self.values(b"content-length")
        codings = self.values(b"transfer-encoding")
        if version not in ("1.0", "1.1"):
            raise ExchangeError(f"HTTP/{version} was not expected")
        if len(lengths) + len(codings) > 1:
            raise ExchangeError("it states its length more than once")
        if codings and (codings[0].lower() != b"chunked" or version == "1.0"):
            raise ExchangeError("its transfer encoding is unknown")
        return not lengths and not codings and self.status not in _WITHOUT_CONTENT

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for header, value in self.headers if header == name]


def _reason(error: Exception) -> str:
    """Why an answer is refused, in words: our own, or the parser's."""
    ours = error.__context__
    if isinstance(ours, ExchangeError):
        return str(ours)
    return f"it is no HTTP/1.1: {error}"[:200] if str(error) else "it is no HTTP/1.1"
