"""The rows of the product's table: single, duplicate and equal requests, typical usage; and the soak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from loadtest import traffic
from loadtest.actions import settle
from loadtest.items import of, singly
from loadtest.plan import Batch, Lane, Phase, Rendezvous
from loadtest.scenarios.parts import lane, scenario, start, typical_lane, warm
from loadtest.settings import Settings
from loadtest.settings import remote as elsewhere

SINGLE_REQUESTS = 40
#: For each user, before anything is measured.
FIRST_REQUESTS = 4
DUPLICATE_REQUESTS = 20
DUPLICATE_HITS = 200
BATCHES = 30
#: Before a generator elsewhere: it takes time and no processor, which the load test needs for itself.
REMOTE, REMOTE_USERS = "typical-remote", 30
#: Six thousand requests in the default steady state. A user waits 0.15 s in the mean, so twelve of thirty are waiting.
REMOTE_RATE = 80.0
#: Past the cache afterwards: the sequence from its start, as long as its mean is that of the whole.
REQUESTS_WITHOUT = 1200
#: In the steady state, at least, for each entry of the cache. From so many on, the hit ratio of an exact LRU is as near
#: to theory as the checks ask, for the default seed; of its first 200 requests of typical usage it is 4 points below.
STEADY_REQUESTS = {"typical": 10, REMOTE: 4, "soak": 20}
#: Typical usage without the cache, afterwards: long enough for its mean.
MOST_WITHOUT_SECONDS = 20.0


@scenario("No gain, and no loss: a miss costs less than 2 % more than its generation.")
def single(settings: Settings) -> tuple[Phase, ...]:
    """Distinct requests."""
    items = of(settings, "single", SINGLE_REQUESTS + FIRST_REQUESTS * settings.users)
    items, first = items[:SINGLE_REQUESTS], items[SINGLE_REQUESTS:]
    return (
        # A worker's first generation takes a third longer: neither of the two means shall have it.
        Phase("single", "first", (lane(singly(first, bypass=True), settings.users),), before=start(settings)),
        Phase("single", "cached", (lane(_alternating(singly(items, bypass=True), singly(items)), settings.users),)),
    )


@scenario("One miss, and hits in milliseconds.")
def duplicate(settings: Settings) -> tuple[Phase, ...]:
    """One request again and again."""
    (item,) = of(settings, "duplicate", 1)
    without = singly([item] * DUPLICATE_REQUESTS, bypass=True)
    again = singly([item] * DUPLICATE_HITS)
    cached: tuple[Batch | Rendezvous, ...] = ((item.call(),), Rendezvous(), *again)
    return (
        Phase("duplicate", "without", (lane(without, settings.users),), before=start(settings)),
        Phase("duplicate", "cached", (lane(cached, settings.users),)),
    )


@scenario("50 % hits, about 2x.")
def pair(settings: Settings) -> tuple[Phase, ...]:
    """Batches of two equal requests."""
    return _equal(settings, "pair", 2)


@scenario("66.7 % hits, about 3x.")
def triple(settings: Settings) -> tuple[Phase, ...]:
    """Batches of three equal requests."""
    return _equal(settings, "triple", 3)


def _equal(settings: Settings, scenario: str, size: int) -> tuple[Phase, ...]:
    items = of(settings, scenario, BATCHES)
    without = tuple((item.call(bypass=True),) * size for item in items)
    cached = tuple((item.call(),) * size for item in items)
    lanes = (lane(_alternating(without, cached), settings.users),)
    return (Phase(scenario, "cached", lanes, before=start(settings)),)


def _alternating(without: Sequence[Batch], cached: Sequence[Batch]) -> Iterator[Batch]:
    """Past the cache and through it by turns, so that a machine that becomes slower does so for both.

    Each pair is one user's, one right after the other; which of the two is first changes, too.
    """
    for number, both in enumerate(zip(without, cached, strict=True)):
        yield tuple(chain.from_iterable(both if number % 2 else reversed(both)))


@scenario(
    "66.7 to 72 % hits in the steady state, within two points of theory; exact counts, order and memory; "
    "a mean speed-up of at least 80 % of its limit, 1 / (1 - hit ratio)."
)
def typical(settings: Settings) -> tuple[Phase, ...]:
    """Zipf's popularity over a catalogue that is larger than the cache.

    What goes past it is the same sequence from its start: by turns with what warms the cache, and again afterwards.
    What a hit recoups is what its generation took when it was stored, and most is stored while the cache is warmed: so
    a machine that becomes slower, or faster, does so for both sides.
    """
    warming = traffic.warm(settings, "typical")
    past = islice(traffic.batches(settings, "typical", bypass=True), len(warming))
    by_turns = chain.from_iterable(zip(past, singly(warming), strict=True))
    seconds = min(MOST_WITHOUT_SECONDS, settings.duration_seconds / 4)
    return (
        Phase("typical", "warm", (lane(by_turns, settings.users),), before=start(settings)),
        _steady(settings, "typical"),
        Phase("typical", "without", (typical_lane(settings, "typical", bypass=True),), seconds=seconds),
    )


@scenario("Hits within a point of theory; a mean speed-up of at least 3x and 95 % of its limit.")
def typical_remote(settings: Settings) -> tuple[Phase, ...]:
    """The same popularity and thirty users, before an upstream that the run starts: half a second in the mean."""
    chosen = elsewhere(settings)
    warming = singly(traffic.warm(chosen, REMOTE))
    without = islice(traffic.batches(chosen, REMOTE, bypass=True), REQUESTS_WITHOUT)
    steady = Lane(lambda: traffic.batches(chosen, REMOTE), users=REMOTE_USERS, rate=REMOTE_RATE)
    return (
        # One user after another would take minutes, and with many at once the order is theirs to a few places.
        Phase(REMOTE, "warm", (lane(warming, REMOTE_USERS),), before=start(chosen)),
        Phase(
            REMOTE,
            "cached",
            (steady,),
            seconds=settings.duration_seconds,
            requests=STEADY_REQUESTS[REMOTE] * chosen.cache_entries,
            before=(settle(),),
        ),
        Phase(REMOTE, "without", (lane(without, REMOTE_USERS),)),
    )


@scenario("Flat memory, flat latency.")
def soak(settings: Settings) -> tuple[Phase, ...]:
    """Typical usage for as long as one says."""
    return (warm(settings, "soak", traffic.warm(settings, "soak")), _steady(settings, "soak"))


def _steady(settings: Settings, scenario: str) -> Phase:
    # A scrape before it, so that what Prometheus counts in this time is this phase's alone.
    return Phase(
        scenario,
        "cached",
        (typical_lane(settings, scenario),),
        seconds=settings.duration_seconds,
        requests=STEADY_REQUESTS[scenario] * settings.cache_entries,
        before=(settle(),),
    )
