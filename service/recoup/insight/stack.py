"""LRU at all scales at once: the distance in the stack of recency says at which sizes a lookup is a hit.

Mattson, Gecsei, Slutz and Traiger: Evaluation techniques for storage hierarchies. IBM Systems Journal 9:2, 1970. The
distances are sums in a binary indexed tree over the times of use (Fenwick, Software: Practice and Experience 24:3,
1994), of entries and bytes together: one number has both. On a sample of the keys the distance stands for that of
all: Waldspurger, Park, Garthwaite and Ahmad: Efficient MRC construction with SHARDS. USENIX FAST 2015.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

#: The lower bits of a sum count entries, the upper ones bytes.
_COUNT_BITS: Final = 24
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1
_FEWEST_SLOTS: Final = 4096
#: Stores after which the tail of the stack is cut again.
_CUT_EVERY: Final = 256


class _Key:
    __slots__ = ("cost", "expires", "size", "slot")

    def __init__(self, slot: int, size: int, cost: float, expires: list[float]) -> None:
        self.slot = slot
        self.size = size
        self.cost = cost
        #: When it expires, at each scale: at a larger one it was generated earlier.
        self.expires = expires


class LRUStack:
    """The keys of a sample by the time of their last use.

    Args:
        limits: Of each scale, the entries and bytes that a cache may hold.
        share: The share of all keys that is sampled.

    Attributes:
        hits: By scale, weighted lookups that were hits.
        recouped: By scale, weighted seconds that these recouped.
    """

    def __init__(self, limits: Sequence[tuple[int, int]], share: float) -> None:
        self._limits = list(limits)
        self._share = share
        self._keys: dict[int, _Key] = {}
        self._slots = _FEWEST_SLOTS
        self._tree = [0] * (self._slots + 1)
        self._at_slot: list[int | None] = [None] * (self._slots + 1)
        self._next = 1
        self._total = 0
        self._stores = 0
        #: Nothing has expired before.
        self._soonest = math.inf
        #: Below it, no slot has a key.
        self._oldest = 1
        self.hits = [0.0] * len(self._limits)
        self.recouped = [0.0] * len(self._limits)

    def __len__(self) -> int:
        return len(self._keys)

    def resample(self, share: float, limits: Sequence[tuple[int, int]], keeps: Any) -> None:
        """Go on with a smaller share, or other limits: keys that `keeps` refuses are dropped."""
        self._share = share
        self._limits = list(limits)
        for key_hash in [key_hash for key_hash in self._keys if not keeps(key_hash)]:
            self._drop(key_hash)

    def lookup(self, key_hash: int, at: float, weight: float) -> None:
        """Count one lookup of a key."""
        key = self._keys.get(key_hash)
        if key is None:
            return
        above = self._total - self._sum(key.slot)
        entries = (above & _COUNT_MASK) / self._share + 1
        size = (above >> _COUNT_BITS) / self._share + key.size
        lives = False
        for scale, (max_entries, max_bytes) in enumerate(self._limits):
            if entries <= max_entries and size <= max_bytes and at < key.expires[scale]:
                self.hits[scale] += weight
                self.recouped[scale] += weight * key.cost
                lives = True
            else:
                key.expires[scale] = -math.inf  # it is not there until it is stored again
        if lives:
            self._move_up(key_hash, key)

    def store(self, key_hash: int, at: float, size: int, cost: float, ttl: float) -> None:
        """Note that a key was stored, at every scale at which it is not."""
        self._stores += 1
        if self._stores % _CUT_EVERY == 0:
            self._cut(at)
        expires_at = at + ttl
        self._soonest = min(self._soonest, expires_at)
        key = self._keys.get(key_hash)
        if key is None:
            key = self._keys[key_hash] = _Key(0, size, cost, [expires_at] * len(self._limits))
            self._place(key_hash, key)
            return
        key.expires = [expires if at < expires else expires_at for expires in key.expires]
        key.cost = cost
        self._take(key)
        key.size = size
        self._place(key_hash, key)

    # --- the tree

    def _weight(self, key: _Key) -> int:
        return key.size << _COUNT_BITS | 1

    def _sum(self, slot: int) -> int:
        tree, total = self._tree, 0
        while slot:
            total += tree[slot]
            slot &= slot - 1
        return total

    def _add(self, slot: int, weight: int) -> None:
        tree, slots = self._tree, self._slots
        while slot <= slots:
            tree[slot] += weight
            slot += slot & -slot

    def _take(self, key: _Key) -> None:
        weight = self._weight(key)
        self._add(key.slot, -weight)
        self._at_slot[key.slot] = None
        self._total -= weight

    def _place(self, key_hash: int, key: _Key) -> None:
        if self._next > self._slots:
            self._compact()
        key.slot = self._next
        self._next += 1
        weight = self._weight(key)
        self._add(key.slot, weight)
        self._at_slot[key.slot] = key_hash
        self._total += weight

    def _move_up(self, key_hash: int, key: _Key) -> None:
        if key.slot + 1 < self._next:
            self._take(key)
            self._place(key_hash, key)

    def _drop(self, key_hash: int) -> None:
        key = self._keys.pop(key_hash)
        if self._at_slot[key.slot] == key_hash:
            self._take(key)

    def _compact(self) -> None:
        """Number the times of use anew, in their order; O(keys), each time that as many lookups have passed."""
        order = [key_hash for key_hash in self._at_slot if key_hash is not None]
        self._slots = max(_FEWEST_SLOTS, 1 << (2 * len(order)).bit_length())
        self._tree = [0] * (self._slots + 1)
        self._at_slot = [None] * (self._slots + 1)
        self._next = self._oldest = 1
        self._total = 0
        for key_hash in order:
            self._place(key_hash, self._keys[key_hash])

    def _cut(self, at: float) -> None:
        """Drop what no scale can have any more: the oldest keys beyond the largest limits, and what has expired."""
        max_entries, max_bytes = self._limits[-1]
        while self._oldest < self._next:
            key_hash = self._at_slot[self._oldest]
            if key_hash is not None:
                entries = (self._total & _COUNT_MASK) - 1
                size = (self._total >> _COUNT_BITS) - self._keys[key_hash].size
                if entries / self._share < max_entries and size / self._share < max_bytes:
                    break
                self._drop(key_hash)
            self._oldest += 1
        if at >= self._soonest:
            expired = [key_hash for key_hash, key in self._keys.items() if max(key.expires) <= at]
            for key_hash in expired:
                self._drop(key_hash)
