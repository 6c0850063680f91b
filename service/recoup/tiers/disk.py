"""The disk tier: results that outlive the process, in one folder that one process owns.

Small results are in an SQLite database, large ones are files of their own beside it; docs/explanation/tiers.md says
why. One thread writes. Readers run in their callers' threads, or, for coroutines, in a few of the tier's own.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from recoup import fields
from recoup.cache.config import BYTES_PER_MB, checked
from recoup.cache.tier import Invalidation, PayloadCodec, TierEntry, TierHost, TierName, TierStats
from recoup.errors import ConfigurationError
from recoup.tiers.counts import TierCounts
from recoup.tiers.database import Row
from recoup.tiers.disk_writer import DiskWriter
from recoup.tiers.lifetimes import Lifetimes
from recoup.tiers.marks import Marks
from recoup.tiers.record import RecordError, decode
from recoup.tiers.write_queue import WriteQueue

#: Threads in which coroutines' reads wait for the disk.
_READERS: Final = 4
#: How often a read begins anew, because something was invalidated or replaced meanwhile.
_ATTEMPTS: Final = 3
_INFINITY: Final = math.inf


class DiskTier:
    """Keeps results in a folder.

    What is stored is written behind the answer, and is there after a restart, however the process ended. Least
    recently used results are evicted past `max_mb`. While the folder cannot be used, because another process owns it
    or because it cannot be written to, the cache goes on without it, and the tier tries again behind the scenes.

    Args:
        path: The folder. It is made where there is none, for its owner alone. Nothing else may be in it.
        max_mb: How much results may take, in megabytes (2^20 bytes).
        queue_mb: How much may wait to be written; what does not fit is not stored, and counted as dropped.
        retry_seconds: How long after a failure to begin the next attempt is made.
        wall_clock: Seconds of the Unix epoch.

    Raises:
        ConfigurationError: An argument is out of its bounds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_mb: float = 10240,
        queue_mb: float = 64,
        retry_seconds: float = 1.0,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_bytes = int(checked("max_mb", fields.TIER_MB, max_mb) * BYTES_PER_MB)
        self._queue = WriteQueue(int(checked("queue_mb", fields.QUEUE_MB, queue_mb) * BYTES_PER_MB))
        self._counts = TierCounts("disk")
        self._marks = Marks()
        self._wall_clock = wall_clock
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = threading.Lock()
        self._codec: PayloadCodec | None = None
        self._writer = DiskWriter(
            Path(path),
            self._queue,
            self._marks,
            self._counts,
            max_bytes=self._max_bytes,
            retry_seconds=retry_seconds,
            wall_clock=wall_clock,
        )
        _lifetimes.add(self)

    @property
    def name(self) -> TierName:
        """`disk`."""
        return "disk"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._writer.folder.path

    def open(self, codec: PayloadCodec, host: TierHost | None = None) -> None:
        """See `Tier.open`.

        Raises:
            ConfigurationError: A cache has it already.
        """
        if self._codec is not None:
            raise ConfigurationError("the disk tier belongs to another cache already: make one for each")
        self._codec = codec
        self._writer.start(codec)

    # --- reading

    def get(self, key: str, pipeline: str) -> TierEntry | None:
        """See `Tier.get`."""
        if not self._writer.is_up:
            self._counts.lookup(pipeline, "skipped")
            return None
        with self._counts.timed("get"):
            try:
                entry = self._find(key)
            except Exception as error:  # noqa: BLE001  # fail open: it is a miss
                self._counts.lookup(pipeline, "error")
                self._writer.note_failure("disk_reads_fail", error)
                return None
        self._counts.lookup(pipeline, "miss" if entry is None else "hit")
        return entry

    async def aget(self, key: str, pipeline: str) -> TierEntry | None:
        """See `Tier.aget`."""
        if not self._writer.is_up:
            return self.get(key, pipeline)
        return await asyncio.get_running_loop().run_in_executor(self._readers(), self.get, key, pipeline)

    def _readers(self) -> ThreadPoolExecutor:
        with self._pool_lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="recoup-disk-read")
            return self._pool

    def peek(self, key: str) -> TierEntry | None:
        """See `Tier.peek`."""
        try:
            return self._find(key, is_use=False) if self._writer.is_up else None
        except Exception as error:  # noqa: BLE001  # fail open
            self._writer.note_failure("disk_reads_fail", error)
            return None

    def _find(self, key: str, *, is_use: bool = True) -> TierEntry | None:
        lost: Row | None = None
        for _ in range(_ATTEMPTS):
            version = self._marks.version
            waiting = self._queue.find(key)
            if waiting is not None:
                entry = waiting.entry
                if self._marks.hides(key, entry.pipeline, entry.groups, waiting.number):
                    return None
                number, softened = waiting.number, _INFINITY
            else:
                row = self._writer.database.find(key)
                if row is None or self._marks.hides(key, row.pipeline, row.groups, row.number):
                    return None
                try:
                    entry = self._read(row)
                except FileNotFoundError:
                    lost = row  # or replaced or evicted meanwhile
                    continue
                except RecordError as error:
                    self._counts.broken()
                    self._counts.warn("disk_record_corrupt", error, key=key)
                    self._writer.remove(row)
                    return None
                number, softened = row.number, row.softened
            if self._marks.version != version:
                continue
            if is_use:
                self._writer.touch(number)
            softened = min(softened, self._marks.expiry(key, entry.pipeline, entry.groups, number))
            if softened >= entry.expires_at:
                return entry
            return replace(entry, expires_at=max(entry.created_at, softened))
        if lost is not None:
            self._writer.remove(lost)
        return None

    def _read(self, row: Row) -> TierEntry:
        """The result of a row.

        Raises:
            FileNotFoundError: It is not there any more.
            RecordError: It cannot be read.
        """
        data = row.record
        if data is None:
            if not row.large:
                raise FileNotFoundError(row.key)
            data = self._writer.folder.large_file(row.number).read_bytes()
        if not isinstance(data, bytes):  # somebody else wrote there
            raise RecordError("it is no record")
        record = decode(data, row.key)
        try:
            value = self._codec.from_payload(record.payload)  # type: ignore[union-attr]  # it is open
        except Exception as error:
            raise RecordError(f"the codec raised {type(error).__name__}: {error}") from error
        return replace(record.entry, value=value, size_bytes=len(data))

    # --- writing

    def submit(self, entry: TierEntry) -> None:
        """See `Tier.submit`."""
        if not self._writer.is_up:
            self._counts.write(entry.pipeline, "skipped")
            return
        taken, replaced = self._queue.put(entry)
        if not taken:
            self._counts.write(entry.pipeline, "dropped")
            self._counts.warn("disk_writes_dropped", queue_bytes=self._queue.bytes)
        if replaced is not None:
            self._counts.write(replaced.pipeline, "skipped")

    def announce(self, invalidation: Invalidation) -> None:
        """Nobody else has the folder."""

    def invalidate(self, invalidation: Invalidation) -> Callable[[], bool]:
        """See `Tier.invalidate`."""
        number = self._queue.next_number()
        marks = self._marks.add(invalidation, number)
        waits = invalidation.key is not None and self._queue.find(invalidation.key) is not None
        self._writer.save_later(marks)
        return lambda: self._writer.save(marks) or waits

    def position(self) -> str:
        """See `Tier.position`."""
        return self._writer.position()

    def keep_position(self, text: str) -> None:
        """See `Tier.keep_position`."""
        self._writer.keep_position(text)

    def register(self, pipeline: str) -> None:
        """See `Tier.register`."""
        self._counts.register(pipeline)

    # --- its figures, and its end

    def stats(self) -> TierStats:
        """See `Tier.stats`."""
        up = self._writer.is_up
        counts = self._counts
        return TierStats(
            name="disk",
            up=up,
            entries=self._writer.database.entries if up else None,
            bytes=self._writer.database.bytes if up else None,
            limit_bytes=self._max_bytes,
            queue_bytes=self._queue.bytes,
            lookups=counts.lookups(),
            writes=counts.writes(),
            evictions=counts.evictions,
            corrupt=counts.corrupt,
            operations=counts.operations(),
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was submitted is stored; whether that was within `timeout` seconds."""
        return self._queue.wait_until_idle(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """See `Tier.close`."""
        done = self._writer.close(timeout)
        with self._pool_lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False)
        return done

    def forget(self) -> None:
        """In a child that was forked: the folder is the parent's."""
        self._writer.forget()

    def __enter__(self) -> DiskTier:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<DiskTier {str(self.path)!r}: {self._max_bytes} bytes at most>"


_lifetimes = Lifetimes()
