"""Typical traffic: a seeded sequence with Zipf's popularity, and the state of the cache that it leads to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate, islice

from loadtest import theory
from loadtest.items import OK, Item, of
from loadtest.plan import Batch
from loadtest.settings import Settings

#: Requests before the steady state begins, for each item of the catalogue. An LRU holds what was asked for last, and so
#: a cache that was ever full in that time is where an endless run would have led it.
BURN_IN = 40
_AT_ONCE = 1000


def _ranks(settings: Settings, scenario: str) -> Iterator[int]:
    """An endless sequence of ranks, the most popular being 0."""
    draw = random.Random(f"traffic {settings.seed} {scenario}")  # noqa: S311
    bounds = list(accumulate(theory.zipf(settings.catalogue, settings.alpha)))
    population = range(settings.catalogue)
    while True:
        yield from draw.choices(population, cum_weights=bounds, k=_AT_ONCE)


def burn_in(settings: Settings, scenario: str) -> Iterator[int]:
    """The part of the sequence before the steady state."""
    return islice(_ranks(settings, scenario), BURN_IN * settings.catalogue)


def steady(settings: Settings, scenario: str) -> Iterator[int]:
    """The endless part of the sequence after it."""
    return islice(_ranks(settings, scenario), BURN_IN * settings.catalogue, None)


def warm(settings: Settings, scenario: str) -> tuple[Item, ...]:
    """What an LRU holds after the burn-in, least recently used first: asked for in this order, they bring it there."""
    cache: theory.LRU[int] = theory.LRU(settings.cache_entries)
    for rank in burn_in(settings, scenario):
        cache.ask(rank)
    catalogue = of(settings, scenario, settings.catalogue)
    return tuple(catalogue[rank] for rank in cache.state())


def batches(
    settings: Settings, scenario: str, *, bypass: bool = False, allowed: frozenset[int] = OK
) -> Iterator[Batch]:
    """The steady sequence from its start, endless, as calls."""
    catalogue = of(settings, scenario, settings.catalogue)
    calls = [(item.call(bypass=bypass, allowed=allowed),) for item in catalogue]
    return (calls[rank] for rank in steady(settings, scenario))
