"""Faults: errors only where the contract has them, and everything as before soon afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from loadtest import panels
from loadtest.checks import clients, counters
from loadtest.checks.case import NOTHING, Scope, at_least, at_most
from loadtest.checks.stress import afterwards, answered, in_turn, recovered
from loadtest.formatting import count, megabytes, points, seconds
from loadtest.journal import Action, Phase, Request
from loadtest.prometheus import QueryError
from loadtest.result import Check
from recoup.telemetry.catalogue import ENTRIES, EVICTIONS, LOOKUPS, MEMORY, MEMORY_LIMIT

#: A worker that was killed.
DIED = 502
#: The service ends, or has no room.
AWAY = 503
#: How the journal names what is done to the memory limit.
LOWER, RESTORE = "ScaleMemory 0", "ScaleMemory None"


def acted(phase: Phase, name: str) -> Action | None:
    """The first action of a name during a phase."""
    during = (action for action in phase.actions if action.at >= phase.begin)
    return next((action for action in during if action.action.startswith(name)), None)


def _brought_about(scope: Scope, phase: Phase, name: str, what: str) -> Check:
    action = acted(phase, name)
    good = action is not None and action.error is None
    return scope.holds(what, "done" if good else NOTHING, "done", good, (action.error if action else None) or "")


def _done(phase: Phase, name: str) -> float:
    """When an action was done with; the phase's end where it was not."""
    action = acted(phase, name)
    return phase.end if action is None else action.at + action.seconds


def _by_status(requests: Iterable[Request]) -> str:
    counts = sorted(Counter(request.status for request in requests).items())
    return ", ".join(f"{number:,} with {status or 'no answer'}" for status, number in counts)


def kill_worker(scope: Scope, fault: Phase, after: Phase) -> Iterator[Check]:
    """What the worker generated fails, and nothing else; another one takes over."""
    yield _brought_about(scope, fault, "Fault kill-worker", "A worker is killed")
    failures, most = (
        [one for one in fault.requests if one.status != 200],
        scope.asked.killed_worker_failures_max,
    )
    passed = len(failures) <= most and all(request.status == DIED for request in failures)
    expected = f"at most {most:.0f}, with {DIED}"
    yield scope.holds("Requests that failed with it", len(failures), expected, passed, _by_status(failures))
    generated = [one for one in (*fault.requests, *after.requests) if one.outcome == "miss"]
    yield recovered(scope, generated, _done(fault, "Fault kill-worker"))
    yield afterwards(scope, after)


def prometheus_restart(scope: Scope, fault: Phase, after: Phase) -> Iterator[Check]:
    """The service does not notice, and its counters go on."""
    yield _brought_about(scope, fault, "Fault stop-prometheus", "Prometheus is stopped")
    yield _brought_about(scope, fault, "Fault start-prometheus", "Prometheus is started again")
    yield _counters_survive(scope, fault, after)
    yield afterwards(scope, after)
    yield _scraped_again(scope, fault, after)


def _counters_survive(scope: Scope, fault: Phase, after: Phase) -> Check:
    """None is lower afterwards, and every lookup is in them."""
    name, expected = "Counters survive", "none is lower"
    if fault.after is None or after.after is None:
        return scope.lacks(name, expected, "the service could not be asked")
    names = [text for text in fault.before if counters.series(text)[0].endswith(("_total", "_count"))]
    fallen = [text for text in names if after.after.get(text, 0.0) < fault.before[text]]
    lookups = counters.growth(fault, LOOKUPS.name)
    measured = f"{count(len(fallen), 'counter')} of {len(names)} fell, {count(lookups, 'lookup')} counted"
    return scope.holds(name, measured, expected, not fallen and bool(names) and lookups > 0, ", ".join(fallen[:3]))


def _scraped_again(scope: Scope, fault: Phase, after: Phase) -> Check:
    """Prometheus scrapes every instance again soon after its return."""
    name, bounds = "Scraped again", at_most(scope.asked.recovery_seconds_max, seconds)
    back = _done(fault, "Fault start-prometheus")
    try:
        times = scope.case.panels.scrapes(fault.begin, after.end + scope.case.settle_seconds)
    except (QueryError, KeyError) as error:
        return scope.lacks(name, bounds, str(error))
    soonest = [min((at for at in scrapes if at >= back), default=None) for scrapes in times.values()]
    known = [at for at in soonest if at is not None]
    late = max(known) - back if known and len(known) == len(soonest) else None
    return scope.within(name, late, bounds, "after it was started again")


def terminate(scope: Scope, fault: Phase, restarted: Phase) -> Iterator[Check]:
    """What was begun is answered whole; who comes meanwhile is sent away; who comes later finds nobody."""
    name = "Fault terminate-service"
    yield _brought_about(scope, fault, name, "The service is told to end")
    action = acted(fault, name)
    moment = fault.end if action is None else action.at
    begun = [request for request in fault.requests if request.at < moment]
    broken = [request for request in begun if request.status not in (200, AWAY)]
    whole = len(begun) - len(broken)
    yield scope.all_of("Requests that had begun", whole, len(begun), " answered whole", _first(broken))
    late = [request for request in fault.requests if request.at >= moment]
    broken = [request for request in late if request.status not in (0, 200, AWAY) or not request.allowed]
    expected = f"200, {AWAY}, or nobody there; none broken"
    measured = _by_status(late) or "none came"
    yield scope.holds("Requests that came later", measured, expected, not broken, _first(broken))
    yield _last_word(scope, fault)
    yield afterwards(scope, restarted)
    yield recovered(scope, restarted.requests, restarted.begin)


def _first(broken: list[Request]) -> str:
    return f"the first: {broken[0].error or f'status {broken[0].status}'}" if broken else ""


def _last_word(scope: Scope, fault: Phase) -> Check:
    """What the service says at its end of its life: what it had counted before, and what its clients saw since."""
    name, expected = "The service's count at its end", "equal to its clients'"
    if fault.account is None:
        return scope.lacks(name, expected, "it did not say")
    seen = clients.outcomes(fault.requests)
    for labels, value in counters.select(fault.before, LOOKUPS.name):
        seen[labels["outcome"]] += round(value)
    apart = [
        f"{outcome}: {told:,} and {seen[outcome]:,}" for outcome, told in fault.account.items() if told != seen[outcome]
    ]
    measured = f"{count(sum(fault.account.values()), 'lookup')}, {count(len(apart), 'difference')}"
    return scope.holds(name, measured, expected, not apart and any(seen.values()), "; ".join(apart))


def garbage(scope: Scope, fault: Phase, after: Phase) -> Iterator[Check]:
    """What cannot be served is refused as the contract says, and nothing else suffers."""
    yield _refused(scope, "Garbage refused as the contract says", fault)
    yield answered(scope, "Good requests in between", clients.generations(fault.requests))
    yield _nothing_kept(scope, fault)
    slow = scope.phase("slow")
    if slow is None:
        yield scope.lacks("Slow senders and callers who leave", "all", "the run has no such phase")
    else:
        yield _refused(scope, "Slow senders and callers who leave", slow)
        yield answered(scope, "Good requests beside slow ones", clients.generations(slow.requests))
    yield afterwards(scope, after)


def _refused(scope: Scope, name: str, phase: Phase) -> Check:
    """Each call that cannot be served has the answer that the contract has for it; who leaves has none."""
    bad = [request for request in phase.requests if request.kind != "generate"]
    refused = clients.count(bad, lambda request: request.allowed and not 200 <= request.status < 400)
    wrong = sorted({f"{request.item} ({request.status})" for request in bad if not request.allowed})
    detail = _by_status(bad) + (f"; not as expected: {', '.join(wrong)}" if wrong else "")
    return scope.all_of(name, refused, len(bad), detail=detail)


def _nothing_kept(scope: Scope, fault: Phase) -> Check:
    """A refused request changes nothing: what is held afterwards is what was held before."""
    if not counters.has(fault.after, ENTRIES.name):
        return scope.lacks("Entries", "as many as before", "the service could not be asked")
    grown = counters.growth(fault, ENTRIES.name)
    held = count(counters.total(fault.after or {}, ENTRIES.name), "entry")
    return scope.holds("Entries", f"{held}, {grown:+.0f}", "as many as before", grown == 0)


def shrink(scope: Scope, fault: Phase, after: Phase) -> Iterator[Check]:
    """What is held obeys the lowered limit at once, and comes back with the usual one."""
    yield _brought_about(scope, fault, LOWER, "The memory limit is lowered")
    yield _brought_about(scope, fault, RESTORE, "The memory limit is restored")
    evicted = counters.growth(fault, EVICTIONS.name, cause="memory")
    yield scope.holds("Evictions by memory", count(evicted, "eviction"), "some", evicted > 0)
    yield _held_low(scope, fault)
    yield _held_again(scope, fault, after)
    yield afterwards(scope, after)
    # Before the limit is lowered, while it is low, and when the popular entries are back.
    down, up = _done(fault, LOWER), _done(fault, RESTORE)
    spans, requests = ((fault.begin, down), (down, up), clients.halves(after)[1]), (*fault.requests, *after.requests)
    ratios = [clients.hit_ratio(clients.answered_within(requests, *span)) for span in spans]
    known = [ratio for ratio in ratios if ratio is not None]
    risen = known[2] - known[1] if len(known) == len(ratios) else None
    bounds = at_least(scope.asked.shrink_recovery_min, points)
    yield scope.within("Hit ratio rises again", risen, bounds, in_turn(ratios))


def _held_low(scope: Scope, fault: Phase) -> Check:
    """At the moment before the limit is restored, what is held is within the lowered one."""
    name, expected = "Memory held under the lowered limit", "within a limit that is lower"
    restored = acted(fault, RESTORE)
    moment = fault.end if restored is None else restored.at
    held, limit = (scope.case.panels.at(panels.MEMORY_LIMIT, moment, line) for line in ("held", "limit"))
    if held.value is None or limit.value is None:
        return scope.lacks(name, expected, held.problem or limit.problem, held.source)
    usual = counters.total(fault.before, MEMORY_LIMIT.name)
    measured = f"{megabytes(held.value)} of {megabytes(limit.value)}"
    passed = 0 < held.value <= limit.value < usual
    return scope.holds(name, measured, expected, passed, f"of {megabytes(usual)} usually", held.source)


def _held_again(scope: Scope, fault: Phase, after: Phase) -> Check:
    """Afterwards the limit is what it was."""
    name, expected = "Memory held afterwards", "within the limit, as it was before"
    if after.after is None:
        return scope.lacks(name, expected, "the service could not be asked")
    held = counters.total(after.after, MEMORY.name)
    before, limit = (counters.total(counted, MEMORY_LIMIT.name) for counted in (fault.before, after.after))
    measured = f"{megabytes(held)} of {megabytes(limit)}"
    return scope.holds(name, measured, expected, held <= limit == before > 0)
