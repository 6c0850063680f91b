"""Of the whole run: whether it ended, whether every answer was allowed, and whether everybody counted the same.

Three count each request: Locust, the journal (its sender), and the service. They have to agree exactly, phase by phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from loadtest import formatting
from loadtest.checks import clients, counters
from loadtest.checks.case import NOTHING, Bounds, Case, judged
from loadtest.journal import Phase
from loadtest.result import Check
from recoup.telemetry.catalogue import (
    GENERATION_DURATION,
    HTTP_REQUESTS,
    INTERNAL_ERRORS,
    LOOKUPS,
    MISSES,
)

RUN = "run"
#: Who asks for these is no client of the load test: Prometheus, the conductor, a supervisor.
WATCHING_ROUTES = frozenset({"/metrics", "/healthz", "/readyz"})
GENERATE_ROUTE = "/api/generate/<pipeline>"
#: A client that lost its connection reads nothing of what the service counted, so such phases have no exact counts.
INTERRUPTED = frozenset({"terminate"})
#: Calls that never ask the cache.
NO_LOOKUP = ("manage", "malformed")
_SHOWN = 3


def checks(case: Case) -> Iterator[Check]:
    """Those of the whole run."""
    yield _ended(case)
    yield _answers(case)
    yield _actions(case)
    if case.run.end is not None:
        yield _agreement("Locust's count of requests", case, _locust)
    yield _agreement("The service's count of requests", case, _requests)
    yield _agreement("The service's count of outcomes", case, _outcomes)
    yield _agreement("The service's count of miss reasons", case, _reasons)
    yield _agreement("The service's count of generations", case, _generations)
    yield _bodies(case)
    yield _internal_errors(case)
    for scenario in dict.fromkeys(phase.scenario for phase in case.run.phases):
        yield _traffic(case, scenario)


def _ended(case: Case) -> Check:
    ended, phases = case.run.end is not None, len(case.run.phases)
    detail = (
        "" if ended else "it broke off in the phase " + (case.run.phases[-1].name if phases else "before the first")
    )
    found = "came to its end" if ended else "did not come to its end"
    return Check(RUN, "The run", found if phases else NOTHING, "every phase, to its end", ended and phases > 0, detail)


def _answers(case: Case) -> Check:
    bad = [(phase, request) for phase in case.run.phases for request in phase.requests if not request.allowed]
    sent = sum(len(phase.requests) for phase in case.run.phases)
    by_status = Counter(each.status for _, each in bad)
    said = [f"{number} with status {status or 'none'}" for status, number in sorted(by_status.items())]
    if bad:
        phase, first = bad[0]
        said.append(f"the first in {phase.name}: {first.error or f'status {first.status}'}")
    found = f"{formatting.count(len(bad), 'failure')} in {formatting.count(sent, 'request')}"
    return Check(RUN, "Failures", found, "none", not bad, "; ".join(said))


def _actions(case: Case) -> Check:
    done = [(phase, action) for phase in case.run.phases for action in phase.actions]
    bad = [f"{phase.name}: {each.action}: {each.error}" for phase, each in done if each.error is not None]
    found = f"{formatting.count(len(bad), 'failure')} in {formatting.count(len(done), 'action')}"
    return Check(RUN, "Actions beside the requests", found, "none", not bad, "; ".join(bad[:_SHOWN]))


def _agreement(name: str, case: Case, differences: Callable[[Phase], Iterator[str]]) -> Check:
    """All phases by one comparison; it gives a sentence for each that disagrees."""
    compared = [phase for phase in case.run.phases if phase.after is not None or differences is _locust]
    # The phase in which a run broke off has no end; that it did is told already.
    ended = case.run.phases if case.run.end is not None else case.run.phases[:-1]
    missed = [
        f"{phase.name}: the service could not be asked at its end"
        for phase in ended
        if phase.after is None and phase.scenario not in INTERRUPTED and differences is not _locust
    ]
    found = missed + [f"{phase.name}: {said}" for phase in compared for said in differences(phase)]
    counted = formatting.count(sum(len(phase.requests) for phase in compared), "request")
    where = f"in {formatting.count(len(compared), 'phase')}"
    if not compared:
        return Check(RUN, name, NOTHING, "equal", passed=False, detail="; ".join(found[:_SHOWN]))
    told = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
    measured = f"equal {where}, {counted}" if not found else f"{formatting.count(len(found), 'difference')} {where}"
    return Check(RUN, name, measured, "equal", not found, told)


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
        sent, routes = [request for request in sent if request.kind == "generate"], {GENERATE_ROUTE}
    served: Counter[str] = Counter()
    for route in routes:
        served += counters.growth_by(phase, HTTP_REQUESTS.name, "status", route=route)
    # What is not even HTTP may be refused before anybody counts, and who leaves hears no status.
    malformed = [request for request in phase.requests if request.kind == "malformed"]
    seen = Counter(str(request.status) for request in sent if request.kind != "malformed")
    surplus = served - seen
    if malformed and not seen - served and surplus.total() <= len(malformed):
        seen += surplus
    yield from _different("status", served, seen)


def _managed_aside(phase: Phase) -> bool:
    own = any(
        action.at >= phase.begin and not action.action.startswith(("Fault", "Settle")) for action in phase.actions
    )
    return own and all(request.kind not in NO_LOOKUP for request in phase.requests)


def _outcomes(phase: Phase) -> Iterator[str]:
    """An answer without an outcome (an error) may have had a lookup, a miss or a coalesced one; no other may differ."""
    counted = counters.growth_by(phase, LOOKUPS.name, "outcome")
    seen = clients.outcomes(phase.requests)
    unseen = sum(request.outcome is None and request.kind not in NO_LOOKUP for request in phase.requests)
    surplus = {name: counted[name] - seen[name] for name in ("miss", "coalesced")}
    if unseen and min(surplus.values()) >= 0 and sum(surplus.values()) <= unseen:
        seen += Counter({name: number for name, number in surplus.items() if number})
    yield from _different("outcome", counted, seen)


def _reasons(phase: Phase) -> Iterator[str]:
    counted = counters.growth_by(phase, MISSES.name, "reason")
    seen = clients.reasons(phase.requests)
    unseen = sum(
        request.outcome in (None, "miss") and request.reason is None and request.kind not in NO_LOOKUP
        for request in phase.requests
    )
    surplus = counted - seen
    if unseen and not seen - counted and sum(surplus.values()) <= unseen:
        seen += surplus
    yield from _different("reason", counted, seen)


def _generations(phase: Phase) -> Iterator[str]:
    """A generation answers each miss and each bypass, and nothing else; without an answer it may have failed."""
    counted = round(counters.growth(phase, f"{GENERATION_DURATION.name}_count"))
    found = clients.outcomes(phase.requests)
    seen = found["miss"] + found["bypass"]
    unseen = sum(request.outcome is None and request.kind == "generate" for request in phase.requests)
    if not seen <= counted <= seen + unseen:
        yield f"the service counts {counted:,} generations, its clients {seen:,} misses and bypasses"


def _different(what: str, counted: Counter[str], seen: Counter[str]) -> Iterator[str]:
    for name in sorted(counted.keys() | seen.keys()):
        if counted[name] != seen[name]:
            yield f"{what} {name}: the service counts {counted[name]:,}, its clients {seen[name]:,}"


def _bodies(case: Case) -> Check:
    digests: dict[str, set[tuple[str, int]]] = {}
    whole = [request for phase in case.run.phases for request in clients.generations(phase) if request.status == 200]
    for each in whole:
        digests.setdefault(each.item, set()).add((each.digest, each.bytes))
    bad = sorted(item for item, found in digests.items() if len(found) > 1 or ("", 0) in found)
    found = f"{formatting.count(len(digests), 'item')} in {formatting.count(len(whole), 'answer')}"
    detail = f"different or empty bodies of {', '.join(bad[:_SHOWN])}" if bad else ""
    return Check(
        RUN, "One body for each item", found if whole else NOTHING, "always the same", not bad and bool(whole), detail
    )


def _internal_errors(case: Case) -> Check:
    known = [phase for phase in case.run.phases if phase.after is not None]
    name, wanted = "Failures inside the service", "none"
    if not known or not all(counters.has(phase.after or {}, INTERNAL_ERRORS.name) for phase in known):
        return Check(RUN, name, NOTHING, wanted, passed=False, detail=f"there is no {INTERNAL_ERRORS.name}")
    parts = sum((counters.growth_by(phase, INTERNAL_ERRORS.name, "part") for phase in known), Counter[str]())
    detail = ", ".join(f"{number} in {part}" for part, number in sorted(parts.items()))
    return Check(RUN, name, formatting.count(sum(parts.values()), "failure"), wanted, not parts, detail)


def _traffic(case: Case, scenario: str) -> Check:
    sent = sum(len(phase.requests) for phase in case.phases(scenario))
    least = case.asked.requests.get(scenario, 1)
    return judged(scenario, "Traffic", sent, Bounds(low=least), _requests_word)


def _requests_word(number: float) -> str:
    return formatting.count(number, "request")
