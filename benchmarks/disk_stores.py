"""What the disk tier could keep records in: LMDB, SQLite, or files with an index in SQLite.

`python -m benchmarks.disk_stores [FOLDER]` writes, reads in random order and looks up what is not there, with values of
2 KB, 200 KB and 5 MB. The stores take turns, and what counts is the fastest of several turns. All of them survive
`kill -9` as they are set up here, and none of them waits for the disk itself. What was written is read from the page
cache, as after a restart of the service.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import lmdb

_SIZES = {"2 KB": (2 << 10, 2000), "200 KB": (200 << 10, 100), "5 MB": (5 << 20, 8)}
_TURNS = 5
_LMDB_BYTES = 1 << 30
#: Records in one transaction, and their bytes at most: what a write-behind queue hands over at once.
_BATCH, _BATCH_BYTES = 64, 8 << 20

Records = Sequence[tuple[str, bytes]]


class Store(Protocol):
    """One of the contenders."""

    def write(self, records: Records) -> None:
        """Store a batch."""

    def read(self, key: str) -> bytes | None:
        """The record of a key."""

    def close(self) -> None:
        """Let go of the files."""


class InSQLite:
    """Records as blobs, in a table beside their index."""

    def __init__(self, folder: Path, page_size: int = 16384) -> None:
        self._database = sqlite3.connect(folder / "results.db", isolation_level=None)
        self._database.executescript(
            f"PRAGMA page_size={page_size}; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE IF NOT EXISTS entries(id INTEGER PRIMARY KEY, key TEXT UNIQUE, used INTEGER);"
            "CREATE INDEX IF NOT EXISTS used ON entries(used);"
            "CREATE TABLE IF NOT EXISTS records(id INTEGER PRIMARY KEY, record BLOB);"
        )
        self._used = 0

    def write(self, records: Records) -> None:
        """Store a batch."""
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        for key, record in records:
            self._used += 1
            (number,) = database.execute(
                "INSERT INTO entries(key, used) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET used = excluded.used"
                " RETURNING id",
                (key, self._used),
            ).fetchone()
            database.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (number, record))
        database.execute("COMMIT")

    def read(self, key: str) -> bytes | None:
        """The record of a key."""
        row = self._database.execute(
            "SELECT record FROM entries JOIN records USING (id) WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()


class InFiles:
    """Records as files, each written beside its place and moved there, with an index of them in SQLite."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)
        self._database = sqlite3.connect(folder / "index.db", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
            "CREATE TABLE IF NOT EXISTS entries(key TEXT PRIMARY KEY, used INTEGER) WITHOUT ROWID;"
            "CREATE INDEX IF NOT EXISTS used ON entries(used);"
        )
        self._used = 0

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def write(self, records: Records) -> None:
        """Store a batch."""
        for key, record in records:
            beside = self._path(key).with_suffix(".new")
            beside.write_bytes(record)
            beside.replace(self._path(key))
        self._database.execute("BEGIN IMMEDIATE")
        for key, _ in records:
            self._used += 1
            self._database.execute("INSERT OR REPLACE INTO entries VALUES (?, ?)", (key, self._used))
        self._database.execute("COMMIT")

    def read(self, key: str) -> bytes | None:
        """The record of a key."""
        if self._database.execute("SELECT 1 FROM entries WHERE key = ?", (key,)).fetchone() is None:
            return None
        return self._path(key).read_bytes()

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()


class InLMDB:
    """Records and their order of use in two trees of a memory map."""

    def __init__(self, folder: Path) -> None:
        self._map: Any = lmdb.open(str(folder), map_size=_LMDB_BYTES, max_dbs=2, sync=False, writemap=False)
        self._records, self._order = self._map.open_db(b"records"), self._map.open_db(b"order")
        self._used = 0

    def write(self, records: Records) -> None:
        """Store a batch."""
        with self._map.begin(write=True) as transaction:
            for key, record in records:
                self._used += 1
                transaction.put(key.encode(), record, db=self._records)
                transaction.put(self._used.to_bytes(8, "big"), key.encode(), db=self._order)

    def read(self, key: str) -> bytes | None:
        """The record of a key."""
        with self._map.begin() as transaction:
            record: bytes | None = transaction.get(key.encode(), db=self._records)
        return record

    def close(self) -> None:
        """Let go of the files."""
        self._map.close()


#: By name, what makes a store in a folder.
CONTENDERS: dict[str, Any] = {"SQLite": InSQLite, "files": InFiles, "LMDB": InLMDB}


def _batches(records: Records) -> Iterator[Records]:
    size = max(1, min(_BATCH, _BATCH_BYTES // len(records[0][1])))
    for start in range(0, len(records), size):
        yield records[start : start + size]


def _turn(make: Any, folder: Path, records: Records) -> dict[str, float]:
    """Seconds for one record: written, read, looked up in vain; and the bytes on the disk for each byte written."""
    store: Store = make(folder)
    started = time.perf_counter()
    for batch in _batches(records):
        store.write(batch)
    written = time.perf_counter()
    for key, record in random.Random(1).sample(list(records), len(records)):
        assert store.read(key) == record
    read = time.perf_counter()
    for key, _ in records:
        assert store.read("0" + key[1:-1]) is None
    missed = time.perf_counter()
    store.close()
    count = len(records)
    held = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return {
        "write": (written - started) / count,
        "read": (read - written) / count,
        "miss": (missed - read) / count,
        "bytes": held / (count * len(records[0][1])),
    }


def measure(parent: Path) -> dict[str, dict[str, dict[str, float]]]:
    """By size and store, the fastest of several turns for each operation."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for label, (size, count) in _SIZES.items():
        records = [(os.urandom(16).hex(), os.urandom(size)) for _ in range(count)]
        best: dict[str, dict[str, float]] = {}
        for _ in range(_TURNS):
            for name, make in CONTENDERS.items():
                folder = Path(tempfile.mkdtemp(dir=parent))
                turn = _turn(make, folder, records)
                shutil.rmtree(folder)
                known = best.setdefault(name, turn)
                best[name] = {what: min(known[what], seconds) for what, seconds in turn.items()}
        results[label] = best
    return results


def main() -> None:
    """Print the table; beside each time its ratio to SQLite's."""
    parent = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir())
    print("| value | store | write | read | not there | disk for each byte |\n|---|---|---|---|---|---|")
    for label, by_store in measure(parent).items():
        base = by_store["SQLite"]
        for name, taken in by_store.items():
            times = [f"{taken[w] * 1e3:.3f} ms ({taken[w] / base[w]:.2f})" for w in ("write", "read", "miss")]
            print(f"| {label} | {name} | {' | '.join(times)} | {taken['bytes']:.2f} |")


if __name__ == "__main__":
    main()
