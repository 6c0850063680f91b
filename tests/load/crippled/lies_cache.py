"""Lies of the cache: another order, another size, no time to live, no single-flight, and what is not done at all."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from patching import patch


def _victims(choose: Callable[[list[Any]], Any]) -> None:
    """Evict what is chosen of all entries, the one that was used longest ago first."""
    from recoup.cache.policies.lru import LRUOrder

    def victim(self: LRUOrder) -> Any:
        entries = list(self.newest_first())[::-1]
        return choose(entries) if entries else None

    patch(LRUOrder, victim=victim)


def reversed_order() -> None:
    """Evict what was used last but one instead of what was used least recently."""
    _victims(lambda entries: entries[-2] if len(entries) > 1 else entries[0])


def most_recent() -> None:
    """Evict what was stored a moment ago: nothing new gets in."""
    _victims(lambda entries: entries[-1])


def random_order() -> None:
    """Evict any entry."""
    draw = random.Random(7)
    _victims(draw.choice)


def least_frequent() -> None:
    """Evict what was hit least often, but for what has just come."""
    _victims(lambda entries: min(entries[:-1] or entries, key=lambda entry: entry.hits))


def first_in() -> None:
    """Evict what was stored first, however often it was used."""
    from recoup.cache.policies.lru import LRUOrder

    patch(LRUOrder, touch=lambda self, reads: None)


def clock_order() -> None:
    """Give what was used a second chance, in the order of storing: Corbato's clock."""
    from recoup.cache.policies.lru import LRUOrder

    move, used = LRUOrder.touch, set[Any]()

    def touch(self: LRUOrder, reads: Mapping[Any, int]) -> None:
        used.update(entry.key for entry in reads)

    def victim(self: LRUOrder) -> Any:
        while True:
            entry = self._ends.newer
            if entry is self._ends:
                return None
            if entry.key not in used:
                return entry
            used.discard(entry.key)
            move(self, {entry: 1})

    patch(LRUOrder, touch=touch, victim=victim)


def _size(change: Callable[[int], int]) -> None:
    """Keep another number of entries than the configuration allows."""
    from recoup.cache.store import Store

    begin, limit = Store.__init__, Store.limit

    def begun(self: Store, max_size: int, *rest: Any) -> None:
        begin(self, change(max_size), *rest)

    def limited(self: Store, max_size: int, max_memory_bytes: int) -> None:
        limit(self, change(max_size), max_memory_bytes)

    patch(Store, __init__=begun, limit=limited)


def tenth() -> None:
    """Keep a tenth of the entries."""
    _size(lambda size: max(1, size // 10))


def one_too_few() -> None:
    """Keep one entry less."""
    _size(lambda size: max(1, size - 1))


def one_too_many() -> None:
    """Keep one entry more."""
    _size(lambda size: size + 1)


def five_too_many() -> None:
    """Keep five entries more."""
    _size(lambda size: size + 5)


def _ttl(seconds: float) -> None:
    from recoup.cache.state import CacheState

    put = CacheState.put

    def other(self: CacheState, key: Any, value: Any, size: Any, ttl: Any, *rest: Any) -> bool:
        return put(self, key, value, size, seconds, *rest)

    patch(CacheState, put=other)


def one_second() -> None:
    """Let every entry expire after a second, whatever the configuration says, whoever stores it."""
    _ttl(1.0)


def ttl_ignored() -> None:
    """Let no entry expire for a day."""
    _ttl(86400.0)


def clear_not_done() -> None:
    """Say how many entries are cleared, and keep them."""
    from recoup.cache.lru import ResultCache

    patch(ResultCache, clear=lambda self, pipeline=None: self.count(pipeline))


def delete_not_done() -> None:
    """Say that an entry is deleted, and keep it."""
    from recoup.cache.lru import ResultCache

    patch(ResultCache, delete=lambda self, key: key in self)


def configure_not_done() -> None:
    """Take a change of the configuration, say that it is made, and make none but the first."""
    from recoup.cache.lru import ResultCache

    configure, done = ResultCache.configure, []

    def once(self: Any, **changes: Any) -> dict[str, Any]:
        done.append(1)
        return configure(self, **changes) if len(done) == 1 else {**self.config(), **changes}

    patch(ResultCache, configure=once)


def no_single_flight() -> None:
    """Generate for each caller."""
    _without_flights(lambda key: True)


def some_single_flight() -> None:
    """Generate for each caller of some keys."""
    _without_flights(lambda key: int(str(key)[-1], 16) % 2 == 0)


def _without_flights(alone: Callable[[Any], bool]) -> None:
    from recoup.cache.flights import Flights

    known = Flights.get

    def get(self: Flights, key: Any) -> Any:
        return None if alone(key) else known(self, key)

    patch(Flights, get=get)


def no_store_hits() -> None:
    """Answer `no-store` from the cache where it can be, and say and count that it went past it."""
    from recoup.cache.bypassing import Bypasser
    from recoup.cache.stats import Lookup

    past = Bypasser.arun

    async def answered(self: Bypasser, request: Any, bypass: Any, generate: Any) -> Any:
        entry = self._state.store.live.get(request.key)
        if entry is None:
            return await past(self, request, bypass, generate)
        with self._state.lock:
            entry.counters.count_generation("bypass", entry.cost_seconds, entry.price)
        return Lookup(entry.value, "bypass", cost_seconds=entry.cost_seconds, bypass_reason=bypass.reason)

    patch(Bypasser, arun=answered)


def warm() -> None:
    """Hold entries before anybody has asked."""
    from recoup.cache.lru import ResultCache

    begin = ResultCache.__init__

    def begun(self: Any, **settings: Any) -> None:
        begin(self, **settings)
        for number in range(10):
            self.set(f"{number:032x}", b"kept from before", pipeline="relief")

    patch(ResultCache, __init__=begun)


def keys_that_round() -> None:
    """Leave all but one decimal of a relief's depth out of its key."""
    from dataclasses import replace

    from recoup.pipelines.relief import pipeline

    canonical = vars(pipeline)["canonical"]

    def rounded(parameters: Any) -> Any:
        return canonical(replace(parameters, depth_mm=round(parameters.depth_mm, 1)))

    patch(pipeline, canonical=rounded)


def keys_that_merge_numbers() -> None:
    """Leave all but three decimals of a JSON number out of its key."""
    from dataclasses import replace

    from recoup.pipelines import http

    prepare = http.HttpPipeline.prepare

    def prepared(self: Any, request: Any) -> Any:
        body = _DECIMALS.sub(rb"\1", request.body)
        honest = prepare(self, request)
        return replace(honest, canonical=prepare(self, replace(request, body=body)).canonical)

    patch(http.HttpPipeline, prepare=prepared)


_DECIMALS = re.compile(rb"(\d\.\d{3})\d+")

WAYS: dict[str, Callable[[], None]] = {
    "reversed-order": reversed_order,
    "most-recent": most_recent,
    "random-order": random_order,
    "least-frequent": least_frequent,
    "first-in": first_in,
    "clock-order": clock_order,
    "tenth": tenth,
    "one-too-few": one_too_few,
    "one-too-many": one_too_many,
    "five-too-many": five_too_many,
    "one-second": one_second,
    "ttl-ignored": ttl_ignored,
    "clear-not-done": clear_not_done,
    "delete-not-done": delete_not_done,
    "configure-not-done": configure_not_done,
    "no-single-flight": no_single_flight,
    "some-single-flight": some_single_flight,
    "no-store-hits": no_store_hits,
    "warm": warm,
    "keys-that-round": keys_that_round,
    "keys-that-merge-numbers": keys_that_merge_numbers,
}
