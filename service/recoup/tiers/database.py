"""The database of a disk tier: the index of all results, and the small results themselves. SQLite, in WAL mode.

One connection writes, under a lock; readers have connections of their own, and see what was committed. What was
committed outlives the process, however it ends; what a crash of the machine tears is refused by its checksum.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from recoup.tiers.marks import Mark

#: Of the database's own form. One of another form is begun anew.
_FORM: Final = 1
_PAGE_BYTES: Final = 16384
_BUSY_SECONDS: Final = 5.0
#: The journal is cut back to this length when it has been carried over.
_JOURNAL_BYTES: Final = 32 << 20
_MOST_IDLE_READERS: Final = 8
_SCHEMA: Final = """
CREATE TABLE entries(
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, pipeline TEXT NOT NULL, groups TEXT NOT NULL,
    used INTEGER NOT NULL, expires REAL NOT NULL, softened REAL NOT NULL, bytes INTEGER NOT NULL,
    large INTEGER NOT NULL);
CREATE INDEX entries_used ON entries(used);
CREATE INDEX entries_expires ON entries(expires);
CREATE TABLE records(number INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE marks(
    scope TEXT NOT NULL, name TEXT NOT NULL, pipeline TEXT NOT NULL, soft INTEGER NOT NULL,
    number INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (scope, name, pipeline, soft)) WITHOUT ROWID;
CREATE TABLE totals(entries INTEGER NOT NULL, bytes INTEGER NOT NULL, number INTEGER NOT NULL);
INSERT INTO totals VALUES (0, 0, 0);
"""
_COLUMNS: Final = "number, key, pipeline, groups, bytes, large, softened"
_INFINITY: Final = float("inf")
#: Primary codes of SQLite that say that the file itself is broken.
_BROKEN_CODES: Final = (11, 26)
_BROKEN_WORDS: Final = ("malformed", "not a database", "no such table", "no such column")


class Row(NamedTuple):
    """What the index says of a result.

    Attributes:
        number: Its number.
        key: Its key.
        pipeline: The name of its pipeline.
        groups: Its groups.
        size: What it takes, in bytes.
        large: Whether it is a file of its own.
        softened: When it expired because of a soft purge; infinity: there was none.
        record: The record itself, where it was asked for and is in the database.
    """

    number: int
    key: str
    pipeline: str
    groups: tuple[str, ...]
    size: int
    large: bool
    softened: float
    record: bytes | None = None


class NewRow(NamedTuple):
    """A result to be stored; `record` is None where it is a file of its own."""

    number: int
    used: int
    key: str
    pipeline: str
    groups: tuple[str, ...]
    expires: float
    size: int
    record: bytes | None


def is_broken(error: BaseException) -> bool:
    """Whether an error says that the database itself cannot be used any more."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # from Python 3.11 on
    if code is not None and code & 0xFF in _BROKEN_CODES:
        return True
    return any(word in str(error) for word in _BROKEN_WORDS)


class Database:
    """The open database of one folder.

    Args:
        path: Its file; made where there is none.

    Attributes:
        entries: Results that it holds.
        bytes: What they take.
        number: The greatest number that it has seen.

    Raises:
        sqlite3.Error: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writer = self._connect()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        try:
            self._begin()
        except BaseException:
            self._writer.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def _begin(self) -> None:
        writer = self._writer
        (form,) = writer.execute("PRAGMA user_version").fetchone()
        if form == 0:
            writer.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            writer.execute("PRAGMA auto_vacuum=INCREMENTAL")
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA synchronous=NORMAL")
        writer.execute(f"PRAGMA journal_size_limit={_JOURNAL_BYTES}")
        if form == 0:
            writer.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={_FORM}; COMMIT;")
        elif form != _FORM:
            raise sqlite3.DatabaseError(f"not a database of this form: {form}")
        self.entries, self.bytes, self.number = writer.execute("SELECT entries, bytes, number FROM totals").fetchone()

    # --- reading

    def find(self, key: str) -> Row | None:
        """The result of a key."""
        with self._reader() as reader:
            found = reader.execute(
                f"SELECT {_COLUMNS}, record FROM entries LEFT JOIN records USING (number) WHERE key = ?",  # noqa: S608
                (key,),
            ).fetchone()
        return None if found is None else _row(found)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = self._connect()
        try:
            yield reader
        finally:
            if self._closed or len(self._readers) >= _MOST_IDLE_READERS:
                reader.close()
            else:
                self._readers.append(reader)

    # --- writing

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the writer: all of it or nothing, the totals with it."""
        with self._lock:
            entries, size, number = self.entries, self.bytes, self.number
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute(
                    "UPDATE totals SET entries = ?, bytes = ?, number = ?", (self.entries, self.bytes, self.number)
                )
                self._writer.execute("COMMIT")
            except BaseException:
                self.entries, self.bytes, self.number = entries, size, number
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def write(
        self, rows: Iterable[NewRow], touched: Iterable[tuple[int, int]], max_bytes: int
    ) -> tuple[list[Row], list[Row]]:
        """Store results in the places of older ones of their keys, and evict what was used longest ago.

        Args:
            rows: The results.
            touched: When others were used, as a number, and their own numbers. They come first.
            max_bytes: The limit of all results together.

        Returns:
            What was replaced, and what was evicted.
        """
        with self._transaction() as writer:
            writer.executemany("UPDATE entries SET used = max(used, ?) WHERE number = ?", touched)
            replaced = []
            for row in rows:
                old = _fetch(writer, "WHERE key = ?", row.key)
                if old and old[0].number > row.number:
                    continue
                replaced += old
                self._delete(writer, old)
                self._insert(writer, row)
            return replaced, self._evict(writer, max_bytes)

    def _insert(self, writer: sqlite3.Connection, row: NewRow) -> None:
        groups = json.dumps(row.groups, ensure_ascii=False) if row.groups else ""
        writer.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.number,
                row.key,
                row.pipeline,
                groups,
                row.used,
                row.expires,
                _INFINITY,
                row.size,
                row.record is None,
            ),
        )
        if row.record is not None:
            writer.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (row.number, row.record))
        self.entries += 1
        self.bytes += row.size
        self.number = max(self.number, row.number, row.used)

    def _evict(self, writer: sqlite3.Connection, max_bytes: int) -> list[Row]:
        evicted: list[Row] = []
        while self.bytes > max_bytes and self.entries:
            for row in _fetch(writer, "ORDER BY used LIMIT 32"):
                if self.bytes <= max_bytes:
                    break
                self._delete(writer, [row])
                evicted.append(row)
        return evicted

    def _delete(self, writer: sqlite3.Connection, rows: Sequence[Row]) -> None:
        for row in rows:
            gone = writer.execute("DELETE FROM entries WHERE number = ?", (row.number,)).rowcount
            writer.execute("DELETE FROM records WHERE number = ?", (row.number,))
            self.entries -= gone
            self.bytes -= gone * row.size

    def delete(self, rows: Sequence[Row]) -> None:
        """Let results go."""
        if rows:
            with self._transaction() as writer:
                self._delete(writer, rows)

    def delete_older(self, key: str, number: int) -> list[Row]:
        """Let the result of a key go, if it is older than a number; gives it."""
        with self._transaction() as writer:
            old = _fetch(writer, "WHERE key = ? AND number < ?", key, number)
            self._delete(writer, old)
            self.number = max(self.number, number)
            return old

    # --- walking over all results, a few at a time

    def after(self, number: int, last: int, most: int) -> list[Row]:
        """The next results by their numbers, after one and up to another."""
        with self._reader() as reader:
            return _fetch(reader, "WHERE number > ? AND number <= ? ORDER BY number LIMIT ?", number, last, most)

    def expired(self, at: float, most: int) -> list[Row]:
        """Some of the results that have expired."""
        with self._reader() as reader:
            return _fetch(reader, "WHERE expires <= ? LIMIT ?", at, most)

    def soften(self, numbers: Iterable[tuple[float, int]]) -> None:
        """Let results expire sooner: of each when, and its number."""
        with self._transaction() as writer:
            writer.executemany("UPDATE entries SET softened = min(softened, ?) WHERE number = ?", numbers)

    def with_files(self, numbers: Iterable[int]) -> set[int]:
        """Which of these are numbers of results that are files of their own."""
        with self._reader() as reader:
            found = (
                reader.execute("SELECT number FROM entries WHERE number = ? AND large", (number,)).fetchone()
                for number in numbers
            )
            return {row[0] for row in found if row is not None}

    def shrink_file(self, pages: int) -> None:
        """Give a few pages that hold nothing back to the disk, where they are more than a fourth of the file."""
        with self._lock:
            (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
            (count,) = self._writer.execute("PRAGMA page_count").fetchone()
            if free > count // 4:
                self._writer.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()

    # --- marks

    def marks(self) -> list[Mark]:
        """The marks that were saved."""
        with self._reader() as reader:
            rows = reader.execute("SELECT scope, name, pipeline, soft, number, at FROM marks").fetchall()
        return [Mark(scope, name, pipeline, bool(soft), number, at) for scope, name, pipeline, soft, number, at in rows]

    def save_marks(self, marks: Sequence[Mark]) -> None:
        """Save marks."""
        with self._transaction() as writer:
            writer.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?)", marks)
            self.number = max(self.number, *(mark.number for mark in marks))

    def forget_marks(self, number: int) -> None:
        """Let go of the marks up to a number."""
        with self._transaction() as writer:
            writer.execute("DELETE FROM marks WHERE number <= ?", (number,))

    # --- the end

    def close(self) -> None:
        """Carry the journal over, and let go of the file."""
        with self._lock:
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            self._writer.close()


def _fetch(connection: sqlite3.Connection, which: str, *values: Any) -> list[Row]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM entries {which}", values)  # noqa: S608
    return list(map(_row, rows.fetchall()))


def _row(found: Sequence[Any]) -> Row:
    number, key, pipeline, groups, size, large, softened, *record = found
    names = tuple(json.loads(groups)) if groups else ()
    return Row(number, key, pipeline, names, size, bool(large), softened, *record)
