"""The sweep of a disk tier: what was invalidated, has expired or was left behind goes, a few results at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from recoup.tiers.database import Database, Row
from recoup.tiers.folder import SPREAD, Folder
from recoup.tiers.marks import Marks
from recoup.tiers.write_queue import WriteQueue

#: Results that one step looks at; steps that are done at once where nothing waits to be written.
_STEP: Final = 500
_STEPS_WHEN_IDLE: Final = 20
#: Seconds between two looks for what has expired, where the last found nothing.
_EXPIRY_SECONDS: Final = 30.0
#: Pages that are given back to the disk at once.
_PAGES: Final = 256


class Sweep:
    """Walks over a tier's results in the writer's thread.

    A walk begins when there are marks, and once all results that were submitted before them are written. At its end
    no result is left that they hide, so they are forgotten.

    Args:
        folder: The folder.
        database: The database.
        marks: What was invalidated.
        queue: What waits to be written.
        wall_clock: Seconds of the Unix epoch.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        marks: Marks,
        queue: WriteQueue,
        wall_clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._database = database
        self._marks = marks
        self._queue = queue
        self._wall_clock = wall_clock
        self._at = self._last = 0
        self._look_for_expired_at = 0.0
        #: Files that an earlier process wrote and did not come to list have smaller numbers.
        self._orphans = iter(range(SPREAD))
        self._newest_orphan = queue.next_number()

    def step(self, *, busy: bool) -> None:
        """Do a little; `busy`: others wait."""
        for _ in range(1 if busy else _STEPS_WHEN_IDLE):
            if not (self._sweep_marked() or self._sweep_expired() or (not busy and self._sweep_orphans())):
                break
        if not busy:
            self._database.shrink_file(_PAGES)

    def _sweep_marked(self) -> bool:
        if not self._last:
            if not len(self._marks) or not self._queue.is_past(newest := self._marks.newest):
                return False
            self._at, self._last = 0, newest
        rows = self._database.after(self._at, self._last, _STEP)
        gone: list[Row] = []
        sooner: list[tuple[float, int]] = []
        for row in rows:
            if self._marks.hides(row.key, row.pipeline, row.groups, row.number):
                gone.append(row)
            else:
                at = self._marks.expiry(row.key, row.pipeline, row.groups, row.number)
                if at < row.softened:
                    sooner.append((at, row.number))
        self._let_go(gone)
        if sooner:
            self._database.soften(sooner)
        if rows:
            self._at = rows[-1].number
        else:
            self._marks.forget(self._last)
            self._database.forget_marks(self._last)
            self._last = 0
        return True

    def _sweep_expired(self) -> bool:
        if time.monotonic() < self._look_for_expired_at:
            return False
        rows = self._database.expired(self._wall_clock(), _STEP)
        self._let_go(rows)
        if not rows:
            self._look_for_expired_at = time.monotonic() + _EXPIRY_SECONDS
        return bool(rows)

    def _let_go(self, rows: list[Row]) -> None:
        self._database.delete(rows)
        for row in rows:
            if row.large:
                _unlink(self._folder.large_file(row.number))

    def _sweep_orphans(self) -> bool:
        """Remove the files of one folder that belong to no result."""
        number = next(self._orphans, None)
        if number is None:
            return False
        names = set(_numbers(self._folder.large / f"{number:02x}"))
        old = {name for name in names if name < self._newest_orphan}
        for orphan in old - self._database.with_files(old):
            _unlink(self._folder.large_file(orphan))
        return True


def _numbers(folder: os.PathLike[str]) -> Iterator[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for name in names:
        if name.isascii() and name.isdigit():
            yield int(name)


def _unlink(path: os.PathLike[str]) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
