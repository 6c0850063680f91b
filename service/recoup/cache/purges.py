"""Purges: what becomes of the entries whose groups were purged, at once or a few at a time."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from itertools import repeat
from typing import TYPE_CHECKING, Any

from recoup.cache.entry import CacheEntry

if TYPE_CHECKING:
    from recoup.cache.store import Store

#: Members of purged groups that are let go at once.
_SETTLED_AT_ONCE = 512

Entry = CacheEntry[Any]


class Purges:
    """The purges of a store's groups. Everything here runs under the cache's lock.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups = store.groups

    def find(self, key: Hashable, now: float) -> Entry | None:
        """The entry of a key, expired or not; not one that was purged."""
        entry = self._store.live.get(key)
        if self._groups.pending and entry is not None and not self.settle(entry, now):
            return None
        return entry

    def purge(self, names: Collection[str], pipeline: str | None, now: float, *, soft: bool) -> list[Entry]:
        """Purge groups: their members go, or expire where it is `soft`. The same time, however many there are.

        Returns:
            What went at once, so that it is dropped outside the lock.
        """
        gone: list[Entry] = []
        left = _SETTLED_AT_ONCE
        for group in self._groups.mark(names, pipeline, now, soft=soft):
            if group.unsettled or len(group) > left:
                self._groups.defer(group)
                continue
            left -= len(group)
            gone += [entry for entry in list(group) if not self.settle(entry, now)]
        return gone

    def settle(self, entry: Entry, now: float) -> bool:
        """Do with an entry what the purges of its groups say; whether it is still held."""
        membership = entry.membership
        if membership is None or not membership.is_purged():
            return True
        if membership.is_hard_purged():
            self._store.remove(entry, "purged", now)
            return False
        entry.expire(min(group.soft_at for group in membership.groups if group.soft_epoch > membership.epoch))
        membership.epoch = self._groups.epoch
        self._store.expects_expiry(entry)
        return True

    def settle_some(self, steps: int, now: float) -> list[Entry]:
        """Settle the next few members of purged groups; gives what went, so that it is dropped outside the lock."""
        gone: list[Entry] = []
        for _ in repeat(None, steps):
            entry = self._groups.next_unsettled()
            if entry is None:
                break
            if not self.settle(entry, now):
                gone.append(entry)
        return gone

    def settle_all(self, now: float) -> list[Entry]:
        """Settle all members of purged groups. O(members)."""
        return self.settle_some(sum(map(len, self._groups.pending)), now)
