"""The cache against a plain model, under whatever operations Hypothesis thinks of; everything is compared each time."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clock import FakeClock
from recoup.cache import LRUCache, RefreshClaim, Staleness
from recoup.cache.groups import GROUP_BYTES, MEMBER_BYTES, MEMBERSHIP_BYTES
from recoup.cache.histogram import AGE_SECONDS
from recoup.cache.open_results import Decision
from recoup.cache.policies.quotas import STAMP_BYTES
from recoup.cache.sizing import KEPT_BYTES, PRICE_BYTES
from recoup.cache.stats import EVICTION_CAUSES, INVALIDATION_CAUSES, MISS_REASONS
from recoup.errors import ConfigurationError, GenerationFailedError

MB = 2**20
KEYS = st.integers(0, 7)
PIPELINES = st.sampled_from(["llm", "relief"])
#: Passing time: nothing, little, and up to the very edges of lives and of histogram buckets. All exact in binary.
PASSING = st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.75, 1.0, 4.0, 5.0, 10.0, 45.0])
LIVES = st.sampled_from([None, 0, 0.25, 1, 5, 15.0, 60])
COSTS = st.sampled_from([0.0, 0.5, 2.0, 16.0])
#: In money; exact in binary, too.
PRICES = st.sampled_from([0.0, 0.0, 0.25, 8.0])
PRICE_PER_SECOND = 0.5
SIZES = st.sampled_from([0, 1, 100, 1000, 3000])
#: Past their lives; the shares of these are exact, too.
STALENESS = st.sampled_from(
    [Staleness(), Staleness(), Staleness(5.0), Staleness(0.0, 10.0), Staleness(1.0, 45.0), Staleness(4.0, 0.0, 0.5)]
)
GROUPS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True).map(tuple)
#: A purge: of which groups, of which pipeline, softly.
PURGES = st.tuples(GROUPS, st.none() | PIPELINES, st.booleans())
ENTRY_LIMITS = st.integers(1, 6)
BYTE_LIMITS = st.sampled_from([1000, 2500, 4000, 8000, 10**6])


def bookkeeping() -> int:
    """Bytes that an entry of an empty value and a small key is accounted for."""
    probe = LRUCache()
    probe.set(0, b"")
    return probe.stats().memory_bytes


def own_bytes(name: str) -> int:
    """Bytes of a group beside those of its members."""
    return GROUP_BYTES + sys.getsizeof(name)


@dataclass(frozen=True)
class OwnLimits:
    """The limits of one pipeline, in entries and bytes."""

    pipeline: str
    entries: int | None
    memory: int | None
    reserve: int


QUOTAS = st.builds(
    OwnLimits,
    PIPELINES,
    st.none() | st.integers(1, 3),
    st.none() | st.sampled_from([1000, 2500]),
    st.sampled_from([0, 0, 600, 1000, 2000]),
)


@dataclass
class Held:
    """What the model knows of an entry."""

    value: bytes
    size: int
    pipeline: str
    created: float
    expires: float
    cost: float
    price: float
    groups: tuple[str, ...]
    staleness: Staleness
    refresh_at: float
    hits: int = 0
    failures: int = 0
    in_error_until: float = float("-inf")

    @property
    def goes(self) -> float:
        return self.expires + max(self.staleness.while_revalidate_seconds, self.staleness.if_error_seconds)

    def answers_stale(self, now: float) -> bool:
        past = now - self.expires
        if past < 0 or past >= self.goes - self.expires:
            return False
        trying = self.refresh_at == float("inf") and self.in_error_until > 0
        just_failed = (trying or now < self.in_error_until) and past < self.staleness.if_error_seconds
        return past < self.staleness.while_revalidate_seconds or just_failed

    def stands_in(self, now: float) -> bool:
        return 0 <= now - self.expires < self.staleness.if_error_seconds


@dataclass
class Claimed:
    """A refresh that has still to be run."""

    claim: RefreshClaim
    held: Held
    cause: str
    retry_at: float | None = None


@dataclass
class Counts:
    """What the model counts for a pipeline."""

    hits: int = 0
    bypassed: int = 0
    misses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(MISS_REASONS, 0))
    evictions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVICTION_CAUSES, 0))
    invalidations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(INVALIDATION_CAUSES, 0))
    unused: int = 0
    recouped: float = 0.0
    regretted: float = 0.0
    generated_cost: float = 0.0
    recouped_cost: float = 0.0
    regretted_cost: float = 0.0
    generated: int = 0
    generating_seconds: float = 0.0
    failed: int = 0
    stale: int = 0
    refreshed_seconds: float = 0.0
    refreshes: dict[tuple[str, str], int] = field(
        default_factory=lambda: {(cause, end): 0 for cause in ("stale", "ahead") for end in ("stored", "failed")}
    )
    hit_ages: list[int] = field(default_factory=lambda: [0] * (len(AGE_SECONDS) + 1))
    eviction_ages: list[int] = field(default_factory=lambda: [0] * (len(AGE_SECONDS) + 1))


class CacheAgainstModel(RuleBasedStateMachine):
    """Each rule does one thing to the cache and to the model."""

    @initialize(size=ENTRY_LIMITS, limit=BYTE_LIMITS, ttl=LIVES, quotas=st.lists(QUOTAS, max_size=3))
    def begin(self, size: int, limit: int, ttl: float | None, quotas: list[OwnLimits]) -> None:
        self.clock = FakeClock(0.0)
        self.cache = LRUCache(max_size=size, max_memory_mb=limit / MB, ttl_seconds=ttl, clock=self.clock)
        for pipeline in ("llm", "relief"):
            self.cache.register(pipeline, currency="USD")
        self.bookkeeping = bookkeeping()
        self.size, self.limit, self.ttl, self.enabled = size, limit, ttl, True
        self.held: OrderedDict[int, Held] = OrderedDict()
        self.left: dict[int, str] = {}
        self.taken: list[RefreshClaim] = []
        self.claimed: dict[int, Claimed] = {}
        self.counts: dict[str, Counts] = {}
        #: By pipeline and group, the keys in the order in which they joined; and which of them carries the group.
        self.members: dict[tuple[str, str], list[int]] = {}
        self.carriers: dict[tuple[str, str], int] = {}
        self.quotas: dict[str, OwnLimits] = {}
        for quota in quotas:
            self.set_quota(quota)
        # Entries that expire and nobody asks for are collected in small steps: peaks lie between these.
        self.least_peaks, self.most_peaks = (0, 0), (0, 0)

    # --- the model

    def of(self, pipeline: str) -> Counts:
        return self.counts.setdefault(pipeline, Counts())

    def live(self, key: int) -> Held | None:
        held = self.held.get(key)
        return held if held is not None and self.clock.now < held.expires else None

    def join(self, key: int, held: Held) -> None:
        """Into its groups: the first member of a group is accounted with the group itself."""
        for name in held.groups:
            members = self.members.setdefault((held.pipeline, name), [])
            members.append(key)
            self.carriers.setdefault((held.pipeline, name), key)

    def leave(self, key: int) -> Held:
        """Out of the cache, and out of its groups, which whoever joined last carries from then on."""
        held = self.held.pop(key)
        for name in held.groups:
            group = held.pipeline, name
            self.members[group].remove(key)
            if self.carriers[group] == key:
                del self.carriers[group]
                if self.members[group]:
                    self.carriers[group] = heir = self.members[group][-1]
                    self.held[heir].size += own_bytes(name)
        return held

    def size_of(self, value: bytes, pipeline: str, groups: tuple[str, ...]) -> int:
        size = self.bookkeeping + len(value) + (STAMP_BYTES if self.quotas else 0)
        if groups:
            size += MEMBERSHIP_BYTES + len(groups) * MEMBER_BYTES
        return size + sum(own_bytes(name) for name in groups if not self.members.get((pipeline, name)))

    def purged(self, groups: tuple[str, ...], pipeline: str | None, soft: bool) -> None:
        for key, held in list(self.held.items()):
            if pipeline not in (None, held.pipeline) or not set(groups) & set(held.groups):
                continue
            if soft:
                held.expires = min(held.expires, self.clock.now)
                if held.staleness.while_revalidate_seconds and held.refresh_at < float("inf"):
                    held.refresh_at = min(held.refresh_at, held.expires)
            elif self.clock.now < held.goes:
                self.invalidate(key, "purged")
            else:
                self.evict(key, "expired")

    def evict(self, key: int, cause: str) -> None:
        held = self.leave(key)
        cause = "expired" if held.expires <= self.clock.now else cause
        counts = self.of(held.pipeline)
        counts.evictions[cause] += 1
        counts.unused += not held.hits
        counts.eviction_ages[bisect_left(AGE_SECONDS, self.clock.now - held.created)] += 1
        self.left[key] = "expired" if cause == "expired" else "evicted"

    def invalidate(self, key: int, cause: str) -> None:
        self.of(self.leave(key).pipeline).invalidations[cause] += 1
        self.left[key] = "invalidated"

    def shrink(self, writer: str | None = None) -> None:
        while len(self.held) > self.size or self.held_bytes() > self.limit:
            self.evict(self.victim(writer), "size" if len(self.held) > self.size else "memory")

    def victim(self, writer: str | None) -> int:
        """The oldest of the pipelines above their reserve; else of whoever needs the room; else of all."""
        above = [key for key, held in self.held.items() if self.held_bytes(held.pipeline) > self.reserve(held.pipeline)]
        own = [key for key, held in self.held.items() if held.pipeline == writer]
        return [*above, *own, *self.held][0]

    def reserve(self, pipeline: str) -> int:
        return self.quotas[pipeline].reserve if pipeline in self.quotas else 0

    def reserved(self, *but: str) -> int:
        return sum(quota.reserve for quota in self.quotas.values() if quota.pipeline not in but)

    def shrink_pipeline(self, pipeline: str) -> None:
        quota = self.quotas.get(pipeline)
        if quota is None:
            return
        while True:
            keys = [key for key, held in self.held.items() if held.pipeline == pipeline]
            too_many = quota.entries is not None and len(keys) > quota.entries
            too_large = quota.memory is not None and self.held_bytes(pipeline) > quota.memory
            if not too_many and not too_large:
                return
            self.evict(keys[0], "quota")

    def most_bytes(self, pipeline: str) -> int:
        quota = self.quotas.get(pipeline)
        own = self.limit if quota is None or quota.memory is None else quota.memory
        return min(own, self.limit - self.reserved(pipeline))

    def held_bytes(self, pipeline: str | None = None) -> int:
        return sum(held.size for held in self.held.values() if pipeline in (None, held.pipeline))

    def hit(self, key: int) -> Held:
        held = self.held[key]
        self.held.move_to_end(key)
        held.hits += 1
        counts = self.of(held.pipeline)
        counts.hits += 1
        counts.recouped += held.cost
        counts.recouped_cost += held.price
        counts.hit_ages[bisect_left(AGE_SECONDS, self.clock.now - held.created)] += 1
        return held

    def miss(self, key: int, pipeline: str, refresh: bool = False, counted: bool = True) -> str:
        if self.live(key):
            reason = "invalidated" if refresh else "not a miss"
        elif key in self.held:
            reason = "expired"
            if self.held[key].goes <= self.clock.now:
                self.evict(key, "expired")
        else:
            reason = self.left.get(key, "cold")
        if counted:
            self.of(pipeline).misses[reason] += 1
        return reason

    def answer_stale(self, key: int, pipeline: str) -> Held:
        held = self.held[key]
        self.held.move_to_end(key)
        held.hits += 1
        counts = self.of(pipeline)
        counts.stale += 1
        counts.recouped += held.cost
        counts.recouped_cost += held.price
        return held

    def claim(self, key: int, held: Held) -> None:
        """What has just answered is to be generated anew, if it is due and nobody has that to do."""
        due = self.clock.now >= held.refresh_at and key not in self.claimed
        assert due == bool(self.taken)
        if due:
            cause = "stale" if self.clock.now >= held.expires else "ahead"
            self.claimed[key] = Claimed(self.taken.pop(), held, cause)
            held.refresh_at = float("inf")

    def note_failure(self, key: int, held: Held, error: bool) -> None:
        held.failures += 1
        retry_at = self.clock.now + min(60.0, 2.0 ** (held.failures - 1))
        if error:
            held.in_error_until = retry_at + 60.0
        claimed = self.claimed.get(key)
        if claimed is not None and claimed.held is held:
            claimed.retry_at = retry_at
        else:
            held.refresh_at = retry_at

    def put(
        self,
        key: int,
        value: bytes,
        ttl: float | None,
        cost: float,
        price: float,
        pipeline: str,
        groups: tuple[str, ...] = (),
        staleness: Staleness = Staleness(),  # noqa: B008  # it never changes
        expires: float | None = None,
    ) -> bool:
        if not self.enabled:
            return False
        counts = self.of(pipeline)
        if self.left.get(key) == "evicted":
            counts.regretted += cost
            counts.regretted_cost += price
        old = self.held.get(key)
        if old is not None and self.clock.now >= old.expires:
            size = self.put_size(value, price, pipeline, groups, staleness, key)
            if size > self.most_bytes(pipeline) and self.clock.now < old.goes:
                self.invalidate(key, "replaced")
            else:
                self.evict(key, "expired")
        elif old is not None:
            self.invalidate(key, "replaced")
        size = self.put_size(value, price, pipeline, groups, staleness)
        if size > self.most_bytes(pipeline):
            self.left[key] = "too_large"
            return False
        now = self.clock.now
        expires = now + (ttl or float("inf")) if expires is None else expires
        self.held[key] = Held(
            value,
            size,
            pipeline,
            now,
            expires,
            cost,
            price,
            groups,
            staleness,
            now + staleness.refresh_ahead * (expires - now)
            if staleness.refresh_ahead and expires < float("inf")
            else expires
            if staleness.while_revalidate_seconds
            else float("inf"),
        )
        self.join(key, self.held[key])
        self.left.pop(key, None)
        self.shrink_pipeline(pipeline)
        self.shrink(pipeline)
        self.note_peaks()
        return key in self.held

    def put_size(
        self,
        value: bytes,
        price: float,
        pipeline: str,
        groups: tuple[str, ...],
        staleness: Staleness,
        instead_of: int | None = None,
    ) -> int:
        """The size of an entry, as it is where one of its key is not held any more."""
        size = self.size_of(value, pipeline, groups) + (PRICE_BYTES if price else 0)
        for name in groups:
            if self.members.get((pipeline, name)) == [instead_of]:
                size += own_bytes(name)
        return size + (KEPT_BYTES if staleness != Staleness() else 0)

    def note_peaks(self) -> None:
        lasting = [held.size for held in self.held.values() if held.goes > self.clock.now]
        self.least_peaks = (max(self.least_peaks[0], len(lasting)), max(self.least_peaks[1], sum(lasting)))
        self.most_peaks = (max(self.most_peaks[0], len(self.held)), max(self.most_peaks[1], self.held_bytes()))

    def collect(self) -> None:
        for key in [key for key, held in self.held.items() if held.goes <= self.clock.now]:
            self.evict(key, "expired")

    # --- what is done to both

    @rule(keys=st.lists(st.tuples(KEYS, PASSING), min_size=1, max_size=6), pipeline=PIPELINES)
    def get(self, keys: list[tuple[int, float]], pipeline: str) -> None:
        for key, passing in keys:
            self.clock.advance(passing)
            if not self.enabled:
                self.of(pipeline).bypassed += 1
                expected = None
            elif self.live(key):
                expected = self.hit(key).value
            else:
                expected = None
                self.miss(key, pipeline)
            assert expected == self.cache.get(key, pipeline=pipeline)

    @rule(
        key=KEYS,
        size=SIZES,
        ttl=LIVES,
        cost=COSTS,
        price=PRICES,
        pipeline=PIPELINES,
        groups=GROUPS,
        passing=PASSING,
    )
    def set(
        self,
        key: int,
        size: int,
        ttl: float | None,
        cost: float,
        price: float,
        pipeline: str,
        groups: tuple[str, ...],
        passing: float,
    ) -> None:
        self.clock.advance(passing)
        value = bytes(size)
        stored = self.cache.set(
            key, value, ttl_seconds=ttl, cost_seconds=cost, price=price, pipeline=pipeline, groups=groups
        )
        assert stored is self.put(key, value, ttl, cost, price, pipeline, groups)

    @rule(purge=PURGES, passing=PASSING)
    def purge(self, purge: tuple[tuple[str, ...], str | None, bool], passing: float) -> None:
        self.clock.advance(passing)
        groups, pipeline, soft = purge
        self.purged(groups, pipeline, soft)
        self.cache.purge(groups, pipeline, soft=soft)

    @rule(
        key=KEYS,
        size=SIZES,
        cost=COSTS,
        pipeline=PIPELINES,
        groups=GROUPS,
        purge=PURGES,
        passing=PASSING,
        refresh=st.booleans(),
        staleness=STALENESS,
    )
    def fetch_while_groups_are_purged(
        self,
        key: int,
        size: int,
        cost: float,
        pipeline: str,
        groups: tuple[str, ...],
        purge: tuple[tuple[str, ...], str | None, bool],
        passing: float,
        refresh: bool,
        staleness: Staleness,
    ) -> None:
        """What began before a purge of its groups is not stored, but for what is in none of them."""
        if not self.enabled:
            return
        purged, of_pipeline, soft = purge

        def generate() -> bytes:
            self.clock.advance(cost)
            self.purged(purged, of_pipeline, soft)
            self.cache.purge(purged, of_pipeline, soft=soft)
            return bytes(size)

        self.clock.advance(passing)
        expected = None
        held = self.held.get(key)
        if held is not None and not refresh and self.live(key):
            self.hit(key)
            expected = "hit"
        elif held is not None and not refresh and held.answers_stale(self.clock.now):
            self.answer_stale(key, pipeline)
            expected = "stale"
        else:
            self.miss(key, pipeline, refresh)
        mode: Any = "refresh" if refresh else "default"
        lookup = self.cache.fetch(
            key,
            generate,
            pipeline=pipeline,
            groups=groups,
            mode=mode,
            staleness=staleness,
            begin_refresh=self.taken.append,
        )
        if expected is not None and held is not None:
            assert expected == lookup.outcome
            self.claim(key, held)
            return
        counts = self.of(pipeline)
        counts.generated += 1
        counts.generating_seconds += cost
        value = bytes(size)
        if of_pipeline not in (None, pipeline) or not set(purged) & set(groups):
            assert lookup.stored is self.put(key, value, self.ttl, cost, 0.0, pipeline, groups, staleness)
        elif soft and staleness.kept_seconds and not self.live(key):
            now = self.clock.now
            assert lookup.stored is self.put(key, value, 0, cost, 0.0, pipeline, groups, staleness, expires=now)
        else:
            assert not lookup.stored
            if key not in self.held:
                self.left[key] = "invalidated"

    @rule(key=KEYS, size=SIZES, passing=PASSING)
    def set_as_a_mapping(self, key: int, size: int, passing: float) -> None:
        self.clock.advance(passing)
        self.cache[key] = bytes(size)
        self.put(key, bytes(size), self.ttl, 0.0, 0.0, "default")

    @rule(
        key=KEYS,
        size=SIZES,
        cost=COSTS,
        price=PRICES,
        pipeline=PIPELINES,
        refresh=st.booleans(),
        fails=st.booleans(),
        passing=PASSING,
        staleness=STALENESS,
        allow_stale=st.sampled_from([True, True, False]),
    )
    def fetch(
        self,
        key: int,
        size: int,
        cost: float,
        price: float,
        pipeline: str,
        refresh: bool,
        fails: bool,
        passing: float,
        staleness: Staleness,
        allow_stale: bool,
    ) -> None:
        self.clock.advance(passing)

        def ask() -> Any:
            return self.cache.fetch(
                key,
                self.generator(size, cost, fails),
                pipeline=pipeline,
                mode="refresh" if refresh else "default",
                decide=lambda _: Decision(price=price, price_per_second=PRICE_PER_SECOND),
                staleness=staleness,
                allow_stale=allow_stale,
                begin_refresh=self.taken.append,
            )

        old = self.held.get(key) if self.enabled and not refresh else None
        if old is not None and self.live(key):
            held = self.hit(key)
            lookup = ask()
            self.claim(key, held)
            assert ("hit", held.value, held.cost) == (lookup.outcome, lookup.value, lookup.cost_seconds)
            assert held.price == lookup.price
            assert self.clock.now - held.created == lookup.age_seconds
            return
        if old is not None and allow_stale and old.answers_stale(self.clock.now):
            self.answer_stale(key, pipeline)
            self.compare_stale(ask(), old)
            self.claim(key, old)
            return
        if fails and old is not None and allow_stale and old.stands_in(self.clock.now):
            reason = self.miss(key, pipeline, counted=False)
            self.fails_over(ask, key, cost, pipeline, old, reason)
            return
        if self.enabled:
            outcome, why = "miss", self.miss(key, pipeline, refresh)
        else:
            outcome, why = "bypass", None
            self.of(pipeline).bypassed += 1
        paid = price + PRICE_PER_SECOND * cost
        self.generates(ask, outcome, why, key, size, cost, paid, pipeline, fails, staleness)

    def compare_stale(self, lookup: Any, held: Held) -> None:
        assert ("stale", held.value, held.cost) == (lookup.outcome, lookup.value, lookup.cost_seconds)
        now = self.clock.now
        assert (now - held.created, held.expires - now) == (lookup.age_seconds, lookup.expires_in_seconds)

    def fails_over(self, ask: Callable[[], Any], key: int, cost: float, pipeline: str, held: Held, reason: str) -> None:
        """A generation that fails where a stale result may stand in for it, if it still may then."""
        counts = self.of(pipeline)
        counts.failed += 1
        try:
            lookup = ask()
        except GenerationFailedError:
            assert not held.stands_in(self.clock.now)
            counts.misses[reason] += 1
        else:
            self.answer_stale(key, pipeline)
            self.compare_stale(lookup, held)
        self.note_failure(key, held, error=True)

    @rule(
        key=KEYS,
        size=st.sampled_from([0, 100]),
        pipeline=PIPELINES,
        staleness=STALENESS,
        steps=st.lists(st.tuples(PASSING, st.sampled_from(["ask", "ask", "dead", "refresh", "fail"])), min_size=2),
    )
    def live_through(
        self, key: int, size: int, pipeline: str, staleness: Staleness, steps: list[tuple[float, str]]
    ) -> None:
        """One key, asked for again and again: near its expiry and past it."""
        for passing, what in steps:
            if what in ("ask", "dead"):
                fails = what == "dead"
                self.fetch(key, size, 0.5, 0.0, pipeline, False, fails, passing, staleness, True)
            else:
                self.clock.advance(passing)
                self.refresh(size, 0.5, "well" if what == "refresh" else "failing", staleness)
            # As the statistics do, which are compared after the last step.
            self.cache.stats()
            self.collect()

    @rule(size=SIZES, cost=COSTS, ends=st.sampled_from(["well", "well", "failing", "unkept"]), staleness=STALENESS)
    def refresh(self, size: int, cost: float, ends: str, staleness: Staleness) -> None:
        """Run the refresh that was claimed first: it replaces what it was claimed for, or nothing."""
        if not self.claimed:
            return
        key = next(iter(self.claimed))
        claimed = self.claimed[key]
        held = claimed.held
        pipeline, counts = held.pipeline, self.of(held.pipeline)
        needed = self.enabled and self.held.get(key) is held
        stored = self.cache.refresh(
            claimed.claim,
            self.generator(size, cost, ends == "failing"),
            ttl_seconds=self.ttl,
            groups=held.groups,
            decide=lambda _: Decision(keep=ends != "unkept"),
            staleness=staleness,
        )
        expected = False
        if needed and ends == "failing":
            counts.failed += 1
            self.note_failure(key, held, error=True)
        elif needed:
            counts.generated += 1
            counts.generating_seconds += cost
            counts.refreshed_seconds += cost
            if ends == "well":
                value = bytes(size)
                expected = self.put(key, value, self.ttl, cost, 0.0, pipeline, held.groups, staleness)
            if not expected:
                self.note_failure(key, held, error=False)
        if needed:
            counts.refreshes[claimed.cause, "stored" if expected else "failed"] += 1
        assert expected is stored
        del self.claimed[key]
        held.refresh_at = self.clock.now + 1.0 if claimed.retry_at is None else claimed.retry_at

    def generator(self, size: int, cost: float, fails: bool) -> Callable[[], bytes]:
        def generate() -> bytes:
            self.clock.advance(cost)
            if fails:
                raise GenerationFailedError("no luck")
            return bytes(size)

        return generate

    def generates(
        self,
        ask: Callable[[], Any],
        outcome: str,
        reason: str | None,
        key: int,
        size: int,
        cost: float,
        price: float,
        pipeline: str,
        fails: bool,
        staleness: Staleness,
    ) -> None:
        counts = self.of(pipeline)
        if fails:
            counts.failed += 1
            try:
                ask()
            except GenerationFailedError:
                return
            raise AssertionError("the leader's error is lost")
        lookup = ask()
        counts.generated += 1
        counts.generating_seconds += cost
        counts.generated_cost += price
        stored = self.put(key, bytes(size), self.ttl, cost, price, pipeline, (), staleness)
        assert (outcome, reason, bytes(size)) == (lookup.outcome, lookup.reason, lookup.value)
        assert (stored, cost, price) == (lookup.stored, lookup.cost_seconds, lookup.price)

    @rule(key=KEYS, passing=PASSING)
    def delete(self, key: int, passing: float) -> None:
        self.clock.advance(passing)
        expected = key in self.held and self.clock.now < self.held[key].goes
        if expected:
            self.invalidate(key, "deleted")
        elif key in self.held:
            self.evict(key, "expired")
        assert expected is self.cache.delete(key)

    @rule(pipeline=st.none() | PIPELINES, passing=PASSING)
    def clear(self, pipeline: str | None, passing: float) -> None:
        self.clock.advance(passing)
        chosen = [key for key, held in self.held.items() if pipeline in (None, held.pipeline)]
        for key in chosen:
            self.invalidate(key, "cleared")
        assert len(chosen) == self.cache.clear(pipeline)

    @rule(size=st.none() | ENTRY_LIMITS, limit=st.none() | BYTE_LIMITS, ttl=LIVES, passing=PASSING)
    def configure(self, size: int | None, limit: int | None, ttl: float | None, passing: float) -> None:
        self.clock.advance(passing)
        changes: dict[str, Any] = {"ttl_seconds": ttl}
        if limit is not None and 0 < self.reserved() >= limit:
            before = self.cache.config()
            with pytest.raises(ConfigurationError, match="reserve_memory_mb"):
                self.cache.configure(max_memory_mb=limit / MB, **changes)
            assert before == self.cache.config()
            return
        if size is not None:
            changes["max_size"] = self.size = size
        if limit is not None:
            changes["max_memory_mb"] = limit / MB
            self.limit = limit
        self.ttl = ttl
        self.shrink()
        assert self.cache.configure(**changes) == self.cache.config()

    @rule(quota=QUOTAS)
    def set_quota(self, quota: OwnLimits) -> None:
        def change() -> None:
            self.cache.set_quota(
                quota.pipeline,
                max_entries=quota.entries,
                max_memory_mb=None if quota.memory is None else quota.memory / MB,
                reserve_memory_mb=quota.reserve / MB,
            )

        leaves_nothing = 0 < self.reserved(quota.pipeline) + quota.reserve >= self.limit
        if leaves_nothing or (quota.memory is not None and quota.reserve > quota.memory):
            with pytest.raises(ConfigurationError, match="reserve_memory_mb"):
                change()
            return
        self.quotas[quota.pipeline] = quota
        self.shrink_pipeline(quota.pipeline)
        self.shrink()
        change()

    @rule(enabled=st.booleans())
    def enable(self, enabled: bool) -> None:
        self.enabled = enabled
        self.cache.configure(enabled=enabled)

    @rule()
    def reset_stats(self) -> None:
        self.cache.reset_stats()
        self.counts = {pipeline: Counts() for pipeline in self.counts}
        self.least_peaks = self.most_peaks = (len(self.held), self.held_bytes())

    # --- what holds after each

    @invariant()
    def contains_what_lives(self) -> None:
        assert [self.enabled and self.live(key) is not None for key in range(8)] == [
            key in self.cache for key in range(8)
        ]

    @invariant()
    def everything_else_agrees(self) -> None:
        # The statistics collect what has expired, so they come first.
        stats = self.cache.stats()
        self.collect()
        self.compare_entries(stats)
        for pipeline, counts in self.counts.items():
            self.compare_counts(counts, stats.pipelines[pipeline], stats.histograms[pipeline])
        assert {0} == set(stats.internal_errors.values())
        for least, peak, most in zip(
            self.least_peaks, (stats.peak_entries, stats.peak_memory_bytes), self.most_peaks, strict=True
        ):
            assert least <= peak <= most

    def compare_entries(self, stats: Any) -> None:
        entries = self.cache.entries(sort="recent")
        assert list(reversed(self.held)) == [entry["key"] for entry in entries]
        assert self.held_bytes() == stats.memory_bytes == sum(entry["size_bytes"] for entry in entries)
        assert len(self.held) == stats.entries == len(self.cache) == self.cache.count()
        for entry in entries:
            held = self.held[entry["key"]]
            assert list(held.groups) == entry["groups"]
            assert (held.size, held.pipeline, held.hits, held.cost, held.price, self.clock.now - held.created) == (
                entry["size_bytes"],
                entry["pipeline"],
                entry["hits"],
                entry["cost_seconds"],
                entry["price"],
                entry["age_seconds"],
            )

    def compare_counts(self, counts: Counts, stats: Any, histograms: Any) -> None:
        assert (counts.hits, counts.bypassed, counts.unused) == (stats.hits, stats.bypassed, stats.unused_evictions)
        assert (counts.misses, sum(counts.misses.values())) == (stats.miss_reasons, stats.misses)
        assert counts.evictions == stats.evictions
        assert counts.invalidations == stats.invalidations
        assert (counts.recouped, counts.regretted) == (stats.recouped_seconds, stats.regretted_seconds)
        money = (counts.generated_cost, counts.recouped_cost, counts.regretted_cost)
        assert money == tuple(
            amounts.get("USD", 0.0) for amounts in (stats.generated_cost, stats.recouped_cost, stats.regretted_cost)
        )
        assert (counts.generated, counts.generating_seconds) == (stats.generations, stats.generation_seconds)
        assert counts.failed == stats.generation_failures["error"] == sum(stats.generation_failures.values())
        assert (counts.stale, 0, 0) == (stats.stale, stats.coalesced, stats.generations_in_progress)
        assert (counts.refreshes, counts.refreshed_seconds) == (stats.refreshes, stats.spent_seconds["refresh"])
        assert tuple(counts.hit_ages) == histograms.hit_age.counts
        assert tuple(counts.eviction_ages) == histograms.eviction_age.counts


CacheAgainstModel.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCacheAgainstModel = CacheAgainstModel.TestCase
