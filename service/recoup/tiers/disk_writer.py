"""The one thread that writes a disk tier: results in batches, marks, what is to go, and the next attempt to begin."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from recoup.cache.tier import PayloadCodec
from recoup.tiers.compression import Compression
from recoup.tiers.counts import TierCounts
from recoup.tiers.database import Database, NewRow, Row, is_broken
from recoup.tiers.folder import Folder, FolderTakenError
from recoup.tiers.marks import Mark, Marks
from recoup.tiers.record import encode
from recoup.tiers.sweeping import Sweep
from recoup.tiers.write_queue import Waiting, WriteQueue

#: Records from this length on are files of their own. Measured; docs/explanation/tiers.md has the figures.
LARGE_BYTES: Final = 256 << 10
#: What an entry takes beside its record, in the index.
_OVERHEAD: Final = 512
#: The disk gives files whole blocks.
_BLOCK: Final = 4096
_BATCH, _BATCH_BYTES = 64, 8 << 20
#: Seconds between two looks at what else there is to do, and reads that are noted before their order is written.
_TICK: Final = 1.0
#: A failure that has not happened again for so long is over: where every other write fails, one line is enough.
_QUIET_SECONDS: Final = 60.0
_MOST_TOUCHED: Final = 10_000


class DiskWriter:
    """Owns the folder and the database, and writes.

    Args:
        path: The folder.
        queue: What is to be written.
        marks: What was invalidated.
        counts: Takes the counts.
        max_bytes: The limit of all results together.
        retry_seconds: How long after a failure to begin the next attempt is made.
        wall_clock: Seconds of the Unix epoch.

    Attributes:
        folder: The folder.
        is_up: Whether results can be read and stored.
        database: The open database, while it is up.
    """

    database: Database

    def __init__(
        self,
        path: Path,
        queue: WriteQueue,
        marks: Marks,
        counts: TierCounts,
        *,
        max_bytes: int,
        retry_seconds: float,
        wall_clock: Callable[[], float],
    ) -> None:
        self.folder = Folder(path)
        self.is_up = False
        self._queue = queue
        self._marks = marks
        self._counts = counts
        self._max_bytes = max_bytes
        self._retry_seconds = retry_seconds
        self._wall_clock = wall_clock
        self._tick = min(_TICK, retry_seconds)
        self._compression = Compression()
        self._codec: PayloadCodec | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._is_broken = False
        self._retry_at = 0.0
        #: When results were used, as numbers, that the database does not know yet.
        self._touched: dict[int, int] = {}
        #: Marks and rows that could not be written.
        self._unsaved: dict[tuple[str, str, str, bool], Mark] = {}
        self._unsaved_lock = threading.Lock()
        self._doomed: list[Row] = []
        self._sweep: Sweep | None = None

    def start(self, codec: PayloadCodec) -> None:
        """Begin: own the folder if it can be owned, and start the thread."""
        self._codec = codec
        self._try_to_begin()
        if not self.is_up and not self._retry_at:
            self._try_to_begin()  # what was there could not be used, and is gone
        self._thread = threading.Thread(target=self._run, name="recoup-disk", daemon=True)
        self._thread.start()

    def close(self, timeout: float | None) -> bool:
        """Write what waits, and end; whether all of it was written within `timeout` seconds."""
        thread = self._thread
        if thread is None:
            return True
        self._closing.set()
        self._queue.close()
        thread.join(timeout)
        if thread.is_alive():
            return False
        self._thread = None
        return self._queue.is_idle

    def forget(self) -> None:
        """In a child that was forked: the folder is the parent's."""
        self.is_up = False
        self._thread = None
        self.folder.forget()
        self._queue.begin_after_fork()
        self._marks.begin_after_fork()
        self._counts.begin_after_fork()
        self._unsaved_lock = threading.Lock()
        # Never closed here: closing would touch the parent's files and locks.
        _parents.append(getattr(self, "database", None))

    # --- called in any thread

    def touch(self, number: int) -> None:
        """Note that a result was used now."""
        touched = self._touched
        touched[number] = self._queue.next_number()
        if len(touched) >= _MOST_TOUCHED:
            self._queue.wake()

    def note_failure(self, event: str, error: BaseException) -> None:
        """Take note of an operation that failed, and log it once."""
        self._counts.warn(event, error, path=str(self.folder.path))
        if is_broken(error):
            self._is_broken = True
            self._queue.wake()

    def remove(self, row: Row) -> None:
        """Let a result go that cannot be read."""
        try:
            self.database.delete([row])
            self._unlink([row])
        except (sqlite3.Error, OSError) as error:
            self._doomed.append(row)
            self.note_failure("disk_writes_fail", error)

    def save_later(self, marks: Sequence[Mark]) -> None:
        """Have marks outlive this process soon."""
        with self._unsaved_lock:
            self._unsaved.update((mark.place, mark) for mark in marks)

    def save(self, marks: Sequence[Mark]) -> bool:
        """Make marks outlive this process, in the caller's thread. What cannot be saved is tried again.

        Returns:
            Whether there was a result of one of the keys that they name.
        """
        with self._counts.timed("invalidate"):
            return self.is_up and self._save(marks)

    def _save(self, marks: Sequence[Mark]) -> bool:
        gone: list[Row] = []
        try:
            for mark in marks:
                if mark.scope == "key":
                    gone += self.database.delete_older(mark.name, mark.number)
            self.database.save_marks(marks)
        except (sqlite3.Error, OSError) as error:
            self.note_failure("disk_writes_fail", error)
        else:
            with self._unsaved_lock:
                for mark in marks:
                    if self._unsaved.get(mark.place) is mark:
                        del self._unsaved[mark.place]
        self._unlink(gone)
        return bool(gone)

    # --- the thread

    def _run(self) -> None:
        while True:
            batch = self._queue.take(_BATCH, _BATCH_BYTES, self._tick)
            if batch:
                try:
                    self._write(batch)
                finally:
                    self._queue.done(batch)
            elif self._closing.is_set():
                break
            self._maintain(busy=bool(batch))
        self._end()

    def _try_to_begin(self) -> None:
        try:
            self.folder.acquire()
        except FolderTakenError as error:
            self._counts.warn("disk_folder_taken", error, path=str(self.folder.path))
            self._wait()
            return
        except OSError as error:
            self._counts.warn("disk_unusable", error, path=str(self.folder.path))
            self._wait()
            return
        try:
            self._begin()
        except (sqlite3.Error, OSError) as error:
            if is_broken(error):
                self._counts.broken()
                self._counts.warn("disk_database_broken", error, path=str(self.folder.path))
                self.folder.empty()
                self._retry_at = 0.0
            else:
                self._counts.warn("disk_unusable", error, path=str(self.folder.path))
                self._wait()
            self.folder.release()
            return
        for event in ("disk_folder_taken", "disk_unusable", "disk_database_broken"):
            self._counts.recovered(event, "disk_is_up")

    def _wait(self) -> None:
        self._retry_at = time.monotonic() + self._retry_seconds

    def _begin(self) -> None:
        self.folder.prepare()
        self.database = database = Database(self.folder.database)
        # What was invalidated while the tier was not there holds for all that is in it.
        saved = database.marks()
        shifted = self._marks.shift(database.number)
        with self._unsaved_lock:
            self._unsaved = {mark.place: mark for mark in shifted}
        self._marks.restore(saved)
        self._queue.advance(max(database.number, self._marks.newest))
        self._touched = {}
        self._sweep = Sweep(self.folder, database, self._marks, self._queue, self._wall_clock)
        self.is_up = True

    def _end(self) -> None:
        """Let go of the folder, with the order of use and the marks written."""
        was_up, self.is_up = self.is_up, False
        for waiting in self._queue.drop_all():
            self._counts.write(waiting.entry.pipeline, "dropped")
        if not was_up:
            return
        try:
            self._write_rows([])
            self._save_unsaved()
        except (sqlite3.Error, OSError) as error:
            self.note_failure("disk_writes_fail", error)
        try:
            self.database.close()
        except sqlite3.Error as error:
            self.note_failure("disk_writes_fail", error)
        self.folder.release()

    def _maintain(self, *, busy: bool) -> None:
        """Do a little of what else there is to do."""
        try:
            if self._is_broken and self.is_up:
                self._begin_anew()
            elif not self.is_up:
                if time.monotonic() >= self._retry_at and not self._closing.is_set():
                    self._try_to_begin()
            else:
                self._save_unsaved()
                if self._touched and not busy:
                    self._write_rows([])
                if self._sweep is not None:
                    self._sweep.step(busy=busy)
        except Exception as error:  # noqa: BLE001  # the thread goes on
            self.note_failure("disk_writes_fail", error)

    def _begin_anew(self) -> None:
        """The database is broken: let all of it go."""
        self.is_up = self._is_broken = False
        self._counts.broken()
        try:
            self.database.close()
        except sqlite3.Error:
            _parents.append(self.database)  # what it holds is removed below
        self.folder.empty()
        self.folder.release()
        self._try_to_begin()

    def _save_unsaved(self) -> None:
        if self._doomed:
            doomed, self._doomed = self._doomed, []
            self.database.delete(doomed)
            self._unlink(doomed)
        if self._unsaved:
            with self._unsaved_lock:
                marks = list(self._unsaved.values())
            self._save(marks)

    # --- writing results

    def _write(self, batch: Sequence[Waiting]) -> None:
        """Store a batch. Never fails: what could not be stored is counted."""
        if not self.is_up:
            for waiting in batch:
                self._counts.write(waiting.entry.pipeline, "skipped")
            return
        rows = [row for waiting in batch if (row := self._row(waiting)) is not None]
        if not rows:
            return
        try:
            with self._counts.timed("set"):
                self._write_rows(rows)
        except Exception as error:  # noqa: BLE001  # fail open: the results are there, in memory
            for row in rows:
                self._counts.write(row.pipeline, "error")
            self.note_failure("disk_writes_fail", error)
            return
        for row in rows:
            self._counts.write(row.pipeline, "stored")
        for event in ("disk_writes_fail", "disk_writes_dropped"):
            self._counts.recovered(event, "disk_writes_again", _QUIET_SECONDS)

    def _row(self, waiting: Waiting) -> NewRow | None:
        """A result as it is to be stored, in a file of its own already where it is large; None: it is not to be."""
        entry, number = waiting.entry, waiting.number
        if self._marks.hides(entry.key, entry.pipeline, entry.groups, number):
            self._counts.write(entry.pipeline, "skipped")
            return None
        try:
            record = encode(entry, self._codec.to_payload(entry.value), self._compression)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001  # a codec's own
            self._counts.write(entry.pipeline, "skipped")
            self._counts.warn("disk_value_not_stored", error, pipeline=entry.pipeline)
            return None
        size = len(record) + _OVERHEAD
        large = len(record) >= LARGE_BYTES
        if large:
            size = -(-len(record) // _BLOCK) * _BLOCK + _OVERHEAD
        if size > self._max_bytes:
            self._counts.write(entry.pipeline, "skipped")
            return None
        if large:
            try:
                self.folder.write_large(number, record)
            except OSError as error:
                self._counts.write(entry.pipeline, "error")
                self.note_failure("disk_writes_fail", error)
                self._unlink_number(number)
                return None
        used = self._touched.pop(number, number)
        expires = max(entry.expires_at, entry.keep_until)
        return NewRow(number, used, entry.key, entry.pipeline, entry.groups, expires, size, None if large else record)

    def _write_rows(self, rows: Sequence[NewRow]) -> None:
        touched, self._touched = self._touched, {}
        by_use = [(used, number) for number, used in list(touched.items())]
        try:
            replaced, evicted = self.database.write(rows, by_use, self._max_bytes)
        except BaseException:
            for row in rows:
                if row.record is None:
                    self._unlink_number(row.number)
            raise
        self._counts.evicted(len(evicted))
        self._unlink([*replaced, *evicted])

    def _unlink(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row.large:
                self._unlink_number(row.number)

    def _unlink_number(self, number: int) -> None:
        try:
            os.unlink(self.folder.large_file(number))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.note_failure("disk_writes_fail", error)


#: What a forked child must keep, so that it is never closed there.
_parents: list[object] = []
