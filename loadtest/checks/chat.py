"""The chat: every body, stream and count as it has to be, and money; with refusals, and an upstream that is dead."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import isclose

from loadtest import chat as upstream
from loadtest import references
from loadtest.answers import digest
from loadtest.checks import clients, counters
from loadtest.checks.case import Scope, at_most
from loadtest.checks.faults import acted
from loadtest.checks.stress import afterwards, answered, recovered
from loadtest.formatting import count, money, percent, seconds
from loadtest.journal import Phase, Request, hit_ratio
from loadtest.result import Check
from loadtest.scenarios.chat import DEAD_SECONDS, SCENARIO, STALE_TTL_SECONDS
from loadtest.service import UPSTREAM_REQUESTS
from recoup.telemetry.catalogue import (
    ENTRIES,
    GENERATED_COST,
    GENERATION_DURATION,
    LOOKUPS,
    RECOUPED,
    RECOUPED_COST,
    REFRESHES,
    STREAMS,
)

#: What is between a client's clock and the service's, and between a stream's end and its being stored.
_SLACK_SECONDS = 0.1
_CENT = 1e-9
_RECOUPING = (*clients.HITS, "coalesced")


def chat(
    scope: Scope, mixed: Phase, followers: Phase, refused: Phase, short: Phase, dead: Phase, recovery: Phase
) -> Iterator[Check]:
    """Every check of the chat."""
    yield _noise(scope, mixed)
    yield _hit_ratio(scope, mixed)
    yield _replayed(scope)
    yield from _followed(scope, followers)
    yield _passed_on(scope, refused)
    yield _never_stored(scope, refused)
    yield _upstream_count(scope)
    yield from _dead(scope, dead)
    yield _stale(scope, short, dead)
    yield afterwards(scope, recovery)
    yield recovered(scope, (*_new(dead.requests), *recovery.requests), _moment(dead, "Fault start-upstream", dead.end))
    yield _complete(scope)
    yield _recouped(scope)
    yield from _money(scope)


def _by_item(requests: Iterable[Request]) -> Mapping[str, list[Request]]:
    found: dict[str, list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda request: request.at):
        found[request.item].append(request)
    return found


def _noise(scope: Scope, mixed: Phase) -> Check:
    """The first of each item is a miss and all others are hits, whatever noise their bodies carry."""
    wrong = [
        f"{item}: {request.outcome} as number {number}"
        for item, requests in _by_item(mixed.requests).items()
        for number, request in enumerate(requests, start=1)
        if request.outcome != ("miss" if number == 1 else "hit")
    ]
    return scope.none("Requests that differ in noise", wrong, len(mixed.requests), "request")


def _hit_ratio(scope: Scope, mixed: Phase) -> Check:
    """By the service, what follows from the requests: all but the first of each item."""
    counted = hit_ratio(counters.growth_by(mixed, LOOKUPS.name, "outcome", pipeline=SCENARIO))
    sent = len(mixed.requests)
    expected = 1 - len({request.item for request in mixed.requests}) / sent if sent else None
    passed = counted is not None and expected is not None and isclose(counted, expected, abs_tol=1e-9)
    return scope.holds("Hit ratio", percent(counted), percent(expected), passed)


def _replayed(scope: Scope) -> Check:
    """Whoever is answered a stream gets the bytes of the first one."""
    streamed = [one for phase in scope.phases for one in phase.requests if _is_stream(one)]
    wrong = [
        f"{item}: {request.bytes:,} bytes of {requests[0].bytes:,} as a {request.outcome}"
        for item, requests in _by_item(streamed).items()
        for request in requests
        if (request.digest, request.bytes) != (requests[0].digest, requests[0].bytes)
    ]
    return scope.none("Streams, against the first of each", wrong, len(streamed), "stream")


def _is_stream(request: Request) -> bool:
    return request.status == 200 and request.content_type == upstream.EVENTS


def _followed(scope: Scope, followers: Phase) -> Iterator[Check]:
    """Who comes in mid-stream joins the one generation, at once, and gets all of it."""
    wrong, joined, first = [], 0, list[float]()
    for item, requests in _by_item(followers.requests).items():
        leader, others = requests[0], requests[1:]
        ends = leader.at + leader.seconds
        wrong += [f"{item}: the first is a {leader.outcome}"] if leader.outcome != "miss" else []
        for request in others:
            early, late = request.at < ends - _SLACK_SECONDS, request.at > ends + _SLACK_SECONDS
            expected = ("coalesced",) if early else ("hit",) if late else ("coalesced", "hit")
            wrong += [f"{item}: {request.outcome} in mid-stream" * early] if request.outcome not in expected else []
            joined += early
        first += [one.first_seconds for one in requests if one.first_seconds is not None]
    yield scope.none("Followers in mid-stream", wrong, joined, "follower")
    bounds = at_most(scope.asked.chat_first_byte_max, seconds)
    yield scope.within("First byte of a stream", max(first, default=None), bounds, "the slowest caller's")


def _passed_on(scope: Scope, refused: Phase) -> Check:
    """What the upstream refuses or fails at reaches the caller as the upstream said it."""
    settings = scope.case.settings
    calls = {} if settings is None else references.calls(settings)
    wrong = []
    for request in refused.requests:
        call = calls.get(request.item)
        said = None if call is None else upstream.answer(call.body)
        retry = None if said is None or said.status != 429 else float(upstream.RETRY_SECONDS)
        if said is None or (said.status, digest([said.body]), said.content_type, retry) != (
            request.status,
            request.digest,
            request.content_type,
            request.retry_after,
        ):
            wrong.append(f"{request.item}: {request.status}, {request.bytes} bytes, Retry-After {request.retry_after}")
    return scope.none("Refusals, as the upstream said them", wrong, len(refused.requests), "refusal")


def _never_stored(scope: Scope, refused: Phase) -> Check:
    """Each request reaches the upstream, and none leaves anything."""
    reached, grown = round(counters.growth(refused, UPSTREAM_REQUESTS)), counters.growth(refused, ENTRIES.name)
    sent = len(refused.requests)
    measured = f"{count(reached, 'request')} of {sent:,} reached the upstream, {grown:+.0f} entries"
    return scope.holds("Refusals are never stored", measured, "all, and none kept", reached == sent > 0 == grown)


def _upstream_count(scope: Scope) -> Check:
    """What reached the upstream, by its own count: every miss but those that found nobody, and nothing else.

    It has counted what it was working on when it died, too, of which nobody knows but that its caller got 502.
    """
    name, expected = "Generations, by the upstream's own count", "as many as misses that found it"
    if not all(counters.has(phase.after, UPSTREAM_REQUESTS) for phase in scope.phases):
        return scope.lacks(name, expected, "the upstream could not be asked")
    requests = [request for phase in scope.phases for request in phase.requests]
    refreshed = _grown(scope, REFRESHES.name, result="stored")
    missed = clients.count(requests, lambda one: one.outcome == "miss" and one.status != 502) + refreshed
    reached = sum(counters.growth(phase, UPSTREAM_REQUESTS) for phase in scope.phases)
    refused = clients.count(requests, lambda one: one.status in (429, 500))
    made = _grown(scope, f"{GENERATION_DURATION.name}_count") + refused
    died = max((_moment(phase, "Fault stop-upstream", 0.0) for phase in scope.phases), default=0.0)
    dying = clients.count(requests, lambda one: one.status == 502 and one.at <= died)
    measured = f"{count(reached, 'request')}, {count(missed, 'miss')}, {count(made, 'generation')}"
    return scope.holds(name, measured, expected, 0 <= reached - missed <= dying and missed == made > 0)


def _grown(scope: Scope, metric: str, **labels: str) -> float:
    return sum(counters.growth(phase, metric, pipeline=SCENARIO, **labels) for phase in scope.phases)


def _moment(phase: Phase, name: str, otherwise: float) -> float:
    action = acted(phase, name)
    return otherwise if action is None else action.at + action.seconds


def _new(requests: Iterable[Request]) -> list[Request]:
    """The requests for what was not held when the upstream died."""
    return [request for request in requests if "-new-" in request.item]


def _dead(scope: Scope, dead: Phase) -> Iterator[Check]:
    """While nobody is behind it, what is held is answered, and the rest is refused at once."""
    died = _moment(dead, "Fault stop-upstream", dead.end)
    back = acted(dead, "Fault start-upstream")
    until = died if back is None else back.at
    bounds = f"at least {seconds(DEAD_SECONDS - 1)}"
    yield scope.holds("The upstream is dead", seconds(until - died), bounds, until - died >= DEAD_SECONDS - 1)
    meanwhile = [one for one in dead.requests if died <= one.at and one.at + one.seconds <= until]
    new = _new(meanwhile)
    yield answered(scope, "Held results meanwhile", [one for one in meanwhile if "-mixed-" in one.item])
    failed = clients.count(new, lambda request: request.status == 502)
    yield scope.all_of("All others meanwhile", failed, len(new), " answered with 502")


def _stale(scope: Scope, short: Phase, dead: Phase) -> Check:
    """What has expired since the upstream died answers for it, whole: before that as a hit, and then as a stale one."""
    stored = {request.item: request.at + request.seconds for request in short.requests}
    bodies = {request.item: request.digest for request in short.requests}
    wrong, seen = [], 0
    for request in dead.requests:
        age = request.at - stored.get(request.item, request.at)
        if request.item in stored and abs(age - STALE_TTL_SECONDS) > _SLACK_SECONDS:
            expired = age > STALE_TTL_SECONDS
            seen += expired
            if (request.outcome, request.digest) != ("stale" if expired else "hit", bodies[request.item]):
                wrong.append(f"{request.item} at the age of {seconds(age)}: {request.status}, {request.outcome}")
    return scope.none("Stale results meanwhile", wrong, seen, "answer")


def _complete(scope: Scope) -> Check:
    """Each stream that was generated is counted once, as one that came to its end."""
    ends = {end: _grown(scope, STREAMS.name, end=end) for end in STREAMS.values["end"]}
    seen = sum(_is_stream(one) and one.outcome == "miss" for phase in scope.phases for one in phase.requests)
    measured = ", ".join(f"{number:,.0f} {end}" for end, number in ends.items() if number)
    passed = ends.pop("complete", 0) == seen > 0 and not any(ends.values())
    return scope.holds("Streams counted", measured or "none", f"{seen:,} complete", passed)


def _recouped(scope: Scope) -> Check:
    """What answers recouped is at least what the upstream took for each, and not much more."""
    settings = scope.case.settings
    calls = {} if settings is None else references.calls(settings)
    spared = [one.item for phase in scope.phases for one in phase.requests if one.outcome in _RECOUPING]
    least = sum(json.loads(calls[item].body)["seconds"] for item in spared if item in calls)
    counted = _grown(scope, RECOUPED.name)
    detail = f"{seconds(counted)} counted, the upstream takes {seconds(least)} for {count(len(spared), 'answer')}"
    more = counted / least - 1 if least and counted >= least else None
    return scope.within("Recouped seconds", more, at_most(scope.asked.chat_recouped_excess_max, percent), detail)


def _money(scope: Scope) -> Iterator[Check]:
    """What generations cost and what answers recouped is the price of each, to the cent."""
    answers = [one for phase in scope.phases for one in phase.requests if one.status == 200]
    price = upstream.WORDS * upstream.WORD_PRICE
    for name, metric, outcomes in (
        ("Money spent", GENERATED_COST, ("miss",)),
        ("Money recouped", RECOUPED_COST, _RECOUPING),
    ):
        counted = _grown(scope, metric.name, currency=upstream.CURRENCY)
        expected = price * sum(one.outcome in outcomes for one in answers)
        passed = isclose(counted, expected, rel_tol=_CENT) and expected > 0
        yield scope.holds(name, money(counted, upstream.CURRENCY), money(expected, upstream.CURRENCY), passed)
