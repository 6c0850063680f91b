"""The tiers of one cache, in their order: looked up one after the other, written behind, invalidated together.

What is here under the lock is short: tiers queue what they are given. A tier that raises is a fault of its own; it is
counted, and the cache goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from recoup.cache.keys import digest
from recoup.cache.tier import Invalidation, PayloadCodec, Tier, TierEntry, TierName, TierStats
from recoup.errors import ConfigurationError, KeyDigestError

_INFINITY: Final = float("inf")
_KEY_LENGTH: Final = 32
_HEX: Final = frozenset("0123456789abcdef")


class Found(NamedTuple):
    """What a tier gave. `depth`: how many tiers are above it."""

    tier: TierName
    depth: int
    entry: TierEntry


def tier_key(key: Hashable) -> str | None:
    """The key of a result in tiers; None: it has none that other processes would make of it, too."""
    if type(key) is str and len(key) == _KEY_LENGTH and _HEX.issuperset(key):
        return key
    try:
        return digest(key)
    except KeyDigestError:
        return None


class TierStack:
    """The tiers of a cache. False where there is none.

    Args:
        tiers: From the nearest to the farthest.
        codec: Writes and reads values.
        clock: Monotonic seconds.
        wall_clock: Seconds of the Unix epoch.
        note_error: Counts and logs what failed open.

    Raises:
        ConfigurationError: There are tiers, and no codec; or two of one name.
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        codec: PayloadCodec | None,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        note_error: Callable[[str, BaseException], None],
    ) -> None:
        self._tiers = tuple(tiers)
        self._clock = clock
        self._wall_clock = wall_clock
        self._note_error = note_error
        self._kept_as_they_are: frozenset[str] = frozenset()
        if not self._tiers:
            return
        if codec is None:
            raise ConfigurationError("tiers need a codec: bytes, json, or an object with the methods encode and decode")
        names = [tier.name for tier in self._tiers]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"two tiers have one name: {', '.join(names)}")
        for tier in self._tiers:
            tier.open(codec)

    def __bool__(self) -> bool:
        return bool(self._tiers)

    # --- looking up, without the lock

    def find(self, key: Hashable, pipeline: str) -> Found | None:
        """The result of a key from the nearest tier that has one; one that has expired only where none is live."""
        name = tier_key(key)
        if name is None:
            return None
        expired: Found | None = None
        for depth, tier in enumerate(self._tiers):
            try:
                entry = tier.get(name, pipeline)
            except Exception as error:  # noqa: BLE001  # fail open
                self._note_error("tier", error)
                continue
            if entry is not None:
                found = Found(tier.name, depth, entry)
                if entry.expires_at > self._wall_clock():
                    return found
                expired = expired or found
        return expired

    async def afind(self, key: Hashable, pipeline: str) -> Found | None:
        """`find` for coroutines."""
        name = tier_key(key)
        if name is None:
            return None
        expired: Found | None = None
        for depth, tier in enumerate(self._tiers):
            try:
                entry = await tier.aget(name, pipeline)
            except Exception as error:  # noqa: BLE001  # fail open
                self._note_error("tier", error)
                continue
            if entry is not None:
                found = Found(tier.name, depth, entry)
                if entry.expires_at > self._wall_clock():
                    return found
                expired = expired or found
        return expired

    def ages(self, entry: TierEntry) -> tuple[float, float | None]:
        """How old a result is, and how long it is still to live; None: for ever.

        A clock that is wrong elsewhere costs as much of its life, and never makes it live longer than it was to.
        """
        age = max(0.0, self._wall_clock() - entry.created_at)
        if entry.expires_at == _INFINITY:
            return age, None
        return age, min(entry.expires_at - self._wall_clock(), max(0.0, entry.expires_at - entry.created_at))

    # --- writing and invalidating, under the cache's lock

    def submit(
        self,
        key: Hashable,
        value: Any,
        size: int,
        expires_at: float,
        *,
        pipeline: str,
        cost_seconds: float,
        price: float,
        groups: Sequence[str],
        stale_seconds: float,
    ) -> None:
        """Store a result that was generated now in all tiers, soon; `expires_at` is of the cache's clock."""
        name = tier_key(key)
        if name is None:
            return
        now = self._wall_clock()
        expires = now + (expires_at - self._clock())
        entry = TierEntry(
            name,
            pipeline,
            value,
            now,
            expires,
            cost_seconds,
            price,
            tuple(groups),
            size_bytes=size,
            keep_until=expires + stale_seconds,
            compress=pipeline not in self._kept_as_they_are,
        )
        for tier in self._tiers:
            self._guarded(tier.submit, entry)

    def fill(self, found: Found) -> None:
        """Store what a tier gave in those above it."""
        for tier in self._tiers[: found.depth]:
            self._guarded(tier.submit, found.entry)

    def invalidate(
        self,
        *,
        key: Hashable = None,
        groups: Sequence[str] = (),
        pipeline: str | None = None,
        soft: bool = False,
        is_key: bool = False,
    ) -> list[Callable[[], bool]]:
        """Let results answer no more; gives what is to be called outside the lock, to make it last."""
        if not self._tiers:
            return []
        name = tier_key(key) if is_key else None
        if is_key and name is None:
            return []
        invalidation = Invalidation(self._wall_clock(), name, tuple(groups), pipeline, soft)
        commits = [self._guarded(tier.invalidate, invalidation) for tier in self._tiers]
        return [commit for commit in commits if commit is not None]

    def commit(self, commits: list[Callable[[], bool]]) -> bool:
        """Make invalidations last, outside the lock; whether there was something to invalidate."""
        return True in list(map(self._guarded, commits))

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # noqa: BLE001  # fail open
            self._note_error("tier", error)
            return None

    # --- the rest

    def register(self, pipeline: str, *, compress: bool) -> None:
        """Make a pipeline known, and say whether its results may be compressed."""
        if not compress:
            self._kept_as_they_are |= {pipeline}
        for tier in self._tiers:
            self._guarded(tier.register, pipeline)

    def stats(self) -> Mapping[TierName, TierStats]:
        """The figures of each tier, by name."""
        known = ((tier.name, self._guarded(tier.stats)) for tier in self._tiers)
        return MappingProxyType({name: stats for name, stats in known if stats is not None})

    def close(self, timeout: float | None) -> bool:
        """Store what waits, and end; whether all of it was stored in time."""
        return False not in [self._guarded(tier.close, timeout) for tier in self._tiers]

    def __iter__(self) -> Iterator[Tier]:
        return iter(self._tiers)
