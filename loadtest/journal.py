"""The journal of a run: what the locustfile writes while it happens, one JSON object a line, and what is read of it.

Lines have a member `line` that says what they are:

- `run`, the first: `at`, `settings`, those of `workload.Settings`, and `counters`, the service's when nothing was done
  yet;
- `begin` and `end` of a phase: `scenario`, `part`, `at`, `counters`, the service's own, and at the end `stats`, what
  it tells its manager (see `Phase`);
- `request`: what `Request` has, by the same names;
- `action`: `scenario`, `part`, `at`, `action` (its name and fields as text), `seconds`, `error` (None: it went well);
- `rest`, after an `end`: `at`, until when nothing was sent, so that Prometheus has scraped what the phase came to;
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
from dataclasses import dataclass, replace
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
        reason: Of a miss or a bypass, from the same header; None where there is none.
        bytes: Length of the body.
        digest: Of the body, short: equal bodies have equal digests.
        allowed: Whether the contract has this answer here.
        error: What went wrong, where there is no whole answer.
        retry_after: What the header `Retry-After` says, in seconds; None without it.
        generation_seconds: What the service says that generation took (`Server-Timing`), where it does.
        recouped_seconds: What it says that this answer recouped, from the same header.
        content_type: Of the body.
        etag: The entity tag.
        age: Seconds since the result was stored, by the header `Age`.
        ttl: Seconds until it expires, by `Cache-Status`.
        first_seconds: From before it was sent until the head of its answer was there, which a stream sends at once.
        bypass: Whether it asked for an answer past the cache (`no-store`).
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
    recouped_seconds: float | None = None
    content_type: str | None = None
    etag: str | None = None
    age: float | None = None
    ttl: float | None = None
    first_seconds: float | None = None
    bypass: bool = False


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
        stats: `GET /api/cache/stats` when it had ended; None as above.
        rested: Until when nothing was sent after its end; None: there was no rest.
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
    stats: Mapping[str, Any] | None = None
    rested: float | None = None

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
        counters: The service's before anything was done; None: it was not asked.
    """

    settings: Mapping[str, Any]
    phases: tuple[Phase, ...]
    begin: float
    end: float | None
    counters: Mapping[str, float] | None = None

    def phase(self, scenario: str, part: str) -> Phase | None:
        """The phase of a name, or None where the run has none."""
        return next((phase for phase in self.phases if (phase.scenario, phase.part) == (scenario, part)), None)


def hit_ratio(outcomes: Mapping[str, int]) -> float | None:
    """Hits and stale hits by all lookups but bypasses; None where there were none. As the service counts it."""
    counted = sum(outcomes.get(name, 0) for name in ("hit", "stale", "coalesced", "miss"))
    return (outcomes.get("hit", 0) + outcomes.get("stale", 0)) / counted if counted else None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The journal's lines so far; a line that is not yet whole is left out.

    Raises:
        FileNotFoundError: There is no journal.
    """
    with path.open("rb"):
        yield from Follower(path).lines()


class Follower:
    """Reads a journal that is being written.

    Args:
        path: The journal; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def lines(self) -> Iterator[dict[str, Any]]:
        """What has been written since the last call; a line that is not whole stays for the next one."""
        if not self._path.exists():
            return
        with self._path.open("rb") as journal:
            journal.seek(self._position)
            for text in journal:
                if not text.endswith(b"\n"):
                    return
                self._position += len(text)
                yield json.loads(text)


def read(journal: Iterable[Mapping[str, Any]]) -> Run:
    """A run, from the lines of its journal.

    Raises:
        ValueError: It has no beginning.
    """
    first: Mapping[str, Any] | None = None
    done: Mapping[str, Any] = {}
    phases: list[Phase] = []
    # What is done before a phase begins stands before its `begin`; what is done later belongs to the one that is open.
    requests: list[Request] = []
    actions: list[Action] = []
    begun: Mapping[str, Any] | None = None
    accounts: list[Mapping[str, int]] = []
    for line in journal:
        kind = line["line"]
        if kind == "run":
            first = line
        elif kind == "begin":
            begun, requests = line, []
        elif kind == "request":
            requests.append(_fields(Request, line))
        elif kind == "action":
            actions.append(_fields(Action, line))
        elif kind == "end" and begun is not None:
            phases.append(_phase(begun, line, requests, actions))
            begun, actions = None, []
        elif kind == "rest":
            phases[-1] = replace(phases[-1], rested=line["at"])
        elif kind == "done":
            done = line
        elif kind == "account":
            accounts.append(line["lookups"])
    if first is None:
        raise ValueError("the journal has no beginning: the load test did not start")
    if begun is not None:
        phases.append(_phase(begun, {}, requests, actions))
    last_words = iter(accounts)
    return Run(
        first["settings"],
        tuple(
            replace(
                phase,
                locust_requests=done.get("locust", {}).get(phase.name, {}).get("requests", 0),
                locust_failures=done.get("locust", {}).get(phase.name, {}).get("failures", 0),
                account=next(last_words, None) if phase.after is None else None,
            )
            for phase in phases
        ),
        first["at"],
        done.get("at"),
        first.get("counters"),
    )


def _fields(record: type[Any], line: Mapping[str, Any]) -> Any:
    names = record.__dataclass_fields__
    return record(**{name: value for name, value in line.items() if name in names})


def _phase(
    begin: Mapping[str, Any], end: Mapping[str, Any], requests: Iterable[Request], actions: Iterable[Action]
) -> Phase:
    requests = tuple(requests)
    last = max((request.at + request.seconds for request in requests), default=begin["at"])
    return Phase(
        scenario=begin["scenario"],
        part=begin["part"],
        begin=begin["at"],
        end=end.get("at", last),
        before=begin["counters"],
        after=end.get("counters"),
        requests=requests,
        actions=tuple(actions),
        stats=end.get("stats"),
    )
