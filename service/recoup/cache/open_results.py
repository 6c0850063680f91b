"""Results that are answered with before they are whole, and what is decided of every result: kept, shared, how long.

The core does no I/O and reads no result. An open result is an object of its generator's: those who wait for it join it
and read it by its own methods, while the generation goes on until `whole` gives what is stored.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, NamedTuple

from recoup.cache.config import DEFAULT, Default
from recoup.cache.staleness import Staleness
from recoup.cache.stats import MissReason

#: Seconds for which nobody waits for a key whose result turned out to be for its own caller alone.
UNSHARED_SECONDS: Final = 60.0
_MOST_UNSHARED: Final = 10_000
_INFINITE: Final = float("inf")


class OpenResult:
    """What a generation gives whose result is still coming. `ResultCache.afetch` takes it in place of the result.

    Attributes:
        joinable: Whether another caller can still be answered with it.
    """

    joinable: bool = True

    async def whole(self) -> Any:
        """Bring it to its end, and give the result. The generation lasts until then. Called once, at once.

        Raises:
            Exception: It broke off; the error of the generation.
        """
        raise NotImplementedError


class Decision(NamedTuple):
    """What may be done with a result.

    Attributes:
        store: Whether it is kept.
        share: Whether it may answer anybody but the caller that it was generated for. If not, it is not kept, either.
        ttl_seconds: Seconds until it expires; None: never; `DEFAULT`: as the lookup says.
        reason: Where it is not kept: why the next lookup of its key is a miss.
        groups: Groups of the result, beside those that its lookup named. Of an open result, they are all there are.
        keep: False where it is not kept, and still answers those who waited for it.
        price: What its generation cost in money beside its time, in the currency of its pipeline.
        price_per_second: What each second of its generation cost.
        staleness: What may be done with it near its expiry and past it; None: as the lookup says.
        failure: Where it is an answer that is stored and yet no result: the word that its generation is counted as,
            among those that failed.
    """

    store: bool = True
    share: bool = True
    ttl_seconds: float | Default | None = DEFAULT
    reason: MissReason = "uncacheable"
    groups: tuple[str, ...] = ()
    keep: bool = True
    price: float = 0.0
    price_per_second: float = 0.0
    staleness: Staleness | None = None
    failure: str = ""

    def price_of(self, cost_seconds: float) -> float:
        """What a generation of so many seconds cost in money, whatever the time says: from 0 on, and finite."""
        price = self.price + self.price_per_second * cost_seconds
        return price if 0.0 <= price < _INFINITE else 0.0


class UnsharedKeys:
    """Keys that nobody waits for, for a while (hit-for-miss). Bounded; everything here runs under the cache's lock."""

    def __init__(self) -> None:
        self._until: dict[Hashable, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def note(self, key: Hashable, now: float) -> None:
        """Let nobody wait for a key, from now on."""
        self._until.pop(key, None)
        self._until[key] = now + UNSHARED_SECONDS
        if len(self._until) > _MOST_UNSHARED:
            del self._until[next(iter(self._until))]

    def holds(self, key: Hashable, now: float) -> bool:
        """Whether nobody waits for a key now."""
        until = self._until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[key]
        return False

    def forget(self, key: Hashable) -> None:
        """Let callers wait for a key again: a result of it can be shared."""
        self._until.pop(key, None)
