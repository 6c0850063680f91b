"""What a result says of itself: whether it is to be stored, and the units that it is paid by.

A JSON result is looked at once, when it is whole; a stream of events event by event, as it comes. Nothing is held but
the event that is still coming, and no result, however broken, raises anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from recoup.errors import BadRequestError
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
        self._kept_out = ""
        self._met = [False] * len(examiner.only_if)
        self._units = [0.0] * len(examiner.counted)

    @property
    def needs_body(self) -> bool:
        """Whether `finish` looks at the body."""
        return self._is_json and bool(self._examiner)

    def feed(self, part: bytes) -> None:
        """Look at the next part, where parts mean something by themselves."""
        if self._events is not None:
            for data in self._events.feed(part):
                self._look_at_event(data)

    def finish(self, body: bytes | None) -> Finding:
        """Take the end of the result.

        Args:
            body: All of it; None: it was not kept. Only looked at if `needs_body`. May take long for over
                `AT_ONCE_BYTES`.
        """
        events = self._events
        if events is not None:
            for data in events.end():
                self._look_at_event(data)
            if events.passed_over:
                self._keep_out(UNREADABLE)
        elif self.needs_body:
            value = ABSENT if body is None else _value_of(body)
            if value is ABSENT:
                self._keep_out(UNREADABLE)
            else:
                self._look_at(value, in_stream=False)
        if not all(self._met):
            self._keep_out(STORE_ONLY_IF)
        # What is only counted keeps nothing out.
        decides = bool(self._examiner.unless or self._examiner.only_if)
        return Finding(self._kept_out if decides else "", tuple(self._units))

    def _look_at_event(self, data: bytes) -> None:
        # Words such as [DONE] are no JSON, and say nothing.
        if data[:1] not in (b"{", b"["):
            return
        value = _value_of(data)
        if value is not ABSENT:
            self._look_at(value, in_stream=True)
        elif data.startswith(b"{"):
            self._keep_out(UNREADABLE)

    def _look_at(self, value: Any, *, in_stream: bool) -> None:
        examiner = self._examiner
        for path in examiner.unless:
            if find(value, path) is not ABSENT:
                self._keep_out(STORE_UNLESS)
        for index, (path, wanted) in enumerate(examiner.only_if):
            there = find(value, path)
            # Until the last event of a choice, its reason to finish is null.
            if there is ABSENT or (there is None and in_stream):
                continue
            # Of several events with the member, the last one counts: many have it from their first event on.
            self._met[index] = _is_one_of(there, wanted)
        for index, path in enumerate(examiner.counted):
            number = _number(find(value, path))
            if number is not None:
                self._units[index] = number

    def _keep_out(self, word: str) -> None:
        self._kept_out = self._kept_out or word


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
