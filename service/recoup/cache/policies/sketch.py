"""How often keys were asked for lately, of keys that are not held: a few bytes for each entry, whatever is asked for.

A counting Bloom filter with conservative updates, as TinyLFU has it (Einziger, Friedman and Manes, ACM Transactions on
Storage 13:4, 2017, https://doi.org/10.1145/3149371). The four counters of a key are in one block, as in Caffeine's
`FrequencySketch`: so a block ages by itself, when it is next looked at, and no pause halves all of them.
"""

from __future__ import annotations

from typing import Final

#: The highest count.
MOST: Final = 15
#: Counters of a block, one byte each.
_BLOCK: Final = 64
_BLOCK_BITS: Final = 6
#: Counters for each entry that is held.
COUNTERS_PER_ENTRY: Final = 8
_FEWEST_BLOCKS: Final = 16

#: How every counter is halved, by how many times: `bytes.translate` does it at the speed of C.
_HALVED: Final = tuple(bytes(value >> times for value in range(256)) for times in range(5))


class FrequencySketch:
    """Counts from 0 to 15 by the hash of a key, which may be too high and, between two halvings, never too low.

    Attributes:
        epoch: How many times all counts were halved.
    """

    __slots__ = ("_blocks", "_epochs", "_mask", "epoch")

    def __init__(self) -> None:
        self._mask = _FEWEST_BLOCKS - 1
        self._blocks = bytearray(_FEWEST_BLOCKS * _BLOCK)
        self._epochs = [0] * _FEWEST_BLOCKS
        self.epoch = 0

    def grow(self, entries: int) -> None:
        """Have room for so many entries. Counts stay: a key's block is chosen by the lower bits of its hash."""
        while len(self._blocks) < entries * COUNTERS_PER_ENTRY:
            self._blocks *= 2
            self._epochs *= 2
            self._mask = len(self._epochs) - 1

    def _places(self, key_hash: int) -> tuple[int, int, int, int]:
        """Where the counters of a key are, in a block of this epoch."""
        # Hashes of small integers are these integers: spread (the finaliser of MurmurHash3, in part).
        spread = (key_hash ^ (key_hash >> 33)) * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
        spread ^= spread >> 33
        block = spread & self._mask
        start = block << _BLOCK_BITS
        behind = self.epoch - self._epochs[block]
        if behind:
            blocks = self._blocks
            blocks[start : start + _BLOCK] = blocks[start : start + _BLOCK].translate(_HALVED[min(behind, 4)])
            self._epochs[block] = self.epoch
        return (
            start | (spread >> 36 & 15),
            start | 16 | (spread >> 42 & 15),
            start | 32 | (spread >> 48 & 15),
            start | 48 | (spread >> 54 & 15),
        )

    def estimate(self, key_hash: int) -> int:
        """The count of a key."""
        a, b, c, d = self._places(key_hash)
        blocks = self._blocks
        return min(blocks[a], blocks[b], blocks[c], blocks[d])

    def note(self, key_hash: int, count: int) -> None:
        """Have the count of a key be no less than this one."""
        blocks = self._blocks
        for place in self._places(key_hash):
            if blocks[place] < count:
                blocks[place] = count
