"""The rows of the product's table: single, duplicate and equal requests, typical usage; and the soak."""

from __future__ import annotations

from loadtest import traffic
from loadtest.items import of, singly
from loadtest.plan import Batch, Phase, Rendezvous, Settle
from loadtest.scenarios.parts import lane, start, typical, warm
from loadtest.settings import Settings

SINGLE_REQUESTS = 40
#: For each user, before anything is measured.
FIRST_REQUESTS = 4
DUPLICATE_REQUESTS = 20
DUPLICATE_HITS = 200
BATCHES = 12
CACHED_BATCHES = 30
#: Typical usage without the cache: long enough for its mean, and no longer than half of what it is compared with.
MOST_WITHOUT_SECONDS = 40.0


def single(settings: Settings) -> tuple[Phase, ...]:
    """Distinct requests: the same ones past the cache, and then through it."""
    found = of(settings, "single", SINGLE_REQUESTS + FIRST_REQUESTS * settings.users)
    found, first = found[:SINGLE_REQUESTS], found[SINGLE_REQUESTS:]
    return (
        # A worker's first generation takes a third longer: neither of the two means shall have it.
        Phase("single", "warm", (lane(singly(first, bypass=True), settings.users),), before=start(settings)),
        Phase("single", "without", (lane(singly(found, bypass=True), settings.users),)),
        Phase("single", "cached", (lane(singly(found), settings.users),)),
    )


def duplicate(settings: Settings) -> tuple[Phase, ...]:
    """One request again and again; the first one alone, so that one is a miss and all others hits."""
    (item,) = of(settings, "duplicate", 1)
    without = singly([item] * DUPLICATE_REQUESTS, bypass=True)
    again = singly([item] * DUPLICATE_HITS)
    cached: tuple[Batch | Rendezvous, ...] = ((item.call(),), Rendezvous(), *again)
    return (
        Phase("duplicate", "without", (lane(without, settings.users),), before=start(settings)),
        Phase("duplicate", "cached", (lane(cached, settings.users),)),
    )


def pair(settings: Settings) -> tuple[Phase, ...]:
    """Batches of two equal requests: half of them are hits."""
    return _equal(settings, "pair", 2)


def triple(settings: Settings) -> tuple[Phase, ...]:
    """Batches of three equal requests: two thirds of them are hits."""
    return _equal(settings, "triple", 3)


def _equal(settings: Settings, scenario: str, size: int) -> tuple[Phase, ...]:
    found = of(settings, scenario, CACHED_BATCHES)
    without = tuple((item.call(bypass=True),) * size for item in found[:BATCHES])
    cached = tuple((item.call(),) * size for item in found)
    return (
        Phase(scenario, "without", (lane(without, settings.users),), before=start(settings)),
        Phase(scenario, "cached", (lane(cached, settings.users),)),
    )


def typical_usage(settings: Settings) -> tuple[Phase, ...]:
    """Zipf's popularity over a catalogue that the cache does not hold, past the cache and then through it."""
    seconds = min(MOST_WITHOUT_SECONDS, settings.duration_seconds / 2)
    return (
        warm(settings, "typical", traffic.warm(settings, "typical")),
        Phase("typical", "without", (typical(settings, "typical", bypass=True),), seconds=seconds),
        _steady(settings, "typical"),
    )


def soak(settings: Settings) -> tuple[Phase, ...]:
    """Typical usage through the cache, for as long as one says."""
    return (warm(settings, "soak", traffic.warm(settings, "soak")), _steady(settings, "soak"))


def _steady(settings: Settings, scenario: str) -> Phase:
    # A scrape before it, so that what Prometheus counts in this time is this phase's alone.
    return Phase(
        scenario, "cached", (typical(settings, scenario),), seconds=settings.duration_seconds, before=(Settle(),)
    )
