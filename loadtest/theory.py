"""What theory says of a cache: Zipf's popularity, the hit ratio of an exact LRU, the limit of the speed-up.

Two ways that share no line with each other, nor with the cache: Che's approximation, and a simulation. Standard library
only. Ratios are numbers from 0 to 1.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

#: Halvings of the interval in which the characteristic time lies: past the precision of a float.
_HALVINGS = 100


def zipf(catalogue: int, alpha: float) -> list[float]:
    """How probable each item of a catalogue is, the most popular first: the k-th in proportion to 1 / k ** alpha.

    Raises:
        ValueError: The catalogue is empty, or alpha negative.
    """
    if catalogue < 1 or not 0 <= alpha < math.inf:
        raise ValueError(f"a catalogue of {catalogue} items with alpha {alpha} has no popularity")
    weights = [rank**-alpha for rank in range(1, catalogue + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def characteristic_time(probabilities: Sequence[float], entries: int) -> float:
    """Requests until as many different items were asked for as the cache has entries, on average.

    Found by bisection: the expected number of different items grows with time.

    Raises:
        ValueError: The cache is empty, or holds every item: then nothing is ever evicted.
    """
    if not 0 < entries < sum(probability > 0 for probability in probabilities):
        raise ValueError(f"{entries} entries: expected more than none and fewer than the catalogue")
    low, high = 0.0, 1.0
    while _different(probabilities, high) < entries:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _different(probabilities, middle) < entries else (low, middle)
    return (low + high) / 2


def _different(probabilities: Sequence[float], time: float) -> float:
    return -math.fsum(math.expm1(-probability * time) for probability in probabilities)


def che(probabilities: Sequence[float], entries: int) -> float:
    """The hit ratio of an exact LRU in its steady state, by Che's approximation, for independent requests.

    An item is a hit when it was asked for within the characteristic time. H. Che, Y. Tung, Z. Wang: Hierarchical Web
    Caching Systems: Modeling, Design and Experimental Results. IEEE Journal on Selected Areas in Communications 20 (7),
    2002.

    Raises:
        ValueError: As `characteristic_time`.
    """
    time = characteristic_time(probabilities, entries)
    return -math.fsum(probability * math.expm1(-probability * time) for probability in probabilities)


class LRU(Generic[T]):
    """An exact LRU of so many entries, which holds no values: the order of an ordered dictionary is the recency."""

    def __init__(self, entries: int) -> None:
        if entries < 1:
            raise ValueError(f"{entries} entries: expected at least 1")
        self._entries = entries
        self._held: OrderedDict[T, None] = OrderedDict()

    def ask(self, item: T) -> bool:
        """Ask for an item, which is held afterwards; whether it was before."""
        hit = item in self._held
        self._held[item] = None
        self._held.move_to_end(item)
        if len(self._held) > self._entries:
            self._held.popitem(last=False)
        return hit

    def state(self) -> tuple[T, ...]:
        """What is held, the least recently used first."""
        return tuple(self._held)


def replay(sequence: Iterable[T], entries: int, warm: Iterable[T] = ()) -> list[bool]:
    """Which requests of a sequence hit, on a cache that was asked for the `warm` items before."""
    cache: LRU[T] = LRU(entries)
    for item in warm:
        cache.ask(item)
    return [cache.ask(item) for item in sequence]


def limit(hit_ratio: float) -> float:
    """The most that the mean speed-up can be: hits cost nothing, misses their generation; infinite at 1.

    Raises:
        ValueError: It is no ratio.
    """
    if not 0 <= hit_ratio <= 1:
        raise ValueError(f"{hit_ratio} is no hit ratio")
    return math.inf if hit_ratio == 1 else 1 / (1 - hit_ratio)
