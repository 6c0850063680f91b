"""The journal of a run: what the locustfile writes while it happens, one JSON object a line, and what is read of it.

Lines have a member `line` that says what they are:

- `run`, the first: `at`, and `settings`, those of `workload.Settings`;
- `begin` and `end` of a phase: `scenario`, `part`, `at`, and `counters`, the service's own (see `Phase`);
- `request`: what `Request` has, by the same names;
- `action`: `scenario`, `part`, `at`, `action` (its name and fields as text), `seconds`, `error` (None: it went well);
- `ask`: `number`, `name`: a fault that the run's owner is to bring about. It answers in a file `answer-<number>` beside
  the journal, which is empty when all went well and has the error otherwise;
- `done`: `at`, and `locust`, Locust's own count by the name of its statistics' entry
  (`<scenario> <part>`): `requests` and `failures`;
- `account`, after that: `lookups` by outcome, the last word of a service that was ended during a phase, over its life.

Times are seconds since the epoch. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its sender saw it.

    Attributes:
        at: When it was sent, seconds since the epoch.
        seconds: From before it was sent until all of the answer's body was there.
        kind: As in `plan.Call`.
        item: What was asked for.
        status: 0: no answer, or a broken one.
        outcome: From `Cache-Status`: `hit`, `stale`, `coalesced`, `miss`, `bypass`; None where the answer has none.
        reason: The miss reason, from the same header; None where there is none.
        bytes: Length of the body.
        digest: Of the body, short: equal bodies have equal digests.
        allowed: Whether the contract has this answer here.
        error: What went wrong, where there is no whole answer.
        retry_after: What the header `Retry-After` says, in seconds; None without it.
        generation_seconds: What the service says that generation took (`Server-Timing`), where it does.
    """

    at: float
    seconds: float
    kind: str
    item: str
    status: int
    outcome: str | None = None
    reason: str | None = None
    bytes: int = 0
    digest: str = ""
    allowed: bool = True
    error: str | None = None
    retry_after: float | None = None
    generation_seconds: float | None = None


@dataclass(frozen=True)
class Action:
    """Something that was done beside the requests."""

    at: float
    seconds: float
    action: str
    error: str | None = None


@dataclass(frozen=True)
class Phase:
    """One phase as it went.

    Attributes:
        scenario: As planned.
        part: As planned.
        begin: Seconds since the epoch.
        end: The same; nothing was under way any more.
        before: The service's counters when it began, by the series as Prometheus' text has it, such as
            `recoup_lookups_total{pipeline="relief",outcome="hit"}` with labels in alphabetical order. Everything that
            `/metrics` has but buckets and exemplars.
        after: The same when it had ended; None where the service could not be asked.
        requests: In the order in which they were answered.
        actions: What was done before and during it.
        locust_requests: Locust's own count for it.
        locust_failures: The same of failures.
        account: Where the service ended during the phase: lookups by outcome over its life, as it said at its end; None
            where nobody knows.
    """

    scenario: str
    part: str
    begin: float
    end: float
    before: Mapping[str, float]
    after: Mapping[str, float] | None
    requests: tuple[Request, ...] = ()
    actions: tuple[Action, ...] = ()
    locust_requests: int = 0
    locust_failures: int = 0
    account: Mapping[str, int] | None = None

    @property
    def name(self) -> str:
        """As Locust's statistics have it."""
        return f"{self.scenario} {self.part}"


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        settings: Those of the workload, by name.
        phases: In their order.
        begin: Seconds since the epoch.
        end: The same; None where the run did not come to its end.
    """

    settings: Mapping[str, Any]
    phases: tuple[Phase, ...]
    begin: float
    end: float | None

    def phase(self, scenario: str, part: str) -> Phase | None:
        """The phase of a name, or None where the run has none."""
        return next((phase for phase in self.phases if (phase.scenario, phase.part) == (scenario, part)), None)


def hit_ratio(outcomes: Mapping[str, int]) -> float | None:
    """Hits and stale hits by all lookups but bypasses; None where there were none. As the service counts it."""
    counted = sum(outcomes.get(each, 0) for each in ("hit", "stale", "coalesced", "miss"))
    return (outcomes.get("hit", 0) + outcomes.get("stale", 0)) / counted if counted else None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines so far; a line that is not yet whole is left out."""
    with path.open(encoding="utf-8") as journal:
        for text in journal:
            if text.endswith("\n"):
                yield json.loads(text)


@dataclass
class _Open:
    """A phase that is being read."""

    begin: dict[str, Any]
    end: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)


def read(found: Iterable[Mapping[str, Any]]) -> Run:
    """A run, from the lines of its journal.

    Raises:
        ValueError: It has no beginning.
    """
    first: Mapping[str, Any] | None = None
    done: Mapping[str, Any] = {}
    phases: list[_Open] = []
    # What is done before a phase begins stands before its `begin`.
    early: list[Action] = []
    accounts: list[Mapping[str, int]] = []
    for line in found:
        kind = line["line"]
        if kind == "run":
            first = line
        elif kind == "begin":
            phases.append(_Open(dict(line), actions=early))
            early = []
        elif kind == "end":
            phases[-1].end = dict(line)
        elif kind == "request":
            phases[-1].requests.append(_fields(Request, line))
        elif kind == "action":
            ended = not phases or phases[-1].end
            (early if ended else phases[-1].actions).append(_fields(Action, line))
        elif kind == "done":
            done = line
        elif kind == "account":
            accounts.append(line["lookups"])
    if first is None:
        raise ValueError("the journal has no beginning: the load test did not start")
    counts, last_words = done.get("locust", {}), iter(accounts)
    made = tuple(_phase(phase, counts) for phase in phases)
    told = tuple(each if each.after is not None else replace(each, account=next(last_words, None)) for each in made)
    return Run(first["settings"], told, first["at"], done.get("at"))


def _fields(record: type[Any], line: Mapping[str, Any]) -> Any:
    names = record.__dataclass_fields__
    return record(**{name: value for name, value in line.items() if name in names})


def _phase(found: _Open, counts: Mapping[str, Mapping[str, int]]) -> Phase:
    scenario, part = found.begin["scenario"], found.begin["part"]
    counted = counts.get(f"{scenario} {part}", {})
    last = max((request.at + request.seconds for request in found.requests), default=found.begin["at"])
    return Phase(
        scenario=scenario,
        part=part,
        begin=found.begin["at"],
        end=found.end.get("at", last),
        before=found.begin["counters"],
        after=found.end.get("counters"),
        requests=tuple(found.requests),
        actions=tuple(found.actions),
        locust_requests=counted.get("requests", 0),
        locust_failures=counted.get("failures", 0),
    )
