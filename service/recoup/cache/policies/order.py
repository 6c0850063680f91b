"""What the store asks of a policy: the order in which entries are evicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Order(Protocol):
    """The order of eviction of the entries that a store holds. Everything in it runs under the cache's lock.

    It takes O(1), but for `newest_first`, and for what a policy's own docstring says. An order knows nothing of
    limits and times. Of an entry it reads `key`, `size_bytes` and `cost_seconds`. It may use the attributes `newer`,
    `older` and `rank` of the entries that it holds; the first two are None while it does not hold an entry. So the
    cache's own entries have an order, and the small ones of a simulation.
    """

    def insert(self, entry: Any) -> None:
        """Take an entry in, which is not in."""

    def touch(self, reads: Mapping[Any, int]) -> None:
        """Note the reads since the last call: how many of each entry, the entry that was read last first.

        O(entries). An entry that has been removed meanwhile is passed over.
        """

    def victim(self, by_bytes: bool = False) -> Any:
        """The entry to evict next; it stays in until it is removed, and is the same until something else changes.

        Args:
            by_bytes: Whether bytes are short; False: entries are. Where a policy divides the room, it is by these.

        Returns:
            None when there is none.
        """

    def first(self) -> Any:
        """The first entry of a walk with `after`, which comes to all entries; None when there is none."""

    def after(self, entry: Any) -> Any:
        """The next entry of a walk, as things are now; None when this is the last. It must be in."""

    def remove(self, entry: Any) -> None:
        """Let an entry go, which is in."""

    def replace(self, old: Any, entry: Any) -> None:
        """Let an entry go, which is in, and take the one that has its key now in."""

    def grew(self, entry: Any, more: int) -> None:
        """Note that an entry, which is in, takes more bytes than when it came."""

    def newest_first(self) -> Iterator[Any]:
        """All entries, the one to keep longest first; O(entries), and for `gdsf` O(entries log entries)."""
