"""S3-FIFO: three queues, first in, first out.

Yang, Zhang, Qiu, Yue and Rashmi: FIFO queues are all you need for cache eviction. SOSP 2023,
https://doi.org/10.1145/3600006.3613147. A tenth of the room is a small queue, which new entries pass through: those
that are read twice meanwhile go on to the main queue, all others leave and are remembered. One that comes back while
it is remembered goes to the main queue at once. That one gives each entry as many further rounds as it was read, at
most three.

Where the publication leaves a choice, it is that of its authors' simulator libCacheSim (`S3FIFO.c`): while the cache
fills, only the first tenth is in the small queue, and room is made before the new entry takes its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from recoup.cache.policies.rings import HASH_BYTES, Ring, after, chain, first_of

#: Of what is held: the share of the small queue, in tenths; and of what is remembered.
_SMALL_TENTHS: Final = 1
_GHOST_TENTHS: Final = 9
#: Reads in the small queue from which on an entry goes to the main one.
_PROMOTED_READS: Final = 2

# An entry's rank: its reads, at most three, and whether it is in the main queue.
_READS: Final = 3
_MAIN: Final = 4

#: Bytes for one entry beside its own: what is remembered of nine tenths as many that left. That is a slot of a
#: dictionary, a hash, its number, and the place in the queue.
ENTRY_BYTES: Final = (56 + HASH_BYTES + 32 + 16) * _GHOST_TENTHS // 10


class GhostQueue:
    """The hashes of the keys that left last, first in, first out."""

    __slots__ = ("_numbers", "_pushed", "_queue")

    def __init__(self) -> None:
        self._queue: deque[int] = deque()
        self._numbers: dict[int, int] = {}
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def push(self, key_hash: int, most: int) -> None:
        """Remember a key, and forget the oldest ones past `most`."""
        numbers, queue = self._numbers, self._queue
        numbers[key_hash] = self._pushed
        queue.append(key_hash)
        self._pushed += 1
        while len(numbers) > most:
            number = self._pushed - len(queue)
            oldest = queue.popleft()
            if numbers.get(oldest) == number:
                del numbers[oldest]
        # Places of what was taken since, which are skipped only once they are the oldest.
        while queue and numbers.get(queue[0]) != self._pushed - len(queue):
            queue.popleft()
        if len(queue) > 2 * len(numbers) + 64:
            self._compact()

    def take(self, key_hash: int) -> bool:
        """Whether a key is remembered; it is forgotten."""
        return self._numbers.pop(key_hash, None) is not None

    def _compact(self) -> None:
        # A dictionary keeps the order in which its keys came, but not when one that is in comes again.
        self._queue = deque(sorted(self._numbers, key=self._numbers.__getitem__))
        first = self._pushed - len(self._queue)
        self._numbers = {key_hash: first + place for place, key_hash in enumerate(self._queue)}


class S3FIFOOrder:
    """Entries in a small and a main queue. See `Order`.

    `victim` takes O(1) amortised: it passes over an entry once for each of its reads, at most three times.
    """

    __slots__ = ("_chosen", "_chosen_by_bytes", "_full", "_ghosts", "_main", "_newcomer", "_small")

    def __init__(self) -> None:
        self._small = Ring()
        self._main = Ring()
        chain((self._small, self._main))
        self._ghosts = GhostQueue()
        #: The entry that came last. Room is made for it before it takes its place in a queue.
        self._newcomer: Any = None
        #: What `victim` gave last.
        self._chosen: Any = None
        self._chosen_by_bytes = False
        #: Whether anything was to be evicted yet.
        self._full = False

    def insert(self, entry: Any) -> None:
        """Take an entry in, which is not in."""
        if self._newcomer is not None:
            self._settle()
        entry.rank = _MAIN if self._ghosts.take(hash(entry.key)) else 0
        entry.newer = entry.older = entry
        self._newcomer = entry
        self._chosen = None

    def _settle(self) -> None:
        """Give the newcomer its place."""
        entry, self._newcomer = self._newcomer, None
        small, main = self._small, self._main
        if entry.rank & _MAIN and self._full:
            main.push(entry)
        elif self._full:
            small.push(entry)
        else:
            entry.rank |= _MAIN
            main.push(entry)
            # The first tenth of what came while there was room.
            while small.entries < _SMALL_TENTHS * (small.entries + main.entries) // 10:
                oldest = main.oldest()
                main.unlink(oldest)
                oldest.rank &= _READS
                small.push(oldest)

    def touch(self, reads: Mapping[Any, int]) -> None:
        """Count the reads of entries, of each at most three."""
        self._chosen = None
        for entry, count in reads.items():
            if entry.newer is None:
                continue  # removed since it was read
            rank = entry.rank
            most = _READS - (rank & _READS)
            if most:
                entry.rank = rank + (count if count < most else most)

    def victim(self, by_bytes: bool = False) -> Any:
        """The oldest of the small queue that was not read twice; of the main queue, where that has too much."""
        if self._chosen is not None and self._chosen_by_bytes is by_bytes:
            return self._chosen
        small, main = self._small, self._main
        if main.entries or small.entries:
            self._full = True
        entry = None
        while entry is None and (main.entries or small.entries):
            in_small, in_main = small.weight(by_bytes), main.weight(by_bytes)
            share = _SMALL_TENTHS * (in_small + in_main) // 10
            entry = self._from_small() if small.entries and in_small >= share else self._from_main()
        self._chosen = self._newcomer if entry is None else entry
        self._chosen_by_bytes = by_bytes
        return self._chosen

    def _from_small(self) -> Any:
        small, main = self._small, self._main
        while True:
            entry = small.oldest()
            if entry is None or entry.rank < _PROMOTED_READS:
                return entry
            small.unlink(entry)
            entry.rank = _MAIN
            main.push(entry)

    def _from_main(self) -> Any:
        main = self._main
        while True:
            entry = main.oldest()
            if entry is None or entry.rank == _MAIN:
                return entry
            main.renew(entry)
            entry.rank -= 1

    def first(self) -> Any:
        """The first entry of a walk: that of the small queue, then of the main one, then the newcomer."""
        entry = first_of(self._small)
        return self._newcomer if entry is None else entry

    def after(self, entry: Any) -> Any:
        """The next entry of a walk."""
        if entry is self._newcomer:
            return None
        following = after(entry)
        return self._newcomer if following is None else following

    def remove(self, entry: Any) -> None:
        """Let an entry go, and remember it where it is evicted from the small queue."""
        chosen, self._chosen = self._chosen, None
        if entry is self._newcomer:
            self._newcomer = entry.newer = entry.older = None
            return
        small, main = self._small, self._main
        if entry is chosen and not entry.rank & _MAIN:
            self._ghosts.push(hash(entry.key), _GHOST_TENTHS * (small.entries + main.entries) // 10)
        (main if entry.rank & _MAIN else small).unlink(entry)

    def replace(self, old: Any, entry: Any) -> None:
        """Let an entry go, and take the one that has its key now in, as the newcomer. It counts as a read."""
        rank = old.rank
        self.remove(old)
        if self._newcomer is not None:
            self._settle()
        entry.rank = rank if rank & _READS == _READS else rank + 1
        entry.newer = entry.older = entry
        self._newcomer = entry

    def grew(self, entry: Any, more: int) -> None:
        """Note that an entry takes more bytes."""
        if entry is not self._newcomer:
            (self._main if entry.rank & _MAIN else self._small).size_bytes += more

    def newest_first(self) -> Iterator[Any]:
        """All entries: the newcomer, those of the main queue, those of the small one."""
        if self._newcomer is not None:
            yield self._newcomer
        yield from self._main.newest_first()
        yield from self._small.newest_first()
