"""The data of the events of a stream, as it comes: server-sent events (WHATWG HTML, 9.2), and lines of JSON.

Of a stream only the event that is still coming is held, up to `MOST_EVENT_BYTES`. A longer one is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: A longer event is not looked at.
MOST_EVENT_BYTES: Final = 4 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Begins a record of `application/json-seq` (RFC 7464).
_RECORD_SEPARATOR = b"\x1e"


class EventData:
    """Takes the parts of a stream, and gives the data of each event once it is whole.

    Args:
        separator: What ends an event, line ends being one byte: a blank line, or the end of a line.

    Attributes:
        passed_over: Whether an event was too long.
    """

    def __init__(self, separator: bytes) -> None:
        self.passed_over = False
        self._separator = separator
        self._coming = bytearray()
        self._skipping = False
        self._return = self._begun = False

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Take a part, and give the data of the events that it completes."""
        for event in self.events(part):
            yield from self.data_of(event)

    def events(self, part: bytes) -> Iterator[bytes]:
        """Take a part, and give the events that it completes, as they came but for the ends of their lines."""
        if not self._begun and part:
            self._begun = True
            part = part.removeprefix(_BYTE_ORDER_MARK)
        if self._return:
            part = b"\r" + part
        # Whether a carriage return ends a line by itself is known with the byte after it.
        self._return = part.endswith(b"\r")
        if self._return:
            part = part[:-1]
        return self._take(part)

    def end(self) -> Iterator[bytes]:
        """Take the end of the stream: what is still coming is an event, too."""
        for event in self.last_events():
            yield from self.data_of(event)

    def last_events(self) -> Iterator[bytes]:
        """Take the end of the stream, and give the events that it completes."""
        self._return = False
        return self._take(self._separator)

    def _take(self, part: bytes) -> Iterator[bytes]:
        if b"\r" in part:
            part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        coming, separator = self._coming, self._separator
        start = max(0, len(coming) - len(separator) + 1)
        coming += part
        if self._skipping:
            end = coming.find(separator, start)
            if end < 0:
                del coming[: -len(separator) + 1 or len(coming)]
                return
            self._skipping = False
            del coming[: end + len(separator)]
            start = 0
        end = coming.rfind(separator, start)
        if end >= 0:
            whole = bytes(coming[:end])
            del coming[: end + len(separator)]
            for event in filter(None, whole.split(separator)):
                if len(event) > MOST_EVENT_BYTES:
                    self.passed_over = True
                else:
                    yield event
        if len(coming) > MOST_EVENT_BYTES:
            self.passed_over = self._skipping = True
            del coming[: -len(separator) + 1 or len(coming)]

    @staticmethod
    def data_of(event: bytes) -> Iterator[bytes]:
        """The data of one event: one, or none."""
        raise NotImplementedError


class ServerSentEvents(EventData):
    """The data of server-sent events: the lines of `data`, joined."""

    def __init__(self) -> None:
        super().__init__(b"\n\n")

    @staticmethod
    def data_of(event: bytes) -> Iterator[bytes]:
        """The data of one event: one, or none."""
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield lines[0] if len(lines) == 1 else b"\n".join(lines)


class Lines(EventData):
    """Lines of JSON."""

    def __init__(self) -> None:
        super().__init__(b"\n")

    @staticmethod
    def data_of(event: bytes) -> Iterator[bytes]:
        """The data of one event: one, or none."""
        yield event.removeprefix(_RECORD_SEPARATOR)
