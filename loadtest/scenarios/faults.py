"""Faults, and what the contract allows while they last. After each, traffic that has to be answered as ever."""

from __future__ import annotations

from dataclasses import replace

from loadtest import traffic
from loadtest.actions import fault, scale_memory, settle
from loadtest.items import Item, of, singly
from loadtest.plan import Lane, Moment, Phase
from loadtest.scenarios.garbage import garbage_calls, odd_calls, slow_calls
from loadtest.scenarios.parts import lane, scenario, start, typical_lane, warm
from loadtest.settings import Settings

FAULT_AFTER_SECONDS = 3.0
RECOVERED_AFTER_SECONDS = 7.0
#: With the time that the fault's end needs to show.
FAULT_SECONDS = 10.0
KILL_SECONDS = 6.0
TERMINATE_SECONDS = 5.0
#: Traffic that fills the cache again, and the requests with which a hit ratio says anything.
REFILL_SECONDS = 4.0
REFILL_REQUESTS = 300
RATIO_REQUESTS = 60
HELD_ITEMS = 20
#: More than are generated in that time.
DISTINCT_ITEMS = 2000
RECOVERY_REQUESTS = 10
GARBAGE_ROUNDS = 5
#: Calls a second for what is held.
HITS_RATE = 20.0
#: What a caller who was refused waits, so that it does not ask a service that is gone thousands of times.
PAUSE_SECONDS = 0.25
#: The calls of one worker process at a time fail with it.
OK_OR_WORKER_DIED = frozenset({200, 502})
#: Who comes while the service ends is sent away.
OK_OR_DRAINING = frozenset({200, 503})


@scenario("What it generated fails with 502, nothing else; another one takes over.")
def kill_worker(settings: Settings) -> tuple[Phase, ...]:
    """A generation worker is killed under load."""
    lanes = _mixed(settings, "kill-worker", OK_OR_WORKER_DIED)
    during = (Moment(FAULT_AFTER_SECONDS, fault("kill-worker")),)
    return (
        warm(settings, "kill-worker", _held(settings, "kill-worker")),
        Phase("kill-worker", "fault", lanes, seconds=KILL_SECONDS, during=during),
        _recovery(settings, "kill-worker"),
    )


@scenario("No failure; the counters go on, and what Prometheus lacks is said.")
def prometheus_restart(settings: Settings) -> tuple[Phase, ...]:
    """Prometheus is away for a while."""
    during = (
        Moment(FAULT_AFTER_SECONDS, fault("stop-prometheus")),
        Moment(RECOVERED_AFTER_SECONDS, fault("start-prometheus")),
    )
    lanes = (typical_lane(settings, "prometheus-restart"),)
    return (
        Phase("prometheus-restart", "fault", lanes, seconds=FAULT_SECONDS, before=start(settings), during=during),
        replace(_recovery(settings, "prometheus-restart"), before=(settle(),)),
    )


@scenario("What it has begun it answers whole, the rest it refuses with 503; it serves again.")
def terminate(settings: Settings) -> tuple[Phase, ...]:
    """The service is stopped under load, and started again."""
    lanes = _mixed(settings, "terminate", OK_OR_DRAINING)
    during = (Moment(FAULT_AFTER_SECONDS, fault("terminate-service")),)
    restarted = replace(
        _recovery(settings, "terminate"), part="restarted", before=(fault("start-service"), *start(settings))
    )
    return (
        warm(settings, "terminate", _held(settings, "terminate")),
        Phase("terminate", "fault", lanes, seconds=TERMINATE_SECONDS, during=during, interrupted=True),
        restarted,
    )


@scenario("Each is refused with the contract's status; the good ones are answered.")
def garbage(settings: Settings) -> tuple[Phase, ...]:
    """Requests that cannot be served, between good ones."""
    held = _held(settings, "garbage")
    (new,) = _distinct(settings, "garbage", 1)
    sent = (*garbage_calls(settings), *odd_calls(held[2], new))
    mixed = tuple(batch for call in sent for batch in ((call,), *singly(held[:2])))
    return (
        warm(settings, "garbage", held),
        # One caller: what is refused is never coalesced, so that the misses among it can be counted.
        Phase("garbage", "fault", (lane(mixed * GARBAGE_ROUNDS, 1),)),
        Phase("garbage", "slow", (_slow(held), lane(singly(held * GARBAGE_ROUNDS), 1, HITS_RATE))),
        _recovery(settings, "garbage"),
    )


def _slow(held: tuple[Item, ...]) -> Lane:
    """All of them at once, beside callers of the usual kind."""
    calls = slow_calls(held[2])
    return lane(tuple((call,) for call in calls), len(calls))


@scenario("No failure; the hit ratio falls and recovers.")
def shrink(settings: Settings) -> tuple[Phase, ...]:
    """The memory limit shrinks to a tenth of what is held, and is restored."""
    lanes = (typical_lane(settings, "shrink"),)
    during = (
        Moment(FAULT_AFTER_SECONDS, scale_memory(0.1), RATIO_REQUESTS),
        Moment(RECOVERED_AFTER_SECONDS, scale_memory(None), RATIO_REQUESTS),
    )
    return (
        warm(settings, "shrink", traffic.warm(settings, "shrink")),
        Phase("shrink", "fault", lanes, seconds=FAULT_SECONDS, during=during),
        Phase(
            "shrink", "recovery", (typical_lane(settings, "shrink"),), seconds=REFILL_SECONDS, requests=REFILL_REQUESTS
        ),
    )


def _held(settings: Settings, scenario: str) -> tuple[Item, ...]:
    # Past the catalogue, of which typical traffic asks.
    return of(settings, scenario, settings.catalogue + HELD_ITEMS)[settings.catalogue :]


def _distinct(settings: Settings, scenario: str, count: int) -> tuple[Item, ...]:
    past = settings.catalogue + HELD_ITEMS
    return of(settings, scenario, past + count)[past:]


def _mixed(settings: Settings, scenario: str, allowed: frozenset[int]) -> tuple[Lane, ...]:
    """Generations as fast as they go, and hits beside them; both end with the phase."""
    held = singly(_held(settings, scenario), allowed=allowed)
    distinct = singly(_distinct(settings, scenario, DISTINCT_ITEMS), allowed=allowed)
    hits = lane(held * round(FAULT_SECONDS * HITS_RATE / HELD_ITEMS), settings.users, HITS_RATE)
    return (
        replace(lane(distinct, settings.users), pause_seconds=PAUSE_SECONDS),
        replace(hits, pause_seconds=PAUSE_SECONDS),
    )


def _recovery(settings: Settings, scenario: str) -> Phase:
    """Generations that nobody has asked for yet: all of them have to succeed."""
    items = _distinct(settings, scenario, DISTINCT_ITEMS + RECOVERY_REQUESTS)[DISTINCT_ITEMS:]
    return Phase(scenario, "recovery", (lane(singly(items), settings.users),))
