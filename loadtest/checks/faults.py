"""Faults: errors only where the contract has them, and everything as before soon afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from loadtest import formatting, panels
from loadtest.checks import clients, counters
from loadtest.checks.case import NOTHING, Bounds, Case, failed, judged
from loadtest.checks.stress import afterwards, recovered, recovery
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


def checks(case: Case) -> Iterator[Check]:
    """Those of the faults that were brought about."""
    every: dict[str, Callable[[Case, Phase, Phase], Iterator[Check]]] = {
        "kill-worker": _kill_worker,
        "prometheus-restart": _prometheus,
        "terminate": _terminate,
        "garbage": _garbage,
        "shrink": _shrink,
    }
    for scenario, found in every.items():
        if not case.played(scenario):
            continue
        fault = case.run.phase(scenario, "fault")
        after = case.run.phase(scenario, "recovery") or case.run.phase(scenario, "restarted")
        if fault is None or after is None:
            yield failed(scenario, "The fault", "a fault, and what comes after", "the run has no such phases")
        else:
            yield from found(case, fault, after)


def acted(phase: Phase, name: str) -> Action | None:
    """The first action of a name during a phase."""
    return next(
        (action for action in phase.actions if action.action.startswith(name) and action.at >= phase.begin), None
    )


def _brought_about(phase: Phase, name: str, what: str) -> Check:
    found = acted(phase, name)
    good = found is not None and found.error is None
    said = "" if found is None else found.error or ""
    return Check(phase.scenario, what, "done" if good else NOTHING, "done", good, said)


def _moment(phase: Phase, name: str) -> float:
    """When an action was done with; the phase's end where it was not."""
    found = acted(phase, name)
    return phase.end if found is None else found.at + found.seconds


def _kill_worker(case: Case, fault: Phase, after: Phase) -> Iterator[Check]:
    name = "Fault kill-worker"
    yield _brought_about(fault, name, "A worker is killed")
    failures = [request for request in fault.requests if request.status != 200]
    most = case.asked.killed_worker_failures_max
    by_status = ", ".join(f"{number} with {status or 'no answer'}" for status, number in _statuses(failures))
    passed = len(failures) <= most and all(request.status == DIED for request in failures)
    wanted = f"at most {most:.0f}, with {DIED}"
    yield Check("kill-worker", "Requests that failed with it", f"{len(failures)}", wanted, passed, by_status)
    generated = [each for each in (*fault.requests, *after.requests) if each.status == 200 and each.outcome == "miss"]
    yield recovered(case, "kill-worker", generated, _moment(fault, name))
    yield afterwards(after)


def _statuses(requests: list[Request]) -> list[tuple[int, int]]:
    return sorted(Counter(request.status for request in requests).items())


def _prometheus(case: Case, fault: Phase, after: Phase) -> Iterator[Check]:
    yield _brought_about(fault, "Fault stop-prometheus", "Prometheus is stopped")
    yield _brought_about(fault, "Fault start-prometheus", "Prometheus is started again")
    yield _counters_survive(fault, after)
    yield afterwards(after)
    yield _seen_again(case, fault, after)


def _counters_survive(fault: Phase, after: Phase) -> Check:
    """The service's counters go on while nobody reads them: none is lower afterwards, and every lookup is in them."""
    if fault.after is None or after.after is None:
        why = "the service could not be asked"
        return failed("prometheus-restart", "Counters survive", "none is lower", why)
    names = [text for text in fault.before if counters.series(text)[0].endswith(("_total", "_count"))]
    fallen = [text for text in names if after.after.get(text, 0.0) < fault.before[text]]
    lookups = counters.growth(fault, LOOKUPS.name)
    counted = formatting.count(lookups, "lookup")
    measured = f"{formatting.count(len(fallen), 'counter')} of {len(names)} fell, {counted} counted"
    passed = not fallen and bool(names) and lookups > 0
    return Check("prometheus-restart", "Counters survive", measured, "none is lower", passed, ", ".join(fallen[:3]))


def _seen_again(case: Case, fault: Phase, after: Phase) -> Check:
    """Prometheus scrapes again soon after its return."""
    back, bounds = _moment(fault, "Fault start-prometheus"), Bounds(high=case.asked.recovery_seconds_max)
    name = "Scraped again"
    try:
        times = case.panels.scrapes(fault.begin, after.end + case.settle_seconds)
    except (QueryError, KeyError) as error:
        return failed("prometheus-restart", name, bounds.said(formatting.seconds), str(error))
    soonest = [min((at for at in found if at >= back), default=None) for found in times.values()]
    known = [at for at in soonest if at is not None]
    late = max(known) - back if known and len(known) == len(soonest) else None
    return judged("prometheus-restart", name, late, bounds, formatting.seconds, "after it was started again")


def _terminate(case: Case, fault: Phase, after: Phase) -> Iterator[Check]:
    """What was begun is answered whole; who comes meanwhile is sent away; who comes later finds nobody."""
    name = "Fault terminate-service"
    yield _brought_about(fault, name, "The service is told to end")
    told = acted(fault, name)
    moment = fault.end if told is None else told.at
    begun = [request for request in fault.requests if request.at < moment]
    whole = sum(request.status in (200, AWAY) for request in begun)
    measured = f"{whole:,} of {len(begun):,} answered whole"
    yield Check("terminate", "Requests that had begun", measured, "all", whole == len(begun) > 0, _first(begun))
    late = [request for request in fault.requests if request.at >= moment]
    broken = [request for request in late if request.status not in (0, 200, AWAY) or not request.allowed]
    measured = (
        ", ".join(f"{number:,} with {status or 'no answer'}" for status, number in _statuses(late)) or "none came"
    )
    wanted = f"200, {AWAY}, or nobody there; none broken"
    yield Check("terminate", "Requests that came later", measured, wanted, not broken, _first(broken))
    yield _last_word(fault)
    yield from recovery(case, after, after.begin)


def _last_word(fault: Phase) -> Check:
    """What the service says at its end of its life: what it had counted before, and what its clients saw since."""
    name, wanted = "The service's count at its end", "equal to its clients'"
    if fault.account is None:
        return failed("terminate", name, wanted, "it did not say")
    seen = clients.outcomes(fault.requests)
    for labels, value in counters.select(fault.before, LOOKUPS.name):
        seen[labels["outcome"]] += round(value)
    apart = [
        f"{outcome}: {told:,} and {seen[outcome]:,}" for outcome, told in fault.account.items() if told != seen[outcome]
    ]
    measured = (
        f"{formatting.count(sum(fault.account.values()), 'lookup')}, {formatting.count(len(apart), 'difference')}"
    )
    return Check("terminate", name, measured, wanted, not apart and any(seen.values()), "; ".join(apart))


def _first(requests: list[Request]) -> str:
    bad = next((request for request in requests if request.status not in (200, AWAY)), None)
    return "" if bad is None else f"the first: {bad.error or f'status {bad.status}'}"


def _garbage(case: Case, fault: Phase, after: Phase) -> Iterator[Check]:
    yield _refused("Garbage refused as the contract says", fault)
    yield _good_between("Good requests in between", fault)
    yield _nothing_kept(fault)
    slow = case.run.phase("garbage", "slow")
    if slow is None:
        yield failed("garbage", "Slow senders and callers who leave", "all", "the run has no such phase")
    else:
        yield _refused("Slow senders and callers who leave", slow)
        yield _good_between("Good requests beside slow ones", slow)
    yield afterwards(after)


def _refused(name: str, phase: Phase) -> Check:
    """Each call that cannot be served has the answer that the contract has for it; who leaves has none."""
    bad = [request for request in phase.requests if request.kind != "generate"]
    refused = sum(request.allowed and not 200 <= request.status < 400 for request in bad)
    wrong = sorted({f"{request.item} ({request.status})" for request in bad if not request.allowed})
    listed = ", ".join(f"{number:,} with {status or 'no answer'}" for status, number in _statuses(bad))
    detail = f"{listed}; not as expected: {', '.join(wrong)}" if wrong else listed
    return Check("garbage", name, f"{refused:,} of {len(bad):,}", "all", refused == len(bad) > 0, detail)


def _good_between(name: str, phase: Phase) -> Check:
    good = [request for request in phase.requests if request.kind == "generate"]
    answered = sum(request.status == 200 for request in good)
    measured = f"{answered:,} of {len(good):,} answered with 200"
    return Check("garbage", name, measured, "all", answered == len(good) > 0)


def _nothing_kept(fault: Phase) -> Check:
    """A refused request changes nothing: what is held afterwards is what was held before."""
    if fault.after is None or not counters.has(fault.after, ENTRIES.name):
        return failed("garbage", "Entries", "as many as before", "the service could not be asked")
    grown = counters.growth(fault, ENTRIES.name)
    held = formatting.count(counters.total(fault.after, ENTRIES.name), "entry").replace("entrys", "entries")
    return Check("garbage", "Entries", f"{held}, {grown:+.0f}", "as many as before", grown == 0)


def _shrink(case: Case, fault: Phase, after: Phase) -> Iterator[Check]:
    yield _brought_about(fault, LOWER, "The memory limit is lowered")
    yield _brought_about(fault, RESTORE, "The memory limit is restored")
    evicted = counters.growth(fault, EVICTIONS.name, cause="memory")
    yield Check("shrink", "Evictions by memory", formatting.count(evicted, "eviction"), "some", evicted > 0)
    yield _held_low(case, fault)
    yield _held_again(after, fault)
    yield afterwards(after)
    yield _ratio_recovers(case, fault, after)


def _held_low(case: Case, fault: Phase) -> Check:
    """At the moment before the limit is restored, what is held is within the lowered one."""
    name, wanted = "Memory held under the lowered limit", "within a limit that is lower"
    restored = acted(fault, RESTORE)
    moment = fault.end if restored is None else restored.at
    held, limit = (case.panels.at(panels.MEMORY_LIMIT, moment, ending) for ending in ("held", "limit"))
    if held.value is None or limit.value is None:
        return failed("shrink", name, wanted, held.problem or limit.problem, held.source)
    usual = counters.total(fault.before, MEMORY_LIMIT.name)
    measured = f"{formatting.megabytes(held.value)} of {formatting.megabytes(limit.value)}"
    passed = 0 < held.value <= limit.value < usual
    return Check("shrink", name, measured, wanted, passed, f"of {formatting.megabytes(usual)} usually", held.source)


def _held_again(after: Phase, fault: Phase) -> Check:
    """Afterwards the limit is what it was."""
    name, wanted = "Memory held afterwards", "within the limit, as it was before"
    if after.after is None:
        return failed("shrink", name, wanted, "the service could not be asked")
    held = counters.total(after.after, MEMORY.name)
    limits = [counters.total(found, MEMORY_LIMIT.name) for found in (fault.before, after.after)]
    measured = f"{formatting.megabytes(held)} of {formatting.megabytes(limits[1])}"
    return Check("shrink", name, measured, wanted, held <= limits[1] == limits[0] > 0)


def _ratio_recovers(case: Case, fault: Phase, after: Phase) -> Check:
    """Before the limit is lowered, while it is low, and when the popular entries are back."""
    down, up = _moment(fault, LOWER), _moment(fault, RESTORE)
    requests = (*fault.requests, *after.requests)
    spans = ((fault.begin, down), (down, up), ((after.begin + after.end) / 2, after.end))
    ratios = [clients.hit_ratio(clients.answered_within(requests, *span)) for span in spans]
    first, low, last = ratios
    told = ", then ".join(NOTHING if ratio is None else formatting.percent(ratio) for ratio in ratios)
    bounds = Bounds(low=case.asked.shrink_recovery_min)
    risen = None if first is None or low is None or last is None else last - low
    return judged("shrink", "Hit ratio rises again", risen, bounds, formatting.points, told)
