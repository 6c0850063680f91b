"""What a result says of itself: whether it is to be stored, and the units that it is paid by.

A JSON result is looked at once, when it is whole; a stream of events event by event, as it comes. Nothing is held but
the event that is still coming, and no result, however broken, raises anything.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from recoup.errors import BadRequestError, OverloadedError
from recoup.pipelines.aside import Aside
from recoup.pipelines.canonical import is_json
from recoup.pipelines.canonical_json import form_of
from recoup.pipelines.event_data import EventData, Lines, ServerSentEvents
from recoup.pipelines.json_pointer import ABSENT, Path, find
from recoup.pipelines.protocol import STORE_ONLY_IF, STORE_UNLESS, UNREADABLE
from recoup.strict_json import check_size

#: Of a result: a longer one, or one of more values, is not looked at.
MOST_BYTES: Final = 64 << 20
MOST_VALUES: Final = 2_000_000
#: Bytes of a JSON result that are looked at in about a millisecond; more take a thread.
AT_ONCE_BYTES: Final = 1 << 16

#: Short events that are looked at before others have their turn.
_EVENTS_AT_ONCE = 64

_EVENTS: Mapping[str, Callable[[], EventData]] = {
    "text/event-stream": ServerSentEvents,
    "application/x-ndjson": Lines,
    "application/ndjson": Lines,
    "application/jsonl": Lines,
    "application/x-jsonlines": Lines,
    "application/jsonlines": Lines,
    "application/json-seq": Lines,
}


class Finding(NamedTuple):
    """What an examination came to.

    Attributes:
        kept_out: What keeps the result from being stored; empty: nothing does.
        units: The number at each of the paths that were to be counted, in their order; 0 where there is none.
    """

    kept_out: str
    units: tuple[float, ...]


class Examiner:
    """What is looked for in the results of a pipeline. It never changes, and is safe under threads.

    Args:
        unless: Paths: a result that has something at one of them is not stored.
        only_if: Values by path: a result is stored only if it has one of them at each.
        counted: Paths of numbers that are counted.
    """

    def __init__(
        self, unless: Iterable[Path] = (), only_if: Mapping[Path, list[Any]] | None = None, counted: Iterable[Path] = ()
    ) -> None:
        self.unless = tuple(unless)
        self.only_if = tuple(
            (path, frozenset((type(value), form_of(value)) for value in values))
            for path, values in (only_if or {}).items()
        )
        self.counted = tuple(counted)

    def __bool__(self) -> bool:
        """Whether anything is looked for."""
        return bool(self.unless or self.only_if or self.counted)

    def begin(self, content_type: str) -> Examination:
        """Begin to look at a result.

        Args:
            content_type: Its media type; parameters do not matter.
        """
        return Examination(self, content_type.partition(";")[0].strip().lower())


#: Looks for nothing.
NOTHING = Examiner()


class Look:
    """What was seen of one result so far. It can be sent to another process, and back.

    Args:
        examiner: What is looked for.
    """

    __slots__ = ("examiner", "kept_out", "met", "units")

    def __init__(self, examiner: Examiner) -> None:
        self.examiner = examiner
        self.kept_out = ""
        self.met = [False] * len(examiner.only_if)
        self.units = [0.0] * len(examiner.counted)

    def at_json(self, body: bytes | None) -> None:
        """Look at a result that is JSON; None: it was not kept."""
        value = ABSENT if body is None else _value_of(body)
        if value is ABSENT:
            self.keep_out(UNREADABLE)
        else:
            self._at(value, in_stream=False)

    def at_data(self, data: bytes) -> None:
        """Look at the data of an event."""
        # Words such as [DONE] are no JSON, and say nothing.
        if data[:1] not in (b"{", b"["):
            return
        value = _value_of(data)
        if value is not ABSENT:
            self._at(value, in_stream=True)
        elif data.startswith(b"{"):
            self.keep_out(UNREADABLE)

    def keep_out(self, word: str) -> None:
        """The result is not to be stored."""
        self.kept_out = self.kept_out or word

    def finding(self) -> Finding:
        """What it came to, at the end."""
        if not all(self.met):
            self.keep_out(STORE_ONLY_IF)
        # What is only counted keeps nothing out.
        decides = bool(self.examiner.unless or self.examiner.only_if)
        return Finding(self.kept_out if decides else "", tuple(self.units))

    def _at(self, value: Any, *, in_stream: bool) -> None:
        examiner = self.examiner
        for path in examiner.unless:
            if find(value, path) is not ABSENT:
                self.keep_out(STORE_UNLESS)
        for index, (path, wanted) in enumerate(examiner.only_if):
            there = find(value, path)
            # Until the last event of a choice, its reason to finish is null.
            if there is ABSENT or (there is None and in_stream):
                continue
            # Of several events with the member, the last one counts: many have it from their first event on.
            self.met[index] = _is_one_of(there, wanted)
        for index, path in enumerate(examiner.counted):
            number = _number(find(value, path))
            if number is not None:
                self.units[index] = number


class Examination:
    """One look at one result. Its parts are given to `feed` as they come, its end to `finish`.

    Args:
        examiner: What is looked for.
        media_type: What the result is.
    """

    def __init__(self, examiner: Examiner, media_type: str) -> None:
        self._examiner = examiner
        self._is_json = is_json(media_type)
        events = _EVENTS.get(media_type) if examiner else None
        self._events = None if events is None else events()
        self._look = Look(examiner)

    @property
    def needs_body(self) -> bool:
        """Whether `finish` looks at the body."""
        return self._is_json and bool(self._examiner)

    def feed(self, part: bytes) -> None:
        """Look at the next part, where parts mean something by themselves."""
        if self._events is not None:
            for data in self._events.feed(part):
                self._look.at_data(data)

    async def feed_as_it_comes(self, part: bytes, aside: Aside) -> None:
        """As `feed`, on an event loop, which goes on meanwhile. One part after the other."""
        events = self._events
        if events is not None:
            await self._at_events(events, events.events(part), aside)

    def finish(self, body: bytes | None) -> Finding:
        """Take the end of the result.

        Args:
            body: All of it; None: it was not kept. Only looked at if `needs_body`. May take long for over
                `AT_ONCE_BYTES`.
        """
        events = self._events
        if events is not None:
            for data in events.end():
                self._look.at_data(data)
            self._note_passed_over(events)
        elif self.needs_body:
            self._look.at_json(body)
        return self._look.finding()

    async def finish_as_it_came(self, body: bytes | None, aside: Aside) -> Finding:
        """As `finish`, on an event loop, which goes on meanwhile."""
        events = self._events
        if events is not None:
            await self._at_events(events, events.last_events(), aside)
            self._note_passed_over(events)
        elif self.needs_body:
            if body is None or len(body) <= AT_ONCE_BYTES:
                self._look.at_json(body)
            else:
                await self._look_aside(aside, body, _looked_at_json)
        return self._look.finding()

    async def _at_events(self, source: EventData, events: Iterable[bytes], aside: Aside) -> None:
        for number, event in enumerate(events, 1):
            if len(event) > AT_ONCE_BYTES:
                await self._look_aside(aside, event, _looked_at_event, type(source))
                continue
            for data in source.data_of(event):
                self._look.at_data(data)
            if number % _EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _look_aside(self, aside: Aside, text: bytes, look_at: Callable[..., Look], *args: Any) -> None:
        try:
            self._look = await aside.run(len(text), look_at, self._look, text, *args)
        except OverloadedError:
            self._look.keep_out(UNREADABLE)  # no result raises anything

    def _note_passed_over(self, events: EventData) -> None:
        if events.passed_over:
            self._look.keep_out(UNREADABLE)


def _looked_at_json(look: Look, body: bytes) -> Look:
    look.at_json(body)
    return look


def _looked_at_event(look: Look, event: bytes, kind: type[EventData]) -> Look:
    for data in kind.data_of(event):
        look.at_data(data)
    return look


def _is_one_of(value: Any, wanted: frozenset[tuple[type, bytes]]) -> bool:
    kind = type(value)
    if not any(kind is other for other, _ in wanted):
        return False
    try:
        return (kind, form_of(value)) in wanted
    except (ValueError, RecursionError):
        return False


def _number(value: Any) -> float | None:
    """A number that can be counted: from 0 on, finite; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0.0 <= number < math.inf else None


def _value_of(text: bytes) -> Any:
    """The value of a JSON text; `ABSENT`: it has none, or too much of it."""
    if len(text) > MOST_BYTES:
        return ABSENT
    try:
        check_size(text, most_values=MOST_VALUES)
        return orjson.loads(text)
    except BadRequestError:
        return ABSENT
    except ValueError:
        pass  # generators write lone surrogates, and NaN
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return ABSENT
