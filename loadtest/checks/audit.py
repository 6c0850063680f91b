"""The audit: one caller, one request after another, so that each answer is known. `model` says what it has to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from loadtest import references
from loadtest.checks import clients, counters
from loadtest.checks.case import Scope, at_most
from loadtest.formatting import count, megabytes, percent, seconds
from loadtest.journal import Phase, Request
from loadtest.model import Answered, Model, replay
from loadtest.result import Check
from loadtest.scenarios.audit import BURST_KEYS, SHORT_TTL_SECONDS, SLOW_SECONDS
from loadtest.scenarios.parts import TTL_SECONDS
from loadtest.service import UPSTREAM_REQUESTS
from recoup.telemetry.catalogue import EVICTIONS, INVALIDATIONS, MEMORY, RECOUPED

#: By check, the phases whose answers have to be the model's, each one.
OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "Answers against an exact LRU": ("order", "hits", "slow"),
    "Requests that hardly differ": ("near", "relief"),
    "Answers past the cache": ("bypass",),
    "Cleared and deleted keys": ("cleared", "kept", "deleted"),
    "Entries past their time to live": ("short", "expired"),
    "Changes of the configuration": ("filled", "few", "disabled", "enabled"),
}
PARTS = (*dict.fromkeys(part for parts in OUTCOMES.values() for part in parts), "burst", "aged", "revalidated")
_RESIDENT = "process_resident_memory_bytes"
#: From which hit of a key on they are called later ones.
_LATER = 4
#: The clocks of a client and the service differ by nothing here; headers have whole seconds.
_WHOLE_SECOND = 1.0


@dataclass(frozen=True)
class Audit:
    """The audit as it went, beside what had to come of it.

    Attributes:
        scope: Makes the checks.
        answered: By part, every generation beside what was expected.
        model: What the cache has to hold at the end, and what has left it by then, by cause.
    """

    scope: Scope
    answered: Mapping[str, list[Answered]]
    model: Model

    def requests(self, *parts: str) -> list[Request]:
        """The generations of these phases, in the order of sending; of all, where none is named."""
        return [one.request for part in parts or self.answered for one in self.answered[part]]

    def phase(self, part: str) -> Phase:
        """A phase, which is there."""
        (phase,) = (phase for phase in self.scope.phases if phase.part == part)
        return phase


def audit(scope: Scope, *_: Phase) -> Iterator[Check]:
    """Every check of the audit."""
    model = Model()
    found = Audit(scope, {phase.part: answers for phase, answers in replay(scope.phases, model)}, model)
    for name, parts in OUTCOMES.items():
        yield _outcomes(found, name, parts)
    yield _reasons(found)
    yield from (check(found) for check in _CHECKS)


def _outcomes(audit: Audit, name: str, parts: tuple[str, ...]) -> Check:
    """Hit, miss or bypass, each as the model has it."""
    answers = [one for part in parts for one in audit.answered[part]]
    wrong = [
        f"{one.request.item} in {one.phase.part} was a {one.request.outcome}, not a {one.expected.outcome}"
        for one in answers
        if one.request.outcome != one.expected.outcome
    ]
    return audit.scope.none(name, wrong, len(answers), "answer")


def _reasons(audit: Audit) -> Check:
    """What a caller is told of a miss or a bypass, where that is what it had to be."""
    answers = [
        one
        for answers in audit.answered.values()
        for one in answers
        if one.expected.reason is not None and one.request.outcome == one.expected.outcome
    ]
    wrong = [
        f"{one.request.item} in {one.phase.part}: {one.request.reason}, not {one.expected.reason}"
        for one in answers
        if one.request.reason != one.expected.reason
    ]
    return audit.scope.none("Reasons as callers see them", wrong, len(answers), "answer")


def _past(audit: Audit) -> Check:
    """Each request for an answer past the cache reaches the generator, by its own count, and nothing else does."""
    phase = audit.phase("bypass")
    asked, reached = len(phase.requests), round(counters.growth(phase, UPSTREAM_REQUESTS))
    measured = f"{count(reached, 'generation')} for {count(asked, 'request')}"
    return audit.scope.holds("no-store, by the generator's own count", measured, "equal", reached == asked > 0)


def _single_flight(audit: Audit) -> Check:
    """One generation for each key, whoever else asks meanwhile."""
    reached = round(counters.growth(audit.phase("burst"), UPSTREAM_REQUESTS))
    measured = f"{count(reached, 'generation')} for {count(BURST_KEYS, 'key')}"
    name = "Single-flight, by the generator's own count"
    return audit.scope.holds(name, measured, "one for each key", reached == BURST_KEYS)


def _coalesced(audit: Audit) -> Check:
    """Of the callers of a key one generates. Who came before it was done has waited, and is told so."""
    by_key: dict[str, list[Request]] = defaultdict(list)
    for request in audit.requests("burst"):
        by_key[request.item].append(request)
    wrong = []
    for item, requests in by_key.items():
        misses = [request for request in requests if request.outcome == "miss"]
        if len(misses) != 1:
            wrong.append(f"{item}: {count(len(misses), 'miss')}")
            continue
        done = misses[0].at + SLOW_SECONDS
        early = [request for request in requests if request.outcome == "hit" and request.at < done]
        wrong += [f"{item}: {count(len(early), 'hit')} before it was generated"] if early else []
        others = {request.outcome for request in requests} - {"miss", "hit", "coalesced"}
        wrong += [f"{item}: {', '.join(map(str, others))}"] if others else []
    return audit.scope.none("Callers of one generation", wrong, len(by_key), "key")


def _causes(audit: Audit) -> Check:
    """Evictions and invalidations by cause, over the whole audit."""
    first, last = audit.scope.phases[0], audit.scope.phases[-1]
    whole = Phase("", "", first.begin, last.end, first.before, last.after)
    counted = {
        **counters.growth_by(whole, EVICTIONS.name, "cause"),
        **counters.growth_by(whole, INVALIDATIONS.name, "cause"),
    }
    # What was cleared before the first phase began is in no phase.
    expected = {**audit.model.evictions, **audit.model.invalidations}
    wrong = [
        f"{cause}: the service counts {counted.get(cause, 0)}, {expected.get(cause, 0)} were to be"
        for cause in sorted(counted.keys() | expected.keys())
        if counted.get(cause, 0) != expected.get(cause, 0)
    ]
    return audit.scope.none("Evictions and invalidations by cause", wrong, sum(expected.values()), "departure")


def _etags(audit: Audit) -> Check:
    """Quoted, the same for one item, different for others; and what has the right one is not sent again."""
    tags: dict[str, set[str | None]] = defaultdict(set)
    for request in audit.requests():
        tags[request.item].add(request.etag)
    wrong = [f"{item} has {count(len(found), 'tag')}" for item, found in tags.items() if len(found) > 1]
    owners: dict[str | None, str] = {}
    for item, found in tags.items():
        for tag in found:
            wrong += [f"{item}: {tag} is no entity tag"] if tag is None or not tag.strip("W/").startswith('"') else []
            other = owners.setdefault(tag, item)
            wrong += [f"{item} and {other} have the same"] if other != item else []
    wrong += [
        f"{request.item} was sent again: {request.status}"
        for request in audit.requests("revalidated")
        if request.status != 304
    ]
    return audit.scope.none("Entity tags", wrong, len(tags), "item")


def _content_types(audit: Audit) -> Check:
    """As the generator gives them."""
    answers = [request for request in audit.requests() if request.status == 200]
    wrong = [
        f"{request.item}: {request.content_type}"
        for request in answers
        if request.content_type != references.content_type(request.item)
    ]
    return audit.scope.none("Content types", wrong, len(answers), "answer")


def _ages(audit: Audit) -> Check:
    """`Age` is what has passed since the generation, `ttl` what is left of the time to live."""
    stored: dict[str, tuple[float, float]] = {}
    wrong, hits = [], 0
    for part, answers in audit.answered.items():
        if part == "burst":
            continue  # who has stored it is not known
        ttl = SHORT_TTL_SECONDS if part in ("short", "expired") else TTL_SECONDS
        for one in answers:
            request = one.request
            if request.outcome == "miss":
                stored[request.item] = (request.at, request.at + request.seconds)
            if request.outcome != "hit" or request.item not in stored:
                continue
            hits += 1
            first, last = stored[request.item]
            low, high = request.at - last - _WHOLE_SECOND, request.at + request.seconds - first
            if request.age is None or not low <= request.age <= high:
                wrong.append(f"{request.item} in {part}: Age {request.age}, expected {low + 1:.1f} to {high:.1f}")
            elif request.ttl is None or not -_WHOLE_SECOND <= request.ttl + request.age - ttl <= 0:
                wrong.append(f"{request.item} in {part}: ttl {request.ttl} at the Age {request.age} of {ttl}")
    return audit.scope.none("Age and ttl", wrong, hits, "hit")


def _later_hits(audit: Audit) -> Check:
    """The median of each key's hits from its fifth on: the slowest key's."""
    by_key: dict[str, list[float]] = defaultdict(list)
    for request in audit.requests("hits"):
        if request.outcome == "hit":
            by_key[request.item].append(request.seconds)
    later = [median(waits[_LATER:]) for waits in by_key.values() if len(waits) > _LATER]
    bounds = at_most(audit.scope.asked.audit_later_hit_seconds_max, seconds)
    detail = f"the slowest of {count(len(later), 'key')}"
    return audit.scope.within("Later hits of a key", max(later, default=None), bounds, detail)


def _slow_hits(audit: Audit) -> Check:
    waits = [request.seconds for request in audit.requests("hits") if request.outcome == "hit"]
    bounds = at_most(audit.scope.asked.audit_hit_p99_max, seconds)
    return audit.scope.within("Hits, 99th percentile", clients.quantile(waits, 0.99), bounds)


def _costs(audit: Audit) -> Check:
    """What a generation took, as callers are told: never less than the generator takes, nor much more."""
    told = [request.generation_seconds for request in audit.requests("slow") if request.outcome == "miss"]
    known = [cost for cost in told if cost is not None]
    bounds = at_most(audit.scope.asked.audit_cost_excess_max, percent)
    excess = min(known) / SLOW_SECONDS - 1 if known and min(known) >= SLOW_SECONDS - 0.001 else None
    return audit.scope.within("Costs, by the generator's own time", excess, bounds, why=f"told: {told}")


def _recouped(audit: Audit) -> Check:
    """What hits recouped is what their results cost, as the callers of the misses were told."""
    cost: dict[str, float] = {}
    expected, hits = 0.0, 0
    for part in ("order", "hits"):
        for one in audit.answered[part]:
            if one.request.outcome == "miss":
                cost[one.request.item] = one.request.generation_seconds or 0.0
            elif one.request.outcome == "hit":
                expected += cost.get(one.request.item, 0.0)
                hits += 1
    counted = sum(counters.growth(audit.phase(part), RECOUPED.name) for part in ("order", "hits"))
    bounds = at_most(audit.scope.asked.audit_recouped_tolerance, percent)
    detail = f"{counted:.2f} s counted, {expected:.2f} s told, {count(hits, 'hit')}"
    away = abs(counted / expected - 1) if expected else None
    return audit.scope.within("Recouped seconds", away, bounds, detail)


def _memory(audit: Audit) -> Check:
    """At least the bodies that are held, and little more."""
    sizes = {request.item: request.bytes for request in audit.requests("relief")}
    bodies, after = sum(sizes.get(item, 0) for item in audit.model.held), audit.phase("relief").after or {}
    accounted = counters.total(after, MEMORY.name)
    bounds = at_most(audit.scope.asked.audit_memory_excess_max, percent)
    detail = f"{megabytes(accounted)} accounted, {megabytes(bodies)} of bodies"
    more = accounted / bodies - 1 if bodies and accounted >= bodies else None
    return audit.scope.within("Memory accounted, by the bodies held", more, bounds, detail, why=detail)


def _leak(audit: Audit) -> Check:
    """What the process grows by with each hit, of thousands."""
    phase = audit.phase("hits")
    grown = counters.growth(phase, _RESIDENT) / len(phase.requests) if phase.requests else None
    bounds = at_most(audit.scope.asked.audit_leak_bytes_max, lambda value: f"{value:,.0f} bytes")
    return audit.scope.within("Memory that grows by request", grown, bounds, f"of {len(phase.requests):,} hits")


_CHECKS: tuple[Callable[[Audit], Check], ...] = (
    _past,
    _single_flight,
    _coalesced,
    _causes,
    _etags,
    _content_types,
    _ages,
    _later_hits,
    _slow_hits,
    _costs,
    _recouped,
    _memory,
    _leak,
)
