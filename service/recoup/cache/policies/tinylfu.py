"""W-TinyLFU: a window of new entries before a main part that admits only what is asked for more often.

Einziger, Friedman and Manes: TinyLFU: A highly efficient cache admission policy. ACM Transactions on Storage 13:4,
2017, https://doi.org/10.1145/3149371. The window's size adapts itself by hill climbing: Einziger, Eytan, Friedman and
Manes: Adaptive software cache management. Middleware 2018, https://doi.org/10.1145/3274808.3274816. Shares and steps
are those of Caffeine (`BoundedLocalCache`).

The counts of entries that are held are in the entries; those of all other keys in a sketch. So a hit touches no sketch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from recoup.cache.policies.rings import Ring, after, chain, first_of
from recoup.cache.policies.sketch import COUNTERS_PER_ENTRY, MOST, FrequencySketch

# An entry's rank: its segment, its count, and the epoch that the count is of.
_WINDOW: Final = 0
_PROBATION: Final = 1
_PROTECTED: Final = 2
_SEGMENT: Final = 3
_COUNT_SHIFT: Final = 2
_COUNT: Final = MOST << _COUNT_SHIFT
_EPOCH_SHIFT: Final = 6

#: The window's share of all, to begin with and at least; and at most.
_LEAST_WINDOW: Final = 0.01
_MOST_WINDOW: Final = 0.8
#: The protected segment's share of the main part.
_PROTECTED_SHARE: Final = 0.8
#: All counts are halved after so many requests for each entry that is held; the window is looked at as often.
_PERIOD: Final = 10
#: By how much the window grows or shrinks at first, how that decays, and the change of the hit ratio to begin anew at.
_STEP: Final = 0.0625
_DECAY: Final = 0.98
_RESTART: Final = 0.05
#: Entries that one insertion moves to another segment at most, where the window has shrunk or grown.
_MOVED: Final = 4

#: Bytes for one entry beside its own: its share of the sketch, and its rank.
ENTRY_BYTES: Final = 2 * COUNTERS_PER_ENTRY + 32


class TinyLFUOrder:
    """Entries in a window, a probationary and a protected segment. See `Order`.

    Args:
        adaptive: Whether the window's size follows the hit ratio.
    """

    def __init__(self, adaptive: bool = True) -> None:
        self._window, self._probation, self._protected = Ring(), Ring(), Ring()
        self._segments = (self._window, self._probation, self._protected)
        chain(self._segments)
        self._sketch = FrequencySketch()
        self._by_bytes = False
        #: What left the window last, until it was held against an entry of the main part.
        self._candidate: Any = None
        self._chosen: Any = None
        self._requests = 0
        self._adaptive = adaptive
        self._window_share = _LEAST_WINDOW
        self._climb = -_STEP
        self._hits = self._misses = 0
        self._hit_ratio = 0.0

    # --- counts

    def _count_of(self, entry: Any) -> int:
        """How often an entry was asked for lately."""
        rank: int = entry.rank
        return (rank & _COUNT) >> _COUNT_SHIFT >> min(self._sketch.epoch - (rank >> _EPOCH_SHIFT), MOST)

    def _set_rank(self, entry: Any, segment: int, count: int) -> None:
        entry.rank = self._sketch.epoch << _EPOCH_SHIFT | min(count, MOST) << _COUNT_SHIFT | segment

    def _entries(self) -> int:
        return self._window.entries + self._probation.entries + self._protected.entries

    def _note_requests(self, requests: int) -> None:
        self._requests += requests
        entries = self._entries()
        if self._requests >= _PERIOD * entries > 0:
            self._requests //= 2
            self._sketch.epoch += 1

    # --- the segments

    def _limits(self) -> tuple[int, int]:
        """What the window and the protected segment may hold, in bytes or entries."""
        by_bytes = self._by_bytes
        total = self._window.weight(by_bytes) + self._probation.weight(by_bytes) + self._protected.weight(by_bytes)
        window = max(1, int(total * self._window_share))
        return window, int(_PROTECTED_SHARE * (total - window))

    def _move(self, entry: Any, segment: int) -> None:
        self._segments[entry.rank & _SEGMENT].unlink(entry)
        entry.rank = entry.rank & ~_SEGMENT | segment
        self._segments[segment].push(entry)

    def insert(self, entry: Any) -> None:
        """Take an entry in, into the window."""
        self._chosen = None
        sketch = self._sketch
        sketch.grow(self._entries() + 1)
        self._misses += 1
        self._note_requests(1)
        self._set_rank(entry, _WINDOW, sketch.estimate(hash(entry.key)) + 1)
        self._window.push(entry)
        self._adapt()
        self._balance()

    def _balance(self) -> None:
        """Move a few entries to where they belong, as the segments' limits are now."""
        window, probation, protected = self._segments
        by_bytes = self._by_bytes
        most_window, most_protected = self._limits()
        for _ in range(_MOVED):
            # The newest entry stays in the window, however large it is.
            if window.entries > 1 and window.weight(by_bytes) > most_window:
                self._candidate = window.oldest()
                self._move(self._candidate, _PROBATION)
            else:
                break
        for _ in range(_MOVED):
            if protected.weight(by_bytes) <= most_protected:
                break
            self._demote()
        if self._adaptive and self._window_share > _LEAST_WINDOW:
            for _ in range(_MOVED):
                # A window that has grown takes from probation what was asked for last.
                newest = probation.ends.older
                if newest is probation.ends or newest is self._candidate:
                    break
                if window.weight(by_bytes) + (newest.size_bytes if by_bytes else 1) > most_window:
                    break
                self._move(newest, _WINDOW)

    def _demote(self) -> None:
        self._move(self._protected.oldest(), _PROBATION)

    def touch(self, reads: Mapping[Any, int]) -> None:
        """Count the reads of entries, and move them to the newest end of their segments."""
        self._chosen = None
        epoch = self._sketch.epoch
        ends_of = [segment.ends for segment in self._segments]
        promoted = False
        hits = 0
        # Oldest first. No call for an entry that stays in its segment: this is what a hit costs.
        for entry, count in reversed(cast(dict[Any, int], reads).items()):
            newer = entry.newer
            if newer is None:
                continue  # removed since it was read
            hits += count
            rank = entry.rank
            if rank >> _EPOCH_SHIFT != epoch:
                rank = epoch << _EPOCH_SHIFT | self._count_of(entry) << _COUNT_SHIFT | rank & _SEGMENT
            more = count << _COUNT_SHIFT
            rank = rank + more if (rank & _COUNT) + more <= _COUNT else rank | _COUNT
            segment = rank & _SEGMENT
            if segment == _PROBATION:
                self._probation.unlink(entry)
                self._protected.push(entry)
                rank += _PROTECTED - _PROBATION
                promoted = True
            else:
                ends = ends_of[segment]
                if newer is not ends:
                    older = entry.older
                    older.newer = newer
                    newer.older = older
                    newest = ends.older
                    entry.older = newest
                    entry.newer = ends
                    newest.newer = ends.older = entry
            entry.rank = rank
        self._hits += hits
        self._note_requests(hits)
        if promoted:
            most = self._limits()[1]
            while self._protected.weight(self._by_bytes) > most:
                self._demote()

    # --- eviction

    def victim(self, by_bytes: bool = False) -> Any:
        """Of what left the window last and the oldest of the main part, the one that was asked for less often."""
        self._by_bytes = by_bytes
        if self._chosen is not None:
            return self._chosen
        oldest = self._probation.oldest() or self._protected.oldest() or self._window.oldest()
        candidate = self._candidate
        if candidate is not None and candidate.rank & _SEGMENT != _PROBATION:
            candidate = self._candidate = None  # it was asked for since
        if candidate is not None and candidate is not oldest and self._count_of(candidate) <= self._count_of(oldest):
            oldest = candidate
        self._chosen = oldest
        return oldest

    def remove(self, entry: Any) -> None:
        """Let an entry go, and remember how often it was asked for."""
        if entry is self._chosen:
            self._candidate = None  # it has been held against another, whichever of them this is
        elif entry is self._candidate:
            self._candidate = None
        self._chosen = None
        self._sketch.note(hash(entry.key), self._count_of(entry))
        self._segments[entry.rank & _SEGMENT].unlink(entry)

    def replace(self, old: Any, entry: Any) -> None:
        """Put an entry in the place of the one that had its key. It counts as a read."""
        self._chosen = None
        if old is self._candidate:
            self._candidate = entry
        entry.rank = old.rank
        self._segments[old.rank & _SEGMENT].swap(old, entry)
        self.touch({entry: 1})

    def grew(self, entry: Any, more: int) -> None:
        """Note that an entry takes more bytes."""
        self._segments[entry.rank & _SEGMENT].size_bytes += more

    # --- the window's size

    def _adapt(self) -> None:
        """Once in a period, go on in the direction in which the hit ratio rose, else turn round."""
        requests = self._hits + self._misses
        if not self._adaptive or requests < _PERIOD * self._entries():
            return
        hit_ratio = self._hits / requests
        change = hit_ratio - self._hit_ratio
        amount = self._climb if change >= 0 else -self._climb
        self._climb = math.copysign(_STEP, amount) if abs(change) >= _RESTART else _DECAY * amount
        self._window_share = min(max(self._window_share + amount, _LEAST_WINDOW), _MOST_WINDOW)
        self._hit_ratio = hit_ratio
        self._hits = self._misses = 0

    # --- walks

    def first(self) -> Any:
        """The first entry of a walk: that of the window, of probation, of the protected segment."""
        return first_of(self._window)

    def after(self, entry: Any) -> Any:
        """The next entry of a walk."""
        return after(entry)

    def newest_first(self) -> Iterator[Any]:
        """All entries: the protected ones, those of the window, those on probation."""
        for ring in (self._protected, self._window, self._probation):
            yield from ring.newest_first()
