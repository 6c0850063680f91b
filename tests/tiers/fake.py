"""A tier in a dictionary, which a test can hold up and let fail: what a cache makes of tiers, without any disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

from recoup.cache.stats import TierName
from recoup.cache.tier import Invalidation, PayloadCodec, TierEntry, TierHost, TierStats
from recoup.tiers.counts import TierCounts

from .support import TIME_LIMIT


class DictTier:
    """Gives copies of values, so that what comes from it is told from what was in memory.

    Attributes:
        held: The results by key.
        reads: The keys that were read, in their order.
        entered: Set by a read that begins, where reads are held up.
        leave: Lets reads go on.
        error: Raised by whatever is called; None: nothing is.
    """

    def __init__(self, name: TierName = "disk", *, keeps: bool = True) -> None:
        self._name = name
        self._keeps = keeps
        self.counts = TierCounts(name)
        self.held: dict[str, TierEntry] = {}
        self.reads: list[str] = []
        self.announced: list[Invalidation] = []
        self.invalidations: list[Invalidation] = []
        self.entered, self.leave = threading.Event(), threading.Event()
        self.leave.set()
        self.error: Exception | None = None
        self.pipelines: list[str] = []
        self.opened = self.closed = 0
        self.kept_position = ""
        self._codec: PayloadCodec | None = None

    @property
    def name(self) -> TierName:
        return self._name

    def open(self, codec: PayloadCodec, host: TierHost) -> None:
        self.opened += 1
        self.host = host
        self._codec = codec

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def get(self, key: str, pipeline: str) -> TierEntry | None:
        self.reads.append(key)
        self._fail()
        held = self.held.get(key)
        self.counts.lookup(pipeline, "miss" if held is None else "hit")
        self.entered.set()
        assert self.leave.wait(TIME_LIMIT)
        assert self._codec is not None
        return None if held is None else replace(held, value=bytes(bytearray(held.value)))

    def peek(self, key: str) -> TierEntry | None:
        self._fail()
        return self.held.get(key)

    async def aget(self, key: str, pipeline: str) -> TierEntry | None:
        return await asyncio.to_thread(self.get, key, pipeline)

    def submit(self, entry: TierEntry) -> None:
        self._fail()
        if self._keeps:
            self.held[entry.key] = entry
        self.counts.write(entry.pipeline, "stored" if self._keeps else "skipped")

    def announce(self, invalidation: Invalidation) -> None:
        self._fail()
        self.announced.append(invalidation)

    def invalidate(self, invalidation: Invalidation) -> Callable[[], bool]:
        self._fail()
        self.invalidations.append(invalidation)
        gone = [key for key, entry in self.held.items() if self._is_meant(entry, invalidation)]
        for key in gone:
            if invalidation.soft:
                self.held[key] = replace(self.held[key], expires_at=invalidation.at)
            else:
                del self.held[key]
        return lambda: invalidation.key is not None and bool(gone)

    @staticmethod
    def _is_meant(entry: TierEntry, what: Invalidation) -> bool:
        if what.pipeline not in (None, entry.pipeline) or what.key not in (None, entry.key):
            return False
        return not what.groups or not set(what.groups).isdisjoint(entry.groups)

    def position(self) -> str:
        return self.kept_position

    def keep_position(self, text: str) -> None:
        self.kept_position = text

    def register(self, pipeline: str) -> None:
        self.pipelines.append(pipeline)
        self.counts.register(pipeline)

    def stats(self) -> TierStats:
        self._fail()
        counts = self.counts
        return TierStats(
            name=self.name,
            up=True,
            entries=len(self.held),
            bytes=sum(entry.size_bytes for entry in self.held.values()),
            limit_bytes=2**20,
            queue_bytes=0,
            lookups=counts.lookups(),
            writes=counts.writes(),
            evictions=counts.evictions,
            corrupt=counts.corrupt,
            operations=counts.operations(),
            invalidation_lag=counts.invalidation_lag(),
        )

    def close(self, timeout: float | None = None) -> bool:
        self._fail()
        self.closed += 1
        return True
