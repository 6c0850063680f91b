"""Marks: what was invalidated, by numbers. A result is past an invalidation when its own number is greater.

So clearing costs the same whatever is stored: what was stored before goes later, a little at a time, and answers nobody
meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from recoup.cache.tier import Invalidation

Scope = Literal["all", "group", "key"]
#: With more marks than these, all results that are older than the newest go: so marks are bounded.
MOST_MARKS: Final = 10_000


class Mark(NamedTuple):
    """One mark.

    Attributes:
        scope: What `name` names.
        name: A group or a key; empty where all results are meant.
        pipeline: Only of this pipeline; empty: of all.
        soft: What is hidden has expired instead.
        number: It holds for results with smaller numbers.
        at: When it was said, in seconds of the Unix epoch; of soft marks the first.
    """

    scope: Scope
    name: str
    pipeline: str
    soft: bool
    number: int
    at: float

    @property
    def place(self) -> _Place:
        """What there is one mark of."""
        return self.scope, self.name, self.pipeline, self.soft


_Place = tuple[str, str, str, bool]


class Marks:
    """All marks of a tier. Safe under threads.

    Attributes:
        version: Grows with every mark.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[_Place, Mark] = {}
        self._has_soft = False
        self.version = 0

    def __len__(self) -> int:
        return len(self._marks)

    def begin_after_fork(self) -> None:
        """In a child process, where the lock is a new one."""
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """The greatest number of a mark; 0: there is none."""
        with self._lock:
            return max((mark.number for mark in self._marks.values()), default=0)

    def add(self, invalidation: Invalidation, number: int) -> list[Mark]:
        """Mark what is invalidated; gives the marks that hold from now on."""
        with self._lock:
            marks = [self._put(mark) for mark in _marks_of(invalidation, number)]
            if len(self._marks) > MOST_MARKS:
                everything = Mark("all", "", "", False, number, invalidation.at)
                self._marks.clear()
                marks = [self._put(everything)]
            self.version += 1
            return marks

    def restore(self, marks: Iterable[Mark]) -> None:
        """Have marks hold that an earlier process made."""
        with self._lock:
            for mark in marks:
                self._put(mark)
            self.version += 1

    def shift(self, number: int) -> list[Mark]:
        """Let the marks so far hold for all results up to a number, too; gives them."""
        with self._lock:
            for place, mark in self._marks.items():
                self._marks[place] = mark._replace(number=mark.number + number)
            self.version += 1
            return list(self._marks.values())

    def _put(self, mark: Mark) -> Mark:
        known = self._marks.get(mark.place)
        if known is not None:
            mark = mark._replace(number=max(mark.number, known.number), at=min(mark.at, known.at))
        self._marks[mark.place] = mark
        self._has_soft = self._has_soft or mark.soft
        return mark

    def hides(self, key: str, pipeline: str, groups: Sequence[str], number: int) -> bool:
        """Whether a result was invalidated since it was submitted."""
        marks = self._marks
        if not marks:
            return False
        return any(
            (mark := marks.get(place)) is not None and mark.number > number
            for place in _places(key, pipeline, groups, soft=False)
        )

    def expiry(self, key: str, pipeline: str, groups: Sequence[str], number: int) -> float:
        """When a result expired because of a soft mark; infinity: there is none."""
        if not self._has_soft:
            return float("inf")
        found = (self._marks.get(place) for place in _places(key, pipeline, groups, soft=True))
        return min((mark.at for mark in found if mark is not None and mark.number > number), default=float("inf"))

    def forget(self, number: int) -> list[Mark]:
        """Let go of marks up to a number, because no result is left that they hide; gives them."""
        with self._lock:
            old = [mark for mark in self._marks.values() if mark.number <= number]
            for mark in old:
                del self._marks[mark.place]
            self._has_soft = any(mark.soft for mark in self._marks.values())
            return old


def _places(key: str, pipeline: str, groups: Sequence[str], *, soft: bool) -> Iterable[_Place]:
    for name in ("", pipeline):
        yield ("all", "", name, soft)
        yield ("key", key, name, soft)
        for group in groups:
            yield ("group", group, name, soft)


def _marks_of(invalidation: Invalidation, number: int) -> list[Mark]:
    pipeline = invalidation.pipeline or ""
    if invalidation.key is not None:
        return [Mark("key", invalidation.key, pipeline, invalidation.soft, number, invalidation.at)]
    if invalidation.groups:
        return [
            Mark("group", name, pipeline, invalidation.soft, number, invalidation.at) for name in invalidation.groups
        ]
    return [Mark("all", "", pipeline, invalidation.soft, number, invalidation.at)]
