"""Tiers: where results are kept beyond this process' memory. What a cache asks of one, and the records of both sides.

The core does no I/O. `recoup.tiers` has the tiers; another object that fulfils `Tier` will do. Times here are those
of the wall clock, in seconds of the Unix epoch: a tier outlives the process whose monotonic clock it was written by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from recoup.cache.stats import HistogramSnapshot
from recoup.cache.stats import TierName as TierName

LookupResult = Literal["hit", "miss", "error", "skipped"]
WriteResult = Literal["stored", "dropped", "error", "skipped"]
Operation = Literal["get", "set", "lease", "invalidate"]

TIERS: Final[tuple[TierName, ...]] = ("disk", "shared")
LOOKUP_RESULTS: Final[tuple[LookupResult, ...]] = ("hit", "miss", "error", "skipped")
WRITE_RESULTS: Final[tuple[WriteResult, ...]] = ("stored", "dropped", "error", "skipped")
OPERATIONS: Final[tuple[Operation, ...]] = ("get", "set", "lease", "invalidate")


class Payload(NamedTuple):
    """A value as a codec writes it.

    Attributes:
        body: Its bytes.
        content_type: What they are.
        headers: What else an answer with them has.
        status: The status of that answer; 0: there is none.
        etag: The entity tag of that answer; empty: there is none.
    """

    body: bytes
    content_type: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 0
    etag: str = ""


class PayloadCodec(Protocol):
    """Writes values as payloads, and reads them back. Called in the threads of tiers."""

    def to_payload(self, value: Any) -> Payload:
        """Write a value.

        Raises:
            TypeError: It would not come back as it was. It is not stored.
        """

    def from_payload(self, payload: Payload) -> Any:
        """Read a value. Whatever it raises, the record is counted as corrupt, and removed."""


@dataclass(frozen=True, slots=True)
class TierEntry:
    """A result as a tier takes it and gives it.

    Attributes:
        key: 32 hexadecimal digits.
        pipeline: The name of its pipeline.
        value: The result.
        created_at: When it was generated.
        expires_at: When it expires; infinity: never.
        cost_seconds: Seconds that its generation took.
        price: What it cost in money.
        groups: The names of its groups.
        fingerprint: Of its request; empty: it has none.
        size_bytes: What it takes in memory; what a queue counts it by.
        keep_until: Until when it is kept although it has expired, because it may still answer stale.
        compress: Whether its record may be compressed.
    """

    key: str
    pipeline: str
    value: Any
    created_at: float
    expires_at: float
    cost_seconds: float = 0.0
    price: float = 0.0
    groups: tuple[str, ...] = ()
    fingerprint: bytes = b""
    size_bytes: int = 0
    keep_until: float = 0.0
    compress: bool = True


@dataclass(frozen=True, slots=True)
class Invalidation:
    """What must not answer any more: one key, the members of groups, or all results; of one pipeline or of all.

    Attributes:
        at: When it was said.
        key: The one key; None: it is not one key.
        groups: Names of groups; empty: it is not groups.
        pipeline: Only results of this pipeline; None: of all.
        soft: They expire instead of going.
    """

    at: float
    key: str | None = None
    groups: tuple[str, ...] = ()
    pipeline: str | None = None
    soft: bool = False


@dataclass(frozen=True, slots=True)
class TierStats:
    """What a tier has done and holds, as it was at one moment.

    Attributes:
        name: `disk` or `shared`.
        up: Whether it answers.
        entries: Results that it holds; None: it does not know.
        bytes: What they take; None: it does not know.
        limit_bytes: What they may take; None: it does not know.
        queue_bytes: What waits to be written.
        lookups: By pipeline and result.
        writes: By pipeline and result.
        evictions: Results that its limit removed.
        corrupt: Records that could not be read.
        operations: How long operations took, in seconds.
    """

    name: TierName
    up: bool
    entries: int | None
    bytes: int | None
    limit_bytes: int | None
    queue_bytes: int
    lookups: Mapping[str, Mapping[LookupResult, int]]
    writes: Mapping[str, Mapping[WriteResult, int]]
    evictions: int
    corrupt: int
    operations: Mapping[Operation, HistogramSnapshot]

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it: a member of `tiers` in `GET /api/cache/stats`."""
        return {
            "up": self.up,
            "entries": self.entries,
            "bytes": self.bytes,
            "limit_bytes": self.limit_bytes,
            "queue_bytes": self.queue_bytes,
            "lookups": {word: sum(counts.get(word, 0) for counts in self.lookups.values()) for word in LOOKUP_RESULTS},
            "writes": {word: sum(counts.get(word, 0) for counts in self.writes.values()) for word in WRITE_RESULTS},
            "evictions": self.evictions,
            "corrupt": self.corrupt,
        }


class Tier(Protocol):
    """One tier. Nothing here raises for what befalls the tier itself: it is counted, and the cache goes on without it.

    Attributes:
        name: `disk` or `shared`.
    """

    @property
    def name(self) -> TierName:
        """`disk` or `shared`."""

    def open(self, codec: PayloadCodec) -> None:
        """Begin. Called once, by the cache that it is given to. What is not usable yet is tried again later."""

    def get(self, key: str, pipeline: str) -> TierEntry | None:
        """The result of a key, expired or not; None where there is none. May take its time, in the caller's thread."""

    async def aget(self, key: str, pipeline: str) -> TierEntry | None:
        """`get` for coroutines."""

    def submit(self, entry: TierEntry) -> None:
        """Store a result soon. Called under the cache's lock: it does not wait, and drops what it has no room for.

        What was submitted is what `get` gives from now on.
        """

    def invalidate(self, invalidation: Invalidation) -> Callable[[], bool]:
        """Let something not answer from now on, of all that was submitted before. Called under the cache's lock.

        Returns:
            To be called outside the lock: makes it outlive this process, which it otherwise does a little later. Gives
            whether there was a result, where it is one key that is invalidated. May take its time.
        """

    def register(self, pipeline: str) -> None:
        """Make a pipeline known: its counts are zeros from now on."""

    def stats(self) -> TierStats:
        """Its figures at this moment. The same time, whatever is stored."""

    def close(self, timeout: float | None = None) -> bool:
        """Store what waits, and end; whether all of it was stored within `timeout` seconds. May be called again."""
