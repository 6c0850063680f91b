"""Exact LRU: the entry that was stored or read longest ago goes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recoup.cache.entry import CacheEntry

Entry = CacheEntry[Any]


class LRUOrder:
    """Entries in a ring through both ends, linked by their own attributes. See `Order`."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        # `older` of the ends is the newest entry, `newer` the oldest.
        ends: Any = CacheEntry.__new__(CacheEntry)
        ends.newer = ends.older = ends
        self._ends: Any = ends

    def insert(self, entry: Entry) -> None:
        """Take an entry in, as the newest."""
        ends = self._ends
        newest = ends.older
        entry.older = newest
        entry.newer = ends
        newest.newer = ends.older = entry

    def touch(self, reads: Mapping[Entry, int]) -> None:
        """Move entries to the newest end. Only the last read of an entry decides its place."""
        place = self._ends
        entry: Any
        for entry in reads:
            newer = entry.newer
            if newer is None:
                continue  # removed since it was read
            if newer is not place:
                older = entry.older
                older.newer = newer
                newer.older = older
                older = place.older
                older.newer = place.older = entry
                entry.older = older
                entry.newer = place
            place = entry

    def victim(self, by_bytes: bool = False) -> Entry | None:
        """The oldest entry."""
        oldest: Entry = self._ends.newer
        return None if oldest is self._ends else oldest

    def first(self) -> Entry | None:
        """The oldest entry."""
        return self.victim()

    def after(self, entry: Entry) -> Entry | None:
        """The entry that was used next."""
        newer = entry.newer
        return None if newer is self._ends else newer

    def remove(self, entry: Entry) -> None:
        """Let an entry go."""
        older: Any = entry.older
        newer: Any = entry.newer
        older.newer = newer
        newer.older = older
        entry.newer = entry.older = None

    def replace(self, old: Entry, entry: Entry) -> None:
        """Let an entry go, and take the one that has its key in, as the newest."""
        older: Any = old.older
        newer: Any = old.newer
        older.newer = newer
        newer.older = older
        old.newer = old.older = None
        ends = self._ends
        newest = ends.older
        entry.older = newest
        entry.newer = ends
        newest.newer = ends.older = entry

    def grew(self, entry: Entry, more: int) -> None:
        """Nothing: no place depends on bytes."""

    def newest_first(self) -> Iterator[Entry]:
        """All entries, the one that was used last first."""
        entry = self._ends.older
        while entry is not self._ends:
            yield entry
            entry = entry.older
