"""The cache as its users see it: every public method. What they do is done by the parts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar, overload

from recoup.cache import limiting, listing, removal
from recoup.cache.codecs import Codec, checked_codec
from recoup.cache.config import (
    DEFAULT,
    NO_GROUPS,
    CacheConfig,
    Default,
    checked_cost,
    checked_currency,
    checked_groups,
    checked_jitter,
    checked_pipeline,
    checked_price,
    checked_quota,
    checked_stale,
    checked_ttl,
)
from recoup.cache.entry import CacheEntry
from recoup.cache.failures import failure_kind
from recoup.cache.fetch import Fetcher
from recoup.cache.limiter import ConcurrencyLimiter
from recoup.cache.lookup_steps import Mode, Request, lookup_only
from recoup.cache.open_results import Decision
from recoup.cache.read_path import ReadPath
from recoup.cache.report import Report
from recoup.cache.sizing import measure
from recoup.cache.state import DEFAULT_PIPELINE, CacheState
from recoup.cache.stats import (
    BypassReason,
    CacheStats,
    Lookup,
    Outcome,
    PipelineStats,
    Sort,
    StreamEnd,
    V,
)
from recoup.cache.store import Observer
from recoup.cache.tier import PayloadCodec, Tier
from recoup.errors import ConfigurationError, NotCachedError

#: Members of purged groups that are looked at where somebody collects them.
_COLLECTED: Final = 512
_ABSENT: Any = object()

D = TypeVar("D")
_NO_COST: Final = 0.0


def _generate_nothing() -> Any:
    raise AssertionError("a lookup that takes a stored result or none generates nothing")


class ResultCache(Generic[V]):
    """A result cache: bounded in entries and bytes, with a time to live, single-flight and a full account of itself.

    Safe under threads and asyncio. Reads take no lock. A mapping's habits hold: `cache[key]`, `key in cache`,
    `len(cache)`. `ResultCache[bytes]` tells a type checker what is stored.

    Args:
        policy: The order of eviction: `lru`, `s3fifo`, `tinylfu` or `gdsf`.
        max_size: Limit of entries, at least 1.
        max_memory_mb: Limit of memory in MB (2^20 bytes), above 0: values, keys and bookkeeping.
        ttl_seconds: Seconds until an entry expires; None or 0: it never does.
        enabled: Whether lookups are answered; False: every lookup is a bypass, and nothing is stored.
        ttl_jitter: Up to this share (0 to 0.5) of its time to live is taken off at random for each entry, so that
            entries stored together do not expire together.
        stale_seconds: How long after its expiry an entry may be served stale, while another caller generates it anew.
        sizer: Gives the bytes of a value; by default a deep measure (`recoup.cache.sizing.measure`).
        clock: Monotonic seconds.
        wall_clock: Seconds of the Unix epoch, for exemplars and tiers.
        tiers: Where results are kept beyond this process' memory, from the nearest to the farthest:
            `recoup.tiers.DiskTier`. They are the cache's own from now on: it opens and closes them.
        codec: How values are written in tiers, which need one: `bytes`, `json`, or an object with `encode` and
            `decode`. A value that it does not take stays in memory alone.

    Raises:
        ConfigurationError: An argument is out of its bounds.
    """

    def __init__(
        self,
        *,
        policy: str = "lru",
        max_size: int = 1000,
        max_memory_mb: float = 512,
        ttl_seconds: float | None = 86400,
        enabled: bool = True,
        ttl_jitter: float = 0.0,
        stale_seconds: float = 0.0,
        sizer: Callable[[Any], int] = measure,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tiers: Sequence[Tier] = (),
        codec: str | Codec | PayloadCodec | None = None,
    ) -> None:
        self.clock = clock
        self.wall_clock = wall_clock
        self._state = CacheState(
            CacheConfig.checked(
                max_size=max_size,
                max_memory_mb=max_memory_mb,
                ttl_seconds=ttl_seconds,
                enabled=enabled,
                policy=policy,
            ),
            jitter=checked_jitter(ttl_jitter),
            stale_seconds=checked_stale(stale_seconds),
            sizer=sizer,
            clock=clock,
            wall_clock=wall_clock,
            tiers=tiers,
            codec=None if codec is None else checked_codec(codec),
        )
        self._read_path = ReadPath(self._state)
        self._state.show_entries()
        self._report = Report(self._state)
        # An instance finds its readers at once, without a step through the class; but a subclass' own are obeyed.
        for name in ("try_hit",) if tiers else ("get", "try_hit"):
            method = getattr(ResultCache, name)
            if getattr(type(self), name) is method:
                reader = getattr(self._read_path, name)
                reader.__doc__, reader.__qualname__ = method.__doc__, method.__qualname__
                setattr(self, name, reader)
        self._fetcher = Fetcher(self._state, self._read_path, self.try_hit)

    # --- lookups

    @overload
    def get(self, key: Hashable, default: None = None, pipeline: str = DEFAULT_PIPELINE) -> V | None: ...
    @overload
    def get(self, key: Hashable, default: D, pipeline: str = DEFAULT_PIPELINE) -> V | D: ...
    def get(self, key: Hashable, default: Any = None, pipeline: str = DEFAULT_PIPELINE) -> Any:
        """The value of a key, or `default`. One lookup; a miss counts for `pipeline`. O(1), no lock on a hit.

        Where there are tiers, what is not in memory is looked up in them, in the caller's thread.
        """
        if not self._state.tiers:
            return self._read_path.get(key, default, pipeline)
        entry = self.try_hit(key)
        if entry is not None:
            return entry.value
        self._check(pipeline)
        try:
            return self._fetcher.fetch(lookup_only(key, pipeline), _generate_nothing).value
        except NotCachedError:
            return default

    def try_hit(self, key: Hashable) -> CacheEntry[V] | None:
        """The live entry of a key, counted as one hit; None counts nothing. O(1), no lock on a hit."""
        return self._read_path.try_hit(key)

    def __getitem__(self, key: Hashable) -> V:
        value: V = self.get(key, _ABSENT)
        if value is _ABSENT:
            raise KeyError(key)
        return value

    @overload
    def pop(self, key: Hashable) -> V: ...
    @overload
    def pop(self, key: Hashable, default: D) -> V | D: ...
    def pop(self, key: Hashable, default: Any = _ABSENT) -> Any:
        """Remove an entry and give its value, as `dict.pop` does. Counted as a lookup."""
        value = self.get(key, _ABSENT)
        if value is not _ABSENT:
            self.delete(key)
            return value
        if default is _ABSENT:
            raise KeyError(key)
        return default

    def fetch(
        self,
        key: Hashable,
        generate: Callable[[], V],
        *,
        pipeline: str = DEFAULT_PIPELINE,
        ttl_seconds: float | Default | None = DEFAULT,
        mode: Mode = "default",
        limiter: ConcurrencyLimiter | None = None,
        wait_seconds: float | None = None,
        bypass_reason: BypassReason = "request",
        store_if: Callable[[V], object] | None = None,
        groups: Collection[str] = NO_GROUPS,
        decide: Callable[[V], Decision] | None = None,
    ) -> Lookup[V]:
        """Answer from the cache, or generate and store. Concurrent callers of one key share one generation.

        Args:
            key: What the result is stored by.
            generate: Gives the result, slowly. Its time is measured.
            pipeline: The pipeline that the lookup is counted for.
            ttl_seconds: As for `set`.
            mode: `default`; `bypass`: generate for this caller alone, store nothing; `refresh`: generate anew and
                store; `only_if_cached`: never generate.
            limiter: Entered around the generation; the wait for one's turn is not part of the cost.
            wait_seconds: How long to wait for another caller's generation; None: as long as it takes.
            bypass_reason: Why, with the mode `bypass`; one of `BYPASS_REASONS`.
            store_if: Whether to keep and share a result, from the result; by default every one is.
            groups: As for `set`.
            decide: In place of `store_if`: what may be done with a result, and what it cost in money.

        Raises:
            FlightTimeoutError: Waited `wait_seconds`.
            NotCachedError: `only_if_cached`, and it is not.
            QueueFullError: The limiter has no room.
            Exception: Whatever `generate` raises, to the leader and to all who wait for it. It is not cached.
        """
        self._check(pipeline)
        ttl = self._ttl(ttl_seconds)
        named = groups if groups is NO_GROUPS else checked_groups(groups)
        request = Request(
            key, pipeline, ttl, mode, limiter, wait_seconds, bypass_reason, store_if, decide, groups=named
        )
        return self._fetcher.fetch(request, generate)

    async def afetch(
        self,
        key: Hashable,
        generate: Callable[[], Awaitable[V]],
        *,
        pipeline: str = DEFAULT_PIPELINE,
        ttl_seconds: float | Default | None = DEFAULT,
        mode: Mode = "default",
        limiter: ConcurrencyLimiter | None = None,
        wait_seconds: float | None = None,
        bypass_reason: BypassReason = "request",
        store_if: Callable[[V], object] | None = None,
        decide: Callable[[Any], Decision] | None = None,
        on_open: Callable[[Lookup[Any]], None] | None = None,
        groups: Collection[str] = NO_GROUPS,
    ) -> Lookup[V]:
        """`fetch` for coroutines, with the same arguments. Waits, for the limiter, too, without holding a thread.

        A leader that is cancelled leaves its generation to the next caller in line.

        Where `generate` gives an `OpenResult`, the generation goes on until that is whole, and what its `whole` gives
        is the result. Callers with `on_open` need not wait for it: they are given the open result as it is, a follower
        that comes later, too. Their lookups still end, and are counted, with the generation.

        Args:
            key: As for `fetch`.
            generate: As for `fetch`, or an `OpenResult`.
            pipeline: As for `fetch`.
            ttl_seconds: As for `fetch`.
            mode: As for `fetch`.
            limiter: As for `fetch`.
            wait_seconds: As for `fetch`; who was given an open result has waited.
            bypass_reason: As for `fetch`.
            store_if: As for `fetch`.
            decide: In place of `store_if`: what may be done with a result, or with one that is still open. One that
                must not be shared releases those who wait for it: they generate for themselves, all at once, and so
                do all who ask within `UNSHARED_SECONDS`.
            on_open: Called with a lookup whose value is the open result, at most once, on the leader's event loop.
            groups: As for `set`; `decide` may name further ones.
        """
        self._check(pipeline)
        ttl = self._ttl(ttl_seconds)
        named = groups if groups is NO_GROUPS else checked_groups(groups)
        request = Request(
            key, pipeline, ttl, mode, limiter, wait_seconds, bypass_reason, store_if, decide, on_open, named
        )
        return await self._fetcher.afetch(request, generate)

    # --- a mapping's habits

    def __contains__(self, key: object) -> bool:
        """Whether a key has a live entry. Not a lookup: nothing is counted, and its place stays as it is."""
        try:
            entry = self._state.visible[key]
        except KeyError:
            return False
        return self.clock() < entry.expires_at

    def __len__(self) -> int:
        """The entries held. Expired ones count until they are collected."""
        return len(self._state.store.live)

    def __iter__(self) -> Iterator[Hashable]:
        """The keys held, as they are now, oldest stored first."""
        return iter(list(self._state.store.live))

    def __bool__(self) -> bool:
        """Always true: an empty cache is a cache."""
        return True

    # --- writes

    def set(
        self,
        key: Hashable,
        value: V,
        *,
        ttl_seconds: float | Default | None = DEFAULT,
        cost_seconds: float = _NO_COST,
        price: float = _NO_COST,
        pipeline: str = DEFAULT_PIPELINE,
        groups: Collection[str] = NO_GROUPS,
    ) -> bool:
        """Store a value, as the newest entry. O(1).

        Args:
            key: Any hashable.
            value: Any object, None too.
            ttl_seconds: Seconds until it expires; None or 0: it never does. By default as the cache is configured.
            cost_seconds: Seconds that its generation took; what each hit on it recoups.
            price: What it cost in money, in the currency that its pipeline was registered with; likewise.
            pipeline: The pipeline that it is counted for.
            groups: Names that it can be purged by: at most 32, of 1 to 256 characters.

        Returns:
            Whether it was stored: not when it is larger than the whole memory limit, when the cache is disabled, or
            when its size cannot be measured (which is counted as an internal error).

        Raises:
            ConfigurationError: `ttl_seconds`, `cost_seconds` or `price` is negative or no number, or `pipeline` or one
                of `groups` is no name.
        """
        state = self._state
        if pipeline is not DEFAULT_PIPELINE and (type(pipeline) is not str or pipeline not in state.store.counters):
            checked_pipeline(pipeline)
        ttl = state.config.ttl_seconds if ttl_seconds is DEFAULT else checked_ttl(ttl_seconds)
        cost = cost_seconds if cost_seconds is _NO_COST else checked_cost(cost_seconds)
        named = groups if groups is NO_GROUPS else checked_groups(groups)
        price = price if price is _NO_COST else checked_price(price)
        size = state.size_of(key, value)
        # Goes with this call, outside the lock: finalisers of values may take their time.
        dropped: list[CacheEntry[Any]] = []
        with state.lock:
            return state.put(key, value, size, ttl, cost, pipeline, dropped, "uncacheable", price, named)

    def __setitem__(self, key: Hashable, value: V) -> None:
        self.set(key, value)

    def delete(self, key: Hashable) -> bool:
        """Remove an entry. A generation of its key that is in progress will not be stored. O(1).

        Returns:
            Whether there was a live one.
        """
        return removal.delete(self._state, key)

    def __delitem__(self, key: Hashable) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def clear(self, pipeline: str | None = None) -> int:
        """Remove all entries, or those of one pipeline. Generations in progress will not be stored. O(entries).

        Returns:
            How many were removed.
        """
        return removal.clear(self._state, pipeline)

    def purge(self, groups: Collection[str], pipeline: str | None = None, *, soft: bool = False) -> float:
        """Let no result of these groups answer from now on. Takes the same time, whatever is held.

        It holds for generations that began before it, too: what they give answers those who wait already, and nobody
        else. What is purged leaves memory at once where it is little, else in small steps, with whatever else is done
        or by `collect_purged`; until then it is counted as held.

        Args:
            groups: Names of groups.
            pipeline: Only results of this pipeline; None: of all.
            soft: They expire instead, and may be served stale as any result that has.

        Returns:
            When it was, in seconds of the Unix epoch.

        Raises:
            ConfigurationError: `groups` is no list of names.
        """
        removal.purge(self._state, checked_groups(groups, most=None), pipeline, soft=soft)
        return self.wall_clock()

    def close(self, timeout: float | None = None) -> bool:
        """End the tiers: what still waits to be stored there is stored. Without tiers, there is nothing to end.

        Args:
            timeout: Seconds that it may take; None: as long as it takes.

        Returns:
            Whether all of it was stored in time.
        """
        return self._state.tiers.close(timeout)

    def collect_purged(self, steps: int = _COLLECTED) -> bool:
        """Let go of the next few entries that were purged and are still held, so that they leave sooner.

        Args:
            steps: How many are looked at, under the lock.

        Returns:
            Whether there are more.
        """
        return removal.collect_purged(self._state, steps)

    # --- configuration

    def register(
        self,
        pipeline: str,
        limiter: ConcurrencyLimiter | None = None,
        *,
        currency: str | None = None,
        compress: bool = True,
    ) -> None:
        """Make a pipeline known: its figures exist, as zeros, from now on.

        Args:
            pipeline: Its name.
            limiter: Tells what runs and waits.
            currency: What its prices are in.
            compress: Whether its results may be compressed in tiers, where that makes them smaller.
        """
        checked_pipeline(pipeline)
        currency = checked_currency(currency)
        self._state.tiers.register(pipeline, compress=compress)
        with self._state.lock:
            counters = self._state.store.register(pipeline)
            if limiter is not None:
                counters.limiter = limiter
            if currency is not None:
                counters.currency = currency

    @property
    def enabled(self) -> bool:
        """Whether lookups are answered from it."""
        return self._state.config.enabled

    def set_quota(
        self,
        pipeline: str,
        *,
        max_entries: int | None = None,
        max_memory_mb: float | None = None,
        reserve_memory_mb: float = 0.0,
    ) -> None:
        """Give a pipeline limits of its own, within the cache's, and a reserve. It is registered. O(entries).

        What is over its own limits is evicted with the cause `quota`, at once. Where the cache itself needs room, the
        entry that was used least recently goes, of the pipelines that hold more than their reserve.

        Args:
            pipeline: Its name.
            max_entries: Its limit of entries; None: the cache's alone.
            max_memory_mb: Its limit of memory in MB (2^20 bytes); None: the cache's alone.
            reserve_memory_mb: What others cannot take from it. A result of another pipeline is stored only where it
                fits beside all reserves.

        Raises:
            ConfigurationError: A value cannot be used, or the reserves of all pipelines leave nothing to share.
                Nothing was changed.
        """
        checked_pipeline(pipeline)
        limiting.set_quota(self._state, pipeline, checked_quota(max_entries, max_memory_mb, reserve_memory_mb))

    def config(self) -> dict[str, Any]:
        """The configuration in force: `max_size`, `max_memory_mb`, `ttl_seconds` (None: never), `enabled`, `policy`."""
        return self._state.config.as_dict()

    def configure(
        self,
        *,
        max_size: int | Default = DEFAULT,
        max_memory_mb: float | Default = DEFAULT,
        ttl_seconds: float | Default | None = DEFAULT,
        enabled: bool | Default = DEFAULT,
        policy: str | Default = DEFAULT,
    ) -> dict[str, Any]:
        """Change any of the limits: all of a valid change, or none of an invalid one.

        Lowering a limit evicts at once. A new time to live holds for entries stored from now on. Entries are kept
        while the cache is disabled, and answer again when it is enabled, unless they have expired. They are kept when
        the policy changes, too, which takes O(entries): the new one knows of them in what order the old one had them.
        Where it takes more memory for an entry, some may have to go.

        Returns:
            The configuration in force after it.

        Raises:
            ConfigurationError: A value cannot be used; nothing was changed.
        """
        given = {
            "max_size": max_size,
            "max_memory_mb": max_memory_mb,
            "ttl_seconds": ttl_seconds,
            "enabled": enabled,
            "policy": policy,
        }
        changes = {name: value for name, value in given.items() if not isinstance(value, Default)}
        return limiting.configure(self._state, changes)

    def _check(self, pipeline: str) -> None:
        if type(pipeline) is not str or pipeline not in self._state.store.counters:
            checked_pipeline(pipeline)

    def _ttl(self, ttl_seconds: float | Default | None) -> float | None:
        return self._state.config.ttl_seconds if ttl_seconds is DEFAULT else checked_ttl(ttl_seconds)

    # --- statistics

    def record_stream(
        self, pipeline: str, outcome: Outcome, first_byte_seconds: float, seconds: float, trace_id: str
    ) -> None:
        """Note what a caller waited for a lookup whose answer began before it was whole. Takes the lock.

        Args:
            pipeline: The lookup's pipeline.
            outcome: How it ended.
            first_byte_seconds: What its caller waited for the first byte.
            seconds: What its caller waited for the last byte, as `record_request` takes it.
            trace_id: Makes it its bucket's newest exemplar.
        """
        self._check(pipeline)
        self._report.record_stream(pipeline, outcome, first_byte_seconds, seconds, trace_id)

    def record_stream_end(self, pipeline: str, end: StreamEnd) -> None:
        """Count a generation whose answer was passed on as it came, by how it ended. Takes the lock."""
        self._check(pipeline)
        with self._state.lock:
            self._state.store.of(pipeline).streams[end] += 1

    def record_request(self, pipeline: str, outcome: Outcome, seconds: float, trace_id: str | None = None) -> None:
        """Note what a caller waited for one lookup. One append to a bounded buffer; counted when statistics are read.

        Args:
            pipeline: The lookup's pipeline.
            outcome: How it ended.
            seconds: What its caller waited.
            trace_id: Makes it its bucket's newest exemplar.
        """
        state = self._state
        if type(pipeline) is not str or pipeline not in state.store.counters:
            checked_pipeline(pipeline)
        waits = state.waits
        items = waits.items
        items.append((pipeline, outcome, seconds, trace_id, 0.0 if trace_id is None else self.wall_clock()))
        if len(items) >= waits.bound:
            waits.relieve()

    def record_requests(
        self, pipeline: str, outcome: Outcome, seconds: Sequence[float], trace_ids: Sequence[str]
    ) -> None:
        """`record_request` for many at once: of each what its caller waited, and its trace id. Takes the lock once."""
        self._check(pipeline)
        with self._state.lock:
            histogram = self._state.store.of(pipeline).request_duration[outcome]
            histogram.observe_all(seconds, trace_ids, self.wall_clock())

    def add_source(self, settle: Callable[[], None]) -> None:
        """Have `settle` called before statistics are read or reset: it hands in the requests that it gathered."""
        self._report.add_source(settle)

    def observe(self, observer: Observer) -> None:
        """Have an observer see every lookup and every store, in their order. Costs nothing where there is none."""
        with self._state.lock:
            self._state.reads.drain_locked()
            self._state.store.observers = (*self._state.store.observers, observer)

    def record_failure(self, pipeline: str, error: BaseException) -> None:
        """Count a request that was refused before its lookup as a failed generation, by the kind of its error."""
        with self._state.lock:
            self._state.store.of(pipeline).failures[failure_kind(error)] += 1

    def note_internal_error(self, part: str, error: BaseException) -> None:
        """Count and log that a part of the cache failed, and that the caller was served all the same."""
        self._state.note_internal_error(part, error)

    def pipeline_stats(self, pipeline: str) -> PipelineStats:
        """The figures of one pipeline; zeros for one that is not known."""
        return self._report.pipeline_stats(pipeline)

    def stats(self) -> CacheStats:
        """The statistics of this moment, consistent with each other, at a cost that no number of entries changes."""
        return self._report.stats()

    def reset_stats(self) -> None:
        """Set every count back to zero, and the peaks to what is held now. The entries stay, with their own hits."""
        self._report.reset()

    # --- entries

    def count(self, pipeline: str | None = None, group: str | None = None) -> int:
        """The entries held, by all pipelines or by one, in all groups or in one. O(1)."""
        return listing.count(self._state, pipeline, group)

    def entries(
        self,
        limit: int = 100,
        offset: int = 0,
        sort: Sort = "recent",
        pipeline: str | None = None,
        describe: Callable[[Any], dict[str, Any]] | None = None,
        group: str | None = None,
    ) -> list[dict[str, Any]]:
        """A page of what is held. Not a lookup: nothing is counted.

        Args:
            limit: Entries at most, at least 0.
            offset: Entries to pass over, at least 0.
            sort: `recent`: used last first; `oldest`: stored longest ago first; `largest`; `most_hit`; `costliest`.
            pipeline: Only entries of this pipeline.
            describe: Gives further members from a value.
            group: Only entries of this group.

        Returns:
            For each `key`, `pipeline`, `size_bytes`, `age_seconds`, `idle_seconds`, `expires_in_seconds` (None: never;
            negative: expired, not yet collected), `hits`, `cost_seconds`, `groups`. Sizes add up to the bytes held.

        Raises:
            ConfigurationError: An argument is out of its bounds.
        """
        return listing.page(self._state, limit, offset, sort, pipeline, describe, group)

    def inspect(self, key: Hashable, describe: Callable[[Any], dict[str, Any]] | None = None) -> dict[str, Any] | None:
        """What is known of one live entry, as in `entries`; None when there is none. Nothing is counted."""
        return listing.inspect(self._state, key, describe)


class LRUCache(ResultCache[V]):
    """A `ResultCache` with exact LRU as its policy. Takes the same arguments, but for `policy`."""

    def __init__(
        self,
        *,
        max_size: int = 1000,
        max_memory_mb: float = 512,
        ttl_seconds: float | None = 86400,
        enabled: bool = True,
        ttl_jitter: float = 0.0,
        stale_seconds: float = 0.0,
        sizer: Callable[[Any], int] = measure,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        tiers: Sequence[Tier] = (),
        codec: str | Codec | PayloadCodec | None = None,
    ) -> None:
        super().__init__(
            policy="lru",
            max_size=max_size,
            max_memory_mb=max_memory_mb,
            ttl_seconds=ttl_seconds,
            enabled=enabled,
            ttl_jitter=ttl_jitter,
            stale_seconds=stale_seconds,
            sizer=sizer,
            clock=clock,
            wall_clock=wall_clock,
            tiers=tiers,
            codec=codec,
        )

    def configure(self, **changes: Any) -> dict[str, Any]:
        """See `ResultCache.configure`.

        Raises:
            ConfigurationError: A value cannot be used, or it is another policy than `lru`; nothing was changed.
        """
        if changes.get("policy", "lru") not in ("lru", DEFAULT):
            raise ConfigurationError("an LRUCache has the policy lru always: expected a ResultCache for another one")
        return super().configure(**changes)
