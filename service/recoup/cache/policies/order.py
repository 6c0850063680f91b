"""What the store asks of a policy: the order in which entries are evicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from recoup.cache.entry import CacheEntry

Entry = CacheEntry[Any]


class Order(Protocol):
    """The order of eviction of the entries that a store holds. Everything in it runs under the cache's lock, in O(1).

    An order knows nothing of limits, times and counts. It may use the attributes `newer` and `older` of the entries
    that it holds; both are None while it does not hold an entry.
    """

    def insert(self, entry: Entry) -> None:
        """Take an entry in, which is not in."""

    def touch(self, reads: Mapping[Entry, int]) -> None:
        """Note the reads since the last call: how many of each entry, the entry that was read last first.

        O(entries). An entry that has been removed meanwhile is passed over.
        """

    def victim(self) -> Entry | None:
        """The entry to evict next; it stays in until it is removed. None when there is none."""

    def first(self) -> Entry | None:
        """The first entry of a walk with `after`, which comes to all entries; None when there is none."""

    def after(self, entry: Entry) -> Entry | None:
        """The next entry of a walk, as things are now; None when this is the last. It must be in."""

    def remove(self, entry: Entry) -> None:
        """Let an entry go, which is in."""

    def replace(self, old: Entry, entry: Entry) -> None:
        """Let an entry go, which is in, and take the one that has its key now in."""

    def newest_first(self) -> Iterator[Entry]:
        """All entries, the one to keep longest first."""
