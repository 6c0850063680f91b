"""Of the whole run: whether it ended, whether every answer was allowed, and whether everybody counted the same.

Three count each request: Locust, the journal (its sender), and the service. They have to agree exactly, phase by phase.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator

from loadtest.checks import clients, counters
from loadtest.checks.case import NOTHING, Scope
from loadtest.formatting import count
from loadtest.journal import Phase
from loadtest.result import Check
from recoup.telemetry.catalogue import GENERATION_DURATION, HTTP_REQUESTS, INTERNAL_ERRORS, LOOKUPS, MISSES

#: Who asks for these is no client of the load test: Prometheus, the conductor, a supervisor.
WATCHING_ROUTES = frozenset({"/metrics", "/healthz", "/readyz"})
GENERATE_ROUTE = "/api/generate/<pipeline>"
#: A client that lost its connection reads nothing of what the service counted, so such phases have no exact counts.
INTERRUPTED = frozenset({"terminate"})
#: Calls that never ask the cache.
NO_LOOKUP = ("manage", "malformed")
_SHOWN = 3

#: Gives a sentence for each count of a phase on which two disagree.
Differences = Callable[[Phase], Iterator[str]]


def checks(scope: Scope) -> Iterator[Check]:
    """Those of the whole run."""
    run = scope.case.run
    yield _ended(scope)
    yield _answers(scope)
    yield _actions(scope)
    if run.end is not None:
        yield _agreement(scope, "Locust's count of requests", run.phases, _locust)
    asked = [phase for phase in run.phases if phase.after is not None]
    # The phase in which a run broke off has no end; another check says that it did.
    ended = run.phases if run.end is not None else run.phases[:-1]
    silent = [phase for phase in ended if phase.after is None and phase.scenario not in INTERRUPTED]
    for what, differences in _SERVICE_COUNTS.items():
        yield _agreement(scope, f"The service's count of {what}", asked, differences, silent)
    yield _bodies(scope)
    yield _internal_errors(scope, asked)


def traffic(scope: Scope) -> Check:
    """Whether a scenario had requests enough to say anything."""
    sent, least = sum(len(phase.requests) for phase in scope.phases), scope.asked.requests.get(scope.scenario, 1)
    return scope.holds("Traffic", count(sent, "request"), f"at least {count(least, 'request')}", sent >= least)


def _ended(scope: Scope) -> Check:
    run = scope.case.run
    last = f"in the phase {run.phases[-1].name}" if run.phases else "before the first"
    detail = "" if run.end is not None else f"it broke off {last}"
    measured = "came to its end" if run.end is not None else "did not come to its end"
    passed = run.end is not None and bool(run.phases)
    return scope.holds("The run", measured if run.phases else NOTHING, "every phase, to its end", passed, detail)


def _answers(scope: Scope) -> Check:
    phases = scope.case.run.phases
    bad = [(phase, request) for phase in phases for request in phase.requests if not request.allowed]
    by_status = Counter(request.status for _, request in bad)
    detail = [f"{number} with status {status or 'none'}" for status, number in sorted(by_status.items())]
    if bad:
        phase, first = bad[0]
        detail.append(f"the first in {phase.name}: {first.error or f'status {first.status}'}")
    measured = f"{count(len(bad), 'failure')} in {count(sum(len(phase.requests) for phase in phases), 'request')}"
    return scope.holds("Failures", measured, "none", not bad, "; ".join(detail))


def _actions(scope: Scope) -> Check:
    done = [(phase, action) for phase in scope.case.run.phases for action in phase.actions]
    bad = [f"{phase.name}: {action.action}: {action.error}" for phase, action in done if action.error is not None]
    return scope.none("Actions beside the requests", bad, len(done), "action", called="failure", least=0)


def _agreement(
    scope: Scope, name: str, phases: Collection[Phase], differences: Differences, silent: Collection[Phase] = ()
) -> Check:
    """Phases by one comparison; of `silent` ones the service's counts are not known."""
    apart = [f"{phase.name}: the service could not be asked at its end" for phase in silent]
    apart += [f"{phase.name}: {sentence}" for phase in phases for sentence in differences(phase)]
    return scope.none(name, apart, len(phases), "phase", expected="equal")


def _locust(phase: Phase) -> Iterator[str]:
    sent, bad = len(phase.requests), sum(not request.allowed for request in phase.requests)
    if phase.locust_requests != sent:
        yield f"Locust counts {phase.locust_requests:,} requests, its journal {sent:,}"
    if phase.locust_failures != bad:
        yield f"Locust counts {phase.locust_failures:,} failures, its journal {bad:,}"


def _requests(phase: Phase) -> Iterator[str]:
    """By status, over every route that clients use."""
    sent = [request for request in phase.requests if request.status]
    routes = {labels["route"] for labels, _ in counters.select(phase.after or {}, HTTP_REQUESTS.name)} - WATCHING_ROUTES
    if _managed_aside(phase):
        # What the conductor asks of the management API by itself is in no journal: generations alone can be compared.
        sent, routes = clients.generations(sent), {GENERATE_ROUTE}
    served = Counter[str]()
    for route in routes:
        served += counters.growth_by(phase, HTTP_REQUESTS.name, "status", route=route)
    # What is not even HTTP may be refused before anybody counts, and who leaves hears no status.
    malformed = clients.count(phase.requests, lambda request: request.kind == "malformed")
    seen = Counter(str(request.status) for request in sent if request.kind != "malformed")
    yield from _different("status", served, seen, malformed)


def _managed_aside(phase: Phase) -> bool:
    own = any(
        action.at >= phase.begin and not action.action.startswith(("Fault", "Settle")) for action in phase.actions
    )
    return own and all(request.kind not in NO_LOOKUP for request in phase.requests)


def _outcomes(phase: Phase) -> Iterator[str]:
    """An answer without an outcome (an error) may have had a lookup, a miss or a coalesced one; no other may differ."""
    counted = counters.growth_by(phase, LOOKUPS.name, "outcome")
    unseen = clients.count(phase.requests, lambda one: one.outcome is None and one.kind not in NO_LOOKUP)
    yield from _different("outcome", counted, clients.outcomes(phase.requests), unseen, ("miss", "coalesced"))


def _reasons(phase: Phase) -> Iterator[str]:
    counted = counters.growth_by(phase, MISSES.name, "reason")
    unseen = clients.count(
        phase.requests,
        lambda one: one.outcome in (None, "miss") and one.reason is None and one.kind not in NO_LOOKUP,
    )
    yield from _different("reason", counted, clients.reasons(phase.requests), unseen)


def _generations(phase: Phase) -> Iterator[str]:
    """A generation answers each miss and each bypass, and nothing else; without an answer it may have failed."""
    counted = round(counters.growth(phase, f"{GENERATION_DURATION.name}_count"))
    outcomes = clients.outcomes(phase.requests)
    seen = outcomes["miss"] + outcomes["bypass"]
    unseen = clients.count(phase.requests, lambda one: one.outcome is None and one.kind == "generate")
    if not seen <= counted <= seen + unseen:
        yield f"the service counts {counted:,} generations, its clients {seen:,} misses and bypasses"


_SERVICE_COUNTS: dict[str, Differences] = {
    "requests": _requests,
    "outcomes": _outcomes,
    "miss reasons": _reasons,
    "generations": _generations,
}


def _different(
    what: str, counted: Counter[str], seen: Counter[str], unseen: int, hidden: Collection[str] | None = None
) -> Iterator[str]:
    """Where counts disagree.

    Args:
        what: Is counted.
        counted: By the service, by name.
        seen: By its clients, by name.
        unseen: Requests whose name the clients do not know.
        hidden: The names that those may have; None: any.
    """
    surplus = {name: counted[name] - seen[name] for name in sorted(counted.keys() | seen.keys())}
    may_be = {name: number for name, number in surplus.items() if hidden is None or name in hidden}
    explained = min(may_be.values(), default=0) >= 0 and sum(may_be.values()) <= unseen
    for name, number in surplus.items():
        if number and not (explained and name in may_be):
            yield f"{what} {name}: the service counts {counted[name]:,}, its clients {seen[name]:,}"


def _bodies(scope: Scope) -> Check:
    bodies: dict[str, set[tuple[str, int]]] = defaultdict(set)
    generations = [request for phase in scope.case.run.phases for request in clients.generations(phase.requests)]
    whole = [request for request in generations if request.status == 200]
    for request in whole:
        bodies[request.item].add((request.digest, request.bytes))
    bad = sorted(item for item, different in bodies.items() if len(different) > 1 or ("", 0) in different)
    measured = f"{count(len(bodies), 'item')} in {count(len(whole), 'answer')}" if whole else NOTHING
    detail = f"different or empty bodies of {', '.join(bad[:_SHOWN])}" if bad else ""
    return scope.holds("One body for each item", measured, "always the same", bool(whole) and not bad, detail)


def _internal_errors(scope: Scope, asked: Collection[Phase]) -> Check:
    name, metric = "Failures inside the service", INTERNAL_ERRORS.name
    if not asked or not all(counters.has(phase.after or {}, metric) for phase in asked):
        return scope.lacks(name, "none", f"there is no {metric}")
    parts = sum((counters.growth_by(phase, metric, "part") for phase in asked), Counter[str]())
    detail = ", ".join(f"{number} in {part}" for part, number in sorted(parts.items()))
    return scope.holds(name, count(parts.total(), "failure"), "none", not parts, detail)
