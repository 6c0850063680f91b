"""The ghost list: a bounded memory of what left the cache, and why.

A table of 64-bit words in sets of four: a key's hash picks the set, and the word keeps the rest of the hash and the
reason. A set that is full forgets its oldest. So the memory is fixed, look-ups are O(1), and a reason is remembered
for about as many keys as the table has words. Two keys are confused with a probability of 2^-59 at most.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable

from recoup.cache.stats import MissReason

_WAYS = 4
_REASONS: tuple[MissReason, ...] = ("expired", "evicted", "invalidated", "too_large", "uncacheable")
_CODES: dict[MissReason, int] = {reason: code for code, reason in enumerate(_REASONS, start=1)}
_REASON_BITS = 3
_REASON_MASK = (1 << _REASON_BITS) - 1
_TAG = ~_REASON_MASK
_WORDS_PER_ENTRY = 2
_MIN_WORDS = 4096
_MAX_WORDS = 2**20

#: Bytes of this memory for each entry of the cache's limit, within the table's bounds.
BYTES_PER_ENTRY = 8 * _WORDS_PER_ENTRY


class GhostList:
    """What left and why. Not safe under threads by itself: its owner holds a lock.

    Args:
        max_size: The cache's limit of entries. The table has two words for each, from 2^12 to 2^20 of them.
    """

    __slots__ = ("_mask", "_words")

    def __init__(self, max_size: int) -> None:
        wanted = min(max(max_size * _WORDS_PER_ENTRY, _MIN_WORDS), _MAX_WORDS)
        words = 1 << (wanted - 1).bit_length()
        self._words = array("q", bytes(8 * words))
        self._mask = words // _WAYS - 1

    def grown(self, max_size: int) -> GhostList:
        """A memory for another limit of entries, with all that is remembered; itself where it is large enough."""
        other = GhostList(max_size)
        if len(other._words) <= len(self._words):
            return self
        known = _REASON_MASK
        # Oldest first; the bits of the hash that the reason took the place of are those of the set.
        for way in reversed(range(_WAYS)):
            for place, word in enumerate(self._words[way::_WAYS]):
                if word:
                    start = (((word & ~known) | (place & known)) & other._mask) * _WAYS
                    words = other._words
                    words[start + 1 : start + _WAYS] = words[start : start + _WAYS - 1]
                    words[start] = word
        return other

    def note(self, key: Hashable, reason: MissReason) -> None:
        """Remember that a key left, as its set's newest."""
        self.take(key)
        self.push(key, reason)

    def push(self, key: Hashable, reason: MissReason) -> None:
        """`note`, for a key that is not remembered: whatever is in the cache was taken from here when it came."""
        # The hash of a tuple spreads close hashes (small integers hash to themselves), at the speed of C.
        spread = hash((key,))
        start = (spread & self._mask) * _WAYS
        words = self._words
        words[start + 1 : start + _WAYS] = words[start : start + _WAYS - 1]
        words[start] = spread & _TAG | _CODES[reason]

    def reason(self, key: Hashable) -> MissReason | None:
        """Why a key left; None when it never did, or that was forgotten."""
        spread = hash((key,))
        start = (spread & self._mask) * _WAYS
        tag = spread & _TAG
        for word in self._words[start : start + _WAYS]:
            if word & _TAG == tag and word:
                return _REASONS[(word & _REASON_MASK) - 1]
        return None

    def take(self, key: Hashable) -> MissReason | None:
        """Why a key left, which is forgotten: it is back."""
        # Every write of a new key comes here, and finds nothing, mostly. A word of this tag is a reason more than it.
        spread = hash((key,))
        start = (spread & self._mask) * _WAYS
        tag = spread & _TAG
        words = self._words
        first, second, third, fourth = words[start : start + _WAYS]
        limit = tag + _REASON_MASK
        if tag < first <= limit:
            word, index = first, start
        elif tag < second <= limit:
            word, index = second, start + 1
        elif tag < third <= limit:
            word, index = third, start + 2
        elif tag < fourth <= limit:
            word, index = fourth, start + 3
        else:
            return None
        end = start + _WAYS
        words[index : end - 1] = words[index + 1 : end]
        words[end - 1] = 0
        return _REASONS[(word & _REASON_MASK) - 1]

    def clear(self) -> None:
        """Forget everything."""
        self._words = array("q", bytes(8 * len(self._words)))
