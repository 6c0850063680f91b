"""A tier in a dictionary, which a test can hold up and let fail: what a cache makes of tiers, without any disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recoup.cache.stats import TierName
from recoup.cache.tier import Invalidation, PayloadCodec, TierEntry, TierStats

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

    def __init__(self, name: TierName = "disk") -> None:
        self._name = name
        self.held: dict[str, TierEntry] = {}
        self.reads: list[str] = []
        self.invalidations: list[Invalidation] = []
        self.entered, self.leave = threading.Event(), threading.Event()
        self.leave.set()
        self.error: Exception | None = None
        self.pipelines: list[str] = []
        self.opened = self.closed = 0
        self._codec: PayloadCodec | None = None

    @property
    def name(self) -> TierName:
        return self._name

    def open(self, codec: PayloadCodec) -> None:
        self.opened += 1
        self._codec = codec

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def get(self, key: str, pipeline: str) -> TierEntry | None:
        self.reads.append(key)
        self._fail()
        held = self.held.get(key)
        self.entered.set()
        assert self.leave.wait(TIME_LIMIT)
        assert self._codec is not None
        return None if held is None else replace(held, value=bytes(bytearray(held.value)))

    async def aget(self, key: str, pipeline: str) -> TierEntry | None:
        return await asyncio.to_thread(self.get, key, pipeline)

    def submit(self, entry: TierEntry) -> None:
        self._fail()
        self.held[entry.key] = entry

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

    def register(self, pipeline: str) -> None:
        self.pipelines.append(pipeline)

    def stats(self) -> TierStats:
        self._fail()
        nothing: dict[Any, Any] = {}
        return TierStats(self.name, True, len(self.held), 0, 1, 0, nothing, nothing, 0, 0, nothing)

    def close(self, timeout: float | None = None) -> bool:
        self._fail()
        self.closed += 1
        return True
