"""What the service does when it is not asked nicely: a stampede, scans, more than it can do, a busy operator."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from loadtest import theory
from loadtest.items import Item, of, singly
from loadtest.plan import Action, Batch, Clear, Configure, DeleteEntry, Lane, ListEntries, Moment, Phase, Rendezvous
from loadtest.scenarios.parts import TTL_SECONDS, lane, start, typical, warm
from loadtest.settings import Settings

STAMPEDES = 5

CHURN_SECONDS = 8.0
#: Popular calls a second: few enough that the scan's keys push the less popular ones out in between.
CHURN_RATE = 30.0
CHURN_ALPHA = 0.7
#: More keys than are generated in that time.
SCAN_ITEMS = 4000

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


def stampede(settings: Settings) -> tuple[Phase, ...]:
    """Hundreds of callers of one cold key at once, key after key."""

    def rounds() -> Iterator[Batch | Rendezvous]:
        for item in of(settings, "stampede", STAMPEDES):
            yield from singly([item] * settings.callers)
            yield Rendezvous()

    return (Phase("stampede", "cached", (Lane(rounds, users=settings.callers),), before=start(settings)),)


def churn(settings: Settings) -> tuple[Phase, ...]:
    """Popular traffic that the cache holds whole; with a scan through cold keys beside it; and alone again."""
    popular = of(settings, "churn", settings.cache_entries)
    cold = of(settings, "churn", settings.cache_entries + SCAN_ITEMS)[settings.cache_entries :]
    scan = Lane(lambda: iter(singly(cold)), users=settings.users, background=True)
    lanes = {part: _popular(settings, part, popular) for part in ("before", "scan", "after")}
    return (
        warm(settings, "churn", popular),
        Phase("churn", "before", (lanes["before"],)),
        Phase("churn", "scan", (lanes["scan"], scan)),
        Phase("churn", "after", (lanes["after"],)),
    )


def _popular(settings: Settings, part: str, items: tuple[Item, ...]) -> Lane:
    draw = Random(f"churn {settings.seed} {part}")  # noqa: S311
    bounds = list(accumulate(theory.zipf(len(items), CHURN_ALPHA)))
    asked = draw.choices(items, cum_weights=bounds, k=round(CHURN_SECONDS * CHURN_RATE))
    # Twice the users, so that those who wait for a generation do not keep the hits from being asked for.
    return lane(singly(asked), 2 * settings.users, CHURN_RATE)


def saturation(settings: Settings) -> tuple[Phase, ...]:
    """More distinct requests than the generator can do, beside some that are held; then a few, one by one."""
    found = of(settings, "saturation", HITS_ITEMS + RECOVERY_REQUESTS + FLOOD_ITEMS)
    held, rest = found[:HITS_ITEMS], found[HITS_ITEMS:]
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


def management(settings: Settings) -> tuple[Phase, ...]:
    """Typical traffic while the cache is listed, resized, cleared, switched off and on."""
    entries = settings.cache_entries
    actions: tuple[Action, ...] = (
        ListEntries(),
        Configure({"max_size": max(1, entries // 4)}),
        Configure({"max_size": entries}),
        DeleteEntry(),
        Clear(),
        ListEntries(),
        Configure({"ttl_seconds": _SHORT_TTL_SECONDS}),
        Configure({"ttl_seconds": TTL_SECONDS}),
        Configure({"enabled": False}),
        Configure({"enabled": True}),
        DeleteEntry(),
    )
    during = tuple(Moment(float(second), action) for second, action in enumerate(actions, start=1))
    lanes = (typical(settings, "management"),)
    return (Phase("management", "cached", lanes, seconds=MANAGEMENT_SECONDS, before=start(settings), during=during),)
