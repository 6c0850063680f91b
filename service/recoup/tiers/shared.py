"""The shared tier: results in a Redis or Valkey that several instances have in common.

The library is `redis`, with its blocking client: operations run in a few threads of the tier's own, each within a time
limit, so that a large result or a server that hangs never stops an event loop. docs/explanation/tiers.md has the
argument for the order of reads, stores and invalidations, which `scripts` and `SharedLink` keep.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from recoup import fields
from recoup.cache.config import BYTES_PER_MB, checked
from recoup.cache.tier import Invalidation, PayloadCodec, TierEntry, TierHost, TierName, TierStats
from recoup.errors import ConfigurationError
from recoup.tiers import scripts
from recoup.tiers.compression import Compression
from recoup.tiers.counts import TierCounts
from recoup.tiers.lifetimes import Lifetimes
from recoup.tiers.record import RecordError, decode, encode
from recoup.tiers.redis_client import RedisUrl
from recoup.tiers.shared_link import OtherMarksError, SharedLink
from recoup.tiers.write_queue import Waiting, WriteQueue

_READERS: Final = 8
_BATCH, _BATCH_BYTES = 64, 8 << 20
_TICK: Final = 0.5
_INFINITY: Final = math.inf
#: Results are kept there for 30 days at most, so that all of them can be evicted by policies that spare the marks.
_MOST_SECONDS: Final = 30 * 86400.0
_PREFIX: Final = fields.Text("text that is not empty")


class SharedTier:
    """Keeps results in a Redis or Valkey, for all instances that name the same server and prefix.

    A server that is gone, hangs or answers nonsense costs callers at most `timeout_seconds`, once: then it is left
    alone, and tried again behind the scenes.

    Args:
        url: `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, `valkey://`, `valkeys://`, or
            `unix://[user:password@]/path?db=0`.
        prefix: Begins every key there.
        timeout_seconds: How long one operation may take.
        queue_mb: How much may wait to be written; what does not fit is not stored, and counted as dropped.
        wall_clock: Seconds of the Unix epoch.

    Raises:
        ConfigurationError: An argument cannot be used, or the library is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "recoup",
        timeout_seconds: float = 1.0,
        queue_mb: float = 64,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._timeout = checked("timeout_seconds", fields.SHARED_TIMEOUT_SECONDS, timeout_seconds)
        self._queue = WriteQueue(int(checked("queue_mb", fields.QUEUE_MB, queue_mb) * BYTES_PER_MB))
        self._counts = TierCounts("shared")
        self._wall_clock = wall_clock
        self._url = RedisUrl(url)
        self._link = SharedLink(self._url, checked("prefix", _PREFIX, prefix), self._timeout, self._counts, wall_clock)
        self._get = self._link.client.register_script(scripts.GET)
        self._store = self._link.client.register_script(scripts.STORE)
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="recoup-shared-read")
        self._compression = Compression()
        self._codec: PayloadCodec | None = None
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()
        _lifetimes.add(self)

    @property
    def name(self) -> TierName:
        """`shared`."""
        return "shared"

    def open(self, codec: PayloadCodec, host: TierHost) -> None:
        """See `Tier.open`.

        Raises:
            ConfigurationError: A cache has it already.
        """
        if self._codec is not None:
            raise ConfigurationError("the shared tier belongs to another cache already: make one for each")
        self._codec = codec
        self._link.start(host)
        self._writer = threading.Thread(target=self._write_all, name="recoup-shared-write", daemon=True)
        self._writer.start()

    # --- reading

    def get(self, key: str, pipeline: str) -> TierEntry | None:
        """See `Tier.get`. It takes `timeout_seconds` at most, in all."""
        if not self._link.is_up:
            self._counts.lookup(pipeline, "skipped")
            return None
        started = time.perf_counter()
        future = self._pool.submit(self._find, key)
        try:
            entry = future.result(self._timeout)
        except Exception as error:  # noqa: BLE001  # fail open: it is a miss
            future.cancel()
            self._fail(pipeline, started, error)
            return None
        return self._found(pipeline, started, entry)

    async def aget(self, key: str, pipeline: str) -> TierEntry | None:
        """See `Tier.aget`."""
        if not self._link.is_up:
            return self.get(key, pipeline)
        started = time.perf_counter()
        try:
            future = asyncio.wrap_future(self._pool.submit(self._find, key))
            entry = await asyncio.wait_for(future, self._timeout)
        except Exception as error:  # noqa: BLE001  # fail open: it is a miss
            self._fail(pipeline, started, error)
            return None
        return self._found(pipeline, started, entry)

    def _found(self, pipeline: str, started: float, entry: TierEntry | None) -> TierEntry | None:
        self._counts.observe("get", time.perf_counter() - started)
        self._counts.lookup(pipeline, "miss" if entry is None else "hit")
        return entry

    def _fail(self, pipeline: str, started: float, error: BaseException) -> None:
        self._counts.observe("get", time.perf_counter() - started)
        self._counts.lookup(pipeline, "error")
        if isinstance(error, (concurrent.futures.TimeoutError, asyncio.TimeoutError)):
            error = TimeoutError()
        self._link.note(error)

    def peek(self, key: str) -> TierEntry | None:
        """See `Tier.peek`."""
        try:
            return self._pool.submit(self._find, key).result(self._timeout) if self._link.is_up else None
        except Exception as error:  # noqa: BLE001  # fail open
            self._link.note(error)
            return None

    def _find(self, key: str) -> TierEntry | None:
        link = self._link
        answer = self._get(keys=[link.key("marks"), link.key("result", key)], args=[link.identity])
        if answer[0] == scripts.OTHER_MARKS:
            raise OtherMarksError
        if not answer[0]:
            return None
        _, data, softened = answer
        try:
            if not isinstance(data, bytes):
                raise RecordError("there is no record")
            record = decode(data, key)
            value = self._value(record.payload)
        except RecordError as error:
            self._counts.broken()
            self._counts.warn("shared_record_corrupt", error, key=key)
            link.client.delete(link.key("result", key))
            return None
        entry = replace(record.entry, value=value, size_bytes=len(data))
        if not softened:
            return entry
        return replace(entry, expires_at=max(entry.created_at, min(entry.expires_at, float(softened))))

    def _value(self, payload: Any) -> Any:
        try:
            return self._codec.from_payload(payload)  # type: ignore[union-attr]  # it is open
        except Exception as error:
            raise RecordError(f"the codec raised {type(error).__name__}: {error}") from error

    # --- writing

    def submit(self, entry: TierEntry) -> None:
        """See `Tier.submit`."""
        if not self._link.is_up:
            self._counts.write(entry.pipeline, "skipped")
            return
        # Under the cache's lock: what has been invalidated up to this number has spared it.
        taken, replaced = self._queue.put(replace(entry, sequence=self._link.applied))
        if not taken:
            self._counts.write(entry.pipeline, "dropped")
            self._counts.warn("shared_writes_dropped", queue_bytes=self._queue.bytes)
        if replaced is not None:
            self._counts.write(replaced.pipeline, "skipped")

    def _write_all(self) -> None:
        while True:
            batch = self._queue.take(_BATCH, _BATCH_BYTES, _TICK)
            if not batch and self._closing.is_set():
                return
            try:
                self._link.send_waiting()
                for waiting in batch:
                    self._write(waiting)
            finally:
                self._queue.done(batch)

    def _write(self, waiting: Waiting) -> None:
        """Store one result. Never fails."""
        entry = waiting.entry
        if not self._link.is_up:
            self._counts.write(entry.pipeline, "skipped")
            return
        try:
            record = encode(entry, self._codec.to_payload(entry.value), self._compression)  # type: ignore[union-attr]
        except Exception as error:  # noqa: BLE001  # a codec's own
            self._counts.write(entry.pipeline, "skipped")
            self._counts.warn("shared_value_not_stored", error, pipeline=entry.pipeline)
            return
        try:
            with self._counts.timed("set"):
                stored = self._send(entry, record)
        except Exception as error:  # noqa: BLE001  # fail open: the result is there, in memory
            self._counts.write(entry.pipeline, "error")
            self._link.note(error)
            return
        self._counts.write(entry.pipeline, "stored" if stored else "skipped")

    def _send(self, entry: TierEntry, record: bytes) -> bool:
        link = self._link
        seconds = min(max(entry.expires_at, entry.keep_until) - self._wall_clock(), _MOST_SECONDS)
        if seconds <= 0:
            return False
        answer = self._store(
            keys=[link.key("marks"), link.key("deleted"), link.key("result", entry.key)],
            args=[
                link.identity,
                entry.sequence,
                entry.key,
                entry.pipeline,
                json.dumps(entry.groups, ensure_ascii=False),
                max(1, int(seconds * 1000)),
                record,
            ],
        )
        if answer == scripts.OTHER_MARKS:
            raise OtherMarksError
        return bool(answer)

    # --- invalidating

    def announce(self, invalidation: Invalidation) -> None:
        """See `Tier.announce`. The server does not answer with what it concerns from now on."""
        self._link.announce(invalidation)

    def invalidate(self, invalidation: Invalidation) -> Callable[[], bool]:
        """See `Tier.invalidate`."""
        if not self._link.take_announced(invalidation):
            self._link.send_later(invalidation)
            self._queue.wake()
        return lambda: False

    def position(self) -> str:
        """See `Tier.position`. What is there is past all invalidations."""
        return ""

    def keep_position(self, text: str) -> None:
        """See `Tier.keep_position`."""

    def register(self, pipeline: str) -> None:
        """See `Tier.register`."""
        self._counts.register(pipeline)

    # --- its figures, and its end

    def stats(self) -> TierStats:
        """See `Tier.stats`. What the server holds is not known: others hold things there, too."""
        counts = self._counts
        return TierStats(
            name="shared",
            up=self._link.is_up,
            entries=None,
            bytes=None,
            limit_bytes=None,
            queue_bytes=self._queue.bytes,
            lookups=counts.lookups(),
            writes=counts.writes(),
            evictions=counts.evictions,
            corrupt=counts.corrupt,
            operations=counts.operations(),
            invalidation_lag=counts.invalidation_lag(),
        )

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was submitted is stored; whether that was within `timeout` seconds."""
        return self._queue.wait_until_idle(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """See `Tier.close`."""
        self._closing.set()
        self._queue.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.join(timeout)
        self._link.close(timeout)
        self._pool.shutdown(wait=False)
        return self._queue.is_idle

    def __enter__(self) -> SharedTier:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SharedTier {self._url}>"

    def forget(self) -> None:
        """In a child that was forked: the connections are the parent's."""
        self._link.forget()
        self._writer = None
        self._queue.begin_after_fork()
        self._counts.begin_after_fork()


_lifetimes = Lifetimes()
