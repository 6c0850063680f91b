"""Typical usage before a generator elsewhere: it takes time and no processor, which the load test needs for itself."""

from __future__ import annotations

from itertools import islice

from loadtest import traffic
from loadtest.actions import settle
from loadtest.items import singly
from loadtest.plan import Lane, Phase
from loadtest.scenarios.parts import lane, start
from loadtest.settings import Settings, remote

SCENARIO = "typical-remote"
USERS = 30
#: Six thousand requests in the default steady state. A user waits 0.15 s in the mean, so twelve of thirty are waiting.
RATE = 80.0
#: In the steady state, at least: from so many on, an exact LRU is within half a point of theory for the default seed.
STEADY_REQUESTS = 4000
#: Past the cache afterwards: the sequence from its start, as long as its mean is that of the whole.
REQUESTS_WITHOUT = 1200


def typical_remote(settings: Settings) -> tuple[Phase, ...]:
    """Zipf's popularity as in `typical`, before an upstream that answers after half a second in the mean."""
    chosen = remote(settings)
    warming = singly(traffic.warm(chosen, SCENARIO))
    without = islice(traffic.batches(chosen, SCENARIO, bypass=True), REQUESTS_WITHOUT)
    steady = Lane(lambda: traffic.batches(chosen, SCENARIO), users=USERS, rate=RATE)
    return (
        # One user after another would take minutes, and with many at once the order is theirs to a few places.
        Phase(SCENARIO, "warm", (lane(warming, USERS),), before=start(chosen)),
        Phase(
            SCENARIO,
            "cached",
            (steady,),
            seconds=settings.duration_seconds,
            requests=STEADY_REQUESTS,
            before=(settle(),),
        ),
        Phase(SCENARIO, "without", (lane(without, USERS),)),
    )
