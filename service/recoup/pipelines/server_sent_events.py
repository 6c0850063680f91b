"""Server-sent events (WHATWG HTML, 9.2): the last event of a stream, which tells whether it ended well."""

from __future__ import annotations

import re
from typing import NamedTuple

MEDIA_TYPE = "text/event-stream"
#: Media types whose answers come in parts that mean something by themselves: nobody waits for more of them.
STREAMING_TYPES = (
    MEDIA_TYPE,
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
)
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?:\r\n|\r|\n)")
#: So much of a stream is looked at first: an event that ends one is mostly short.
_TAIL_BYTES = 4096


class Event(NamedTuple):
    """An event: its name, empty where it has none, and its data."""

    name: str
    data: str


def last_event(body: bytes) -> Event | None:
    """The last event of a stream. Comments are none; an event that the stream's end cut off before its blank line is.

    Looks at the end of the body alone, as far back as the last event goes.
    """
    end = len(body)
    size = _TAIL_BYTES
    while True:
        start = max(0, end - size)
        blocks = _BLANK_LINE.split(body[start:end])
        # The first one may have begun before.
        for block in reversed(blocks if start == 0 else blocks[1:]):
            event = _event(block)
            if event is not None:
                return event
        if start == 0:
            return None
        size *= 8


def ended_well(body: bytes, words: tuple[str, ...]) -> bool:
    """Whether the last event of a stream has one of these words as its data or as its name."""
    event = last_event(body)
    return event is not None and (event.data in words or event.name in words)


def _event(block: bytes) -> Event | None:
    name, data = "", []
    for line in _LINE_END.split(block):
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return Event(name, "\n".join(data)) if data or name else None
