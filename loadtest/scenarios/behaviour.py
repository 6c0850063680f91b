"""What the service does when it is not asked nicely: a stampede, scans, more than it can do, a busy operator."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from loadtest import theory
from loadtest.actions import clear, configure, delete_entry, list_entries
from loadtest.items import Item, of, singly
from loadtest.plan import Action, Batch, Lane, Moment, Phase, Rendezvous
from loadtest.scenarios.parts import TTL_SECONDS, lane, scenario, start, typical_lane, warm
from loadtest.settings import Settings

STAMPEDES = 5

#: Popular calls before and after the scan, and a second: what a chart can show.
CHURN_REQUESTS = 360
CHURN_RATE = 45.0
CHURN_ALPHA = 0.7
#: Cold keys of the scan, and popular calls for each: the order, and so the hit ratio, is the same on any machine.
SCAN_ITEMS = 80
POPULAR_BETWEEN = 2

FLOOD_SECONDS = 6.0
#: More callers than there is room for: 64 wait for a worker, of which there are at most 8.
FLOOD_USERS = 120
FLOOD_ITEMS = 6000
FLOOD_PAUSE_SECONDS = 0.25
#: Calls a second for what is held, meanwhile.
HITS_RATE = 40.0
HITS_ITEMS = 10
RECOVERY_REQUESTS = 6
OK_OR_FULL = frozenset({200, 503})

MANAGEMENT_SECONDS = 12.0
#: Shorter than a second of traffic, so that entries expire while it goes on.
_SHORT_TTL_SECONDS = 0.5


@scenario("One generation for each key; nobody fails.")
def stampede(settings: Settings) -> tuple[Phase, ...]:
    """Hundreds of callers of one cold key at once, key after key."""

    def rounds() -> Iterator[Batch | Rendezvous]:
        for item in of(settings, "stampede", STAMPEDES):
            yield from singly([item] * settings.callers)
            yield Rendezvous()

    return (Phase("stampede", "cached", (Lane(rounds, users=settings.callers),), before=start(settings)),)


@scenario("The hit ratio falls and recovers; the miss reasons say why: cold, then evicted.")
def churn(settings: Settings) -> tuple[Phase, ...]:
    """Popular traffic that the cache holds whole, with a scan through cold keys in between."""
    items = of(settings, "churn", settings.cache_entries + SCAN_ITEMS)
    popular, cold = items[: settings.cache_entries], items[settings.cache_entries :]
    draw = Random(f"churn {settings.seed}")  # noqa: S311
    # Each of them once, so that it is known which ones are popular.
    before = [*draw.sample(popular, len(popular)), *_popular(draw, popular, CHURN_REQUESTS)]
    between = _popular(draw, popular, SCAN_ITEMS * POPULAR_BETWEEN)
    after = _popular(draw, popular, CHURN_REQUESTS)
    # Twice the users, so that those who wait for a generation do not keep the hits from being asked for.
    users = 2 * settings.users
    return (
        warm(settings, "churn", popular),
        Phase("churn", "before", (lane(singly(before), users, CHURN_RATE),)),
        Phase("churn", "scan", (lane(singly(_scanned(between, cold)), users, CHURN_RATE),)),
        Phase("churn", "after", (lane(singly(after), users, CHURN_RATE),)),
    )


def _popular(draw: Random, items: tuple[Item, ...], count: int) -> list[Item]:
    bounds = list(accumulate(theory.zipf(len(items), CHURN_ALPHA)))
    return draw.choices(items, cum_weights=bounds, k=count)


def _scanned(popular: list[Item], cold: tuple[Item, ...]) -> list[Item]:
    """One of the cold items after every few of the popular ones."""
    groups = (popular[start : start + POPULAR_BETWEEN] for start in range(0, len(popular), POPULAR_BETWEEN))
    return [item for group, one in zip(groups, cold, strict=True) for item in (*group, one)]


@scenario("Hits stay fast; the others are generated or get 503 with Retry-After; recovery at once.")
def saturation(settings: Settings) -> tuple[Phase, ...]:
    """More distinct requests than the generator can do, beside some that are held."""
    items = of(settings, "saturation", HITS_ITEMS + RECOVERY_REQUESTS + FLOOD_ITEMS)
    held, rest = items[:HITS_ITEMS], items[HITS_ITEMS:]
    calm, flood = rest[:RECOVERY_REQUESTS], rest[RECOVERY_REQUESTS:]
    hits = lane(singly(held * round(FLOOD_SECONDS * HITS_RATE / HITS_ITEMS)), settings.users, HITS_RATE)
    distinct = Lane(
        lambda: iter(singly(flood, allowed=OK_OR_FULL)), users=FLOOD_USERS, pause_seconds=FLOOD_PAUSE_SECONDS
    )
    return (
        warm(settings, "saturation", held),
        Phase("saturation", "flood", (hits, distinct), seconds=FLOOD_SECONDS),
        Phase("saturation", "recovery", (lane(singly(calm), 1),)),
    )


@scenario("No failure; counts stay exact.")
def management(settings: Settings) -> tuple[Phase, ...]:
    """Typical traffic while the cache is listed, resized, cleared, switched off and on."""
    entries = settings.cache_entries
    actions: tuple[Action, ...] = (
        list_entries(),
        configure({"max_size": max(1, entries // 4)}),
        configure({"max_size": entries}),
        delete_entry(),
        clear(),
        list_entries(),
        configure({"ttl_seconds": _SHORT_TTL_SECONDS}),
        configure({"ttl_seconds": TTL_SECONDS}),
        configure({"enabled": False}),
        configure({"enabled": True}),
        delete_entry(),
    )
    during = tuple(Moment(float(second), action) for second, action in enumerate(actions, start=1))
    lanes = (typical_lane(settings, "management"),)
    return (Phase("management", "cached", lanes, seconds=MANAGEMENT_SECONDS, before=start(settings), during=during),)
