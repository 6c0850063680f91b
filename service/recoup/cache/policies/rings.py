"""Queues of entries, linked by the entries' own attributes. What the policies that have several of them share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

#: Bytes of a 64-bit hash as an object, which a dictionary has as its key.
HASH_BYTES: Final = 32


class _Ends:
    """Both ends of a ring: `older` is its newest entry, `newer` its oldest."""

    __slots__ = ("following", "newer", "older")

    def __init__(self) -> None:
        self.newer: Any = self
        self.older: Any = self
        #: The ring that a walk goes on with.
        self.following: Ring | None = None


class Ring:
    """A queue of entries, from the oldest to the newest.

    Attributes:
        ends: Both ends.
        entries: How many there are.
        size_bytes: What they are accounted for.
    """

    __slots__ = ("ends", "entries", "size_bytes")

    def __init__(self) -> None:
        self.ends = _Ends()
        self.entries = 0
        self.size_bytes = 0

    def weight(self, by_bytes: bool) -> int:
        """Its bytes, or its entries."""
        return self.size_bytes if by_bytes else self.entries

    def push(self, entry: Any) -> None:
        """Take an entry in, as the newest."""
        ends = self.ends
        newest = ends.older
        entry.older = newest
        entry.newer = ends
        newest.newer = ends.older = entry
        self.entries += 1
        self.size_bytes += entry.size_bytes

    def unlink(self, entry: Any) -> None:
        """Let an entry go."""
        older, newer = entry.older, entry.newer
        older.newer = newer
        newer.older = older
        entry.newer = entry.older = None
        self.entries -= 1
        self.size_bytes -= entry.size_bytes

    def renew(self, entry: Any) -> None:
        """Make an entry that is in the newest."""
        ends = self.ends
        newer = entry.newer
        if newer is ends:
            return
        older = entry.older
        older.newer = newer
        newer.older = older
        newest = ends.older
        entry.older = newest
        entry.newer = ends
        newest.newer = ends.older = entry

    def swap(self, old: Any, entry: Any) -> None:
        """Put an entry in the place of another."""
        older, newer = old.older, old.newer
        entry.older, entry.newer = older, newer
        older.newer = newer.older = entry
        old.newer = old.older = None
        self.size_bytes += entry.size_bytes - old.size_bytes

    def oldest(self) -> Any:
        """The oldest entry; None when there is none."""
        oldest = self.ends.newer
        return None if oldest is self.ends else oldest

    def newest_first(self) -> Iterator[Any]:
        """All entries, the newest first."""
        entry = self.ends.older
        while entry is not self.ends:
            yield entry
            entry = entry.older


def chain(rings: Sequence[Ring]) -> None:
    """Have a walk go through rings, one after the other."""
    for ring, following in itertools.pairwise(rings):
        ring.ends.following = following


def first_of(ring: Ring | None) -> Any:
    """The oldest entry of the first ring of a chain that has one; None where none has."""
    while ring is not None:
        oldest = ring.ends.newer
        if oldest is not ring.ends:
            return oldest
        ring = ring.ends.following
    return None


def after(entry: Any) -> Any:
    """The next entry of a walk through a chain; None when this is the last."""
    newer = entry.newer
    return first_of(newer.following) if type(newer) is _Ends else newer
