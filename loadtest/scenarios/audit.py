"""One request after another, so that every answer is known beforehand, before a generator that counts what reaches it.

No phase is there to measure speed. Each makes one kind of lie certain to show; `checks.audit` says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from random import Random

from loadtest import theory
from loadtest.actions import Action, clear, configure, delete_entry, wait
from loadtest.items import Item, of, singly
from loadtest.plan import Batch, Call, Lane, Phase
from loadtest.scenarios.parts import TTL_SECONDS, lane, scenario
from loadtest.settings import Settings

SCENARIO = "audit"
ENTRIES = 20
#: Generations of the pipeline `remote`: most are quick, and a few long enough to be told from what is around them.
QUICK_SECONDS, SLOW_SECONDS = 0.01, 1.0
#: Of the phase `order`: under this popularity an LRU, an LFU, a FIFO and a random order soon differ.
ORDER_REQUESTS, ORDER_ITEMS, ORDER_ALPHA = 900, 50, 0.8
#: Of the phase `hits`: more than what is wrong once in a thousand needs to show, three times over.
HITS, HIT_ITEMS = 3200, 16
BURST_KEYS, BURST_CALLERS = 6, 10
SHORT_TTL_SECONDS = 3.0
#: Kept when the limit is lowered.
FEW_ENTRIES = 4
RELIEFS = 3
AGED_RATE, AGED_REQUESTS = 1.0, 4

_REFUSED = frozenset({400})


@scenario("Every body, header, outcome, reason and count as expected, without one exception.")
def audit(settings: Settings) -> tuple[Phase, ...]:
    """One request after another, each of whose answers is known beforehand, before a generator that counts.

    The order of the phases matters, as each begins with what the one before has left.
    """
    popular = _quick(settings, "popular", ORDER_ITEMS)
    draw = Random(f"audit {settings.seed}")  # noqa: S311
    weights = theory.zipf(ORDER_ITEMS, ORDER_ALPHA)
    order = draw.choices(popular, weights, k=ORDER_REQUESTS)
    held = popular[:HIT_ITEMS]
    kept, short, few = (_quick(settings, name, count) for name, count in (("kept", 5), ("short", 5), ("few", 10)))
    again = popular[10:HIT_ITEMS]  # what the burst leaves of them
    burst = _paced(settings, "burst", BURST_KEYS, SLOW_SECONDS)
    ample = {"max_size": ENTRIES, "ttl_seconds": TTL_SECONDS, "enabled": True}
    return (
        _alone("order", singly(order), configure(ample), clear()),
        _alone("hits", singly(held * (HITS // HIT_ITEMS))),
        _alone("near", singly(_near(settings))),
        _alone("bypass", singly(held, bypass=True)),
        _alone("refused", _refused(settings)),
        _alone("slow", singly(_paced(settings, "slow", 2, SLOW_SECONDS))),
        Phase(SCENARIO, "burst", (lane(singly(burst * BURST_CALLERS), BURST_KEYS * BURST_CALLERS),)),
        _alone("cleared", singly(again + again), clear()),
        _alone("kept", singly(kept + kept)),
        Phase(SCENARIO, "aged", (lane(singly(kept[:1] * AGED_REQUESTS), 1, AGED_RATE),)),
        _alone("revalidated", _revalidating(kept)),
        _alone("deleted", singly(again[::-1] + kept), delete_entry()),
        _alone("short", singly(short + short), configure({"ttl_seconds": SHORT_TTL_SECONDS})),
        _alone("expired", singly(short), wait(SHORT_TTL_SECONDS)),
        _alone("filled", singly(few), configure({"ttl_seconds": TTL_SECONDS}), clear()),
        _alone("few", singly(few[-FEW_ENTRIES:] + few[:2]), configure({"max_size": FEW_ENTRIES})),
        _alone("disabled", singly(few[:2]), configure({"enabled": False})),
        _alone("enabled", singly(few[:2] + few), configure(ample)),
        _alone("relief", _reliefs(settings), clear()),
    )


def _alone(part: str, batches: Iterable[Batch], *before: Action) -> Phase:
    """A phase of one caller."""
    return Phase(SCENARIO, part, (Lane(lambda kept=tuple(batches): iter(kept)),), before=before)  # type: ignore[misc]


def _quick(settings: Settings, name: str, count: int) -> tuple[Item, ...]:
    return _paced(settings, name, count, QUICK_SECONDS)


def _paced(settings: Settings, name: str, count: int, seconds: float) -> tuple[Item, ...]:
    """Prompts of the pipeline `remote`."""
    return tuple(_prompt(f"{name}-{number}", f"{name} {settings.seed} {number}", seconds) for number in range(count))


def _prompt(name: str, prompt: str, seconds: float) -> Item:
    body = json.dumps({"prompt": prompt, "seconds": seconds}).encode()
    return Item(f"{SCENARIO}-{name}", "/api/generate/remote", body, "application/json", seconds)


def _near(settings: Settings) -> tuple[Item, ...]:
    """The same prompt with numbers that differ in their last digit alone: requests whose keys must not be one."""
    return tuple(_prompt(f"near-{step}", f"near {settings.seed}", 0.01 + step * 1e-6) for step in range(3))


def _refused(settings: Settings) -> tuple[Batch, ...]:
    """What the service refuses: a client that hides its failures counts fewer requests than the service."""
    (item,) = _quick(settings, "refused", 1)
    headers = {"Content-Type": item.content_type}
    return ((Call(item.name, item.path, item.body[:-1], headers, "POST", "garbage", _REFUSED),),) * 5


def _revalidating(items: Iterable[Item]) -> tuple[Batch, ...]:
    allowed = frozenset({304})
    return tuple(
        (Call(i.name, i.path, i.body, {"Content-Type": i.content_type}, allowed=allowed, revalidates=True),)
        for i in items
    )


def _reliefs(settings: Settings) -> tuple[Batch, ...]:
    """Meshes of one photograph whose parameters hardly differ: generated, from the cache twice, and past it."""
    (first,) = of(settings, SCENARIO, 1)
    path = first.path.partition("&depth_mm")[0]
    items = [
        Item(f"{SCENARIO}-relief-{n}", f"{path}&depth_mm={2.5 + n / 1000:.3f}", first.body) for n in range(RELIEFS)
    ]
    return tuple(batch for item in items for batch in (*singly([item] * 3), *singly([item], bypass=True)))
