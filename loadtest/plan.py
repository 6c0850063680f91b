"""What a load test does, as data: phases of calls, and what happens before and during them.

The workload makes it, the locustfile carries it out. Standard library only; nothing here sends anything.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from loadtest.rawhttp import Raw

#: For a generation, to the management API, one that the service has to refuse, and one that is not even HTTP.
Kind = Literal["generate", "manage", "garbage", "malformed"]
#: What the run's owner does to the processes that it started.
FaultName = Literal["kill-worker", "stop-prometheus", "start-prometheus", "terminate-service", "start-service"]


@dataclass(frozen=True)
class Call:
    """One HTTP request to the service.

    Attributes:
        item: What is asked for; calls for one item have one key in the cache.
        path: With its query.
        body: As it is sent.
        headers: Its content type among them.
        method: `POST` for every generation.
        kind: `generate`, `manage`, `garbage` or `malformed`: the last may end before it reaches a count of the service.
        allowed: The statuses that the contract has for it here; any other, and none at all, is a failure.
        raw: What is sent byte for byte, instead of what the others make.
    """

    item: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    kind: Kind = "generate"
    allowed: frozenset[int] = frozenset({200})
    raw: Raw | None = None


#: Calls that one user sends one after another, each when the one before is answered.
Batch = tuple[Call, ...]


@dataclass(frozen=True)
class Rendezvous:
    """Between batches: nothing more is sent in this lane until all before is answered."""


@dataclass(frozen=True)
class Lane:
    """One stream of batches.

    Attributes:
        batches: Makes the stream anew; the same each time.
        users: Batches that are under way at one time, at most.
        rate: Batches a second, evenly spaced, whether the service keeps up or not (as far as `users` allows); None: the
            next one as soon as a user is free.
        pause_seconds: What a user waits after a batch whose last answer was not 200.
    """

    batches: Callable[[], Iterator[Batch | Rendezvous]]
    users: int = 1
    rate: float | None = None
    pause_seconds: float = 0.0


class Context(Protocol):
    """What an action may use: the service's management API, and the run's owner."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The service's configuration when the run began."""

    @property
    def settle_seconds(self) -> float:
        """What `Settle` waits: two scrape intervals."""

    def manage(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, allowed: frozenset[int] = frozenset({200})
    ) -> Any:
        """The answer of the management API, from its JSON; None where it has none."""

    def bring_about(self, fault: str) -> None:
        """Ask the run's owner for a fault, and wait until it is done."""


class Action(ABC):
    """Something that is done before or during a phase."""

    @abstractmethod
    def carry_out(self, context: Context) -> None:
        """Do it, and wait until it is done.

        Raises:
            ActionError: It could not be done.
        """

    def __str__(self) -> str:
        """Its name and its fields, such as `Fault kill-worker`."""
        values = [getattr(self, one.name) for one in fields(self)]  # type: ignore[arg-type]
        shown = [json.dumps(value) if isinstance(value, Mapping) else str(value) for value in values]
        return " ".join([type(self).__name__, *shown])


@dataclass(frozen=True)
class Moment:
    """An action during a phase.

    Attributes:
        after_seconds: Not before so many seconds since the phase began.
        action: What is done.
        after_requests: Nor before so many requests were answered since the moment before.
    """

    after_seconds: float
    action: Action
    after_requests: int = 0


@dataclass(frozen=True)
class Phase:
    """One part of a scenario. Nothing is under way when it begins, and nothing when it has ended.

    Attributes:
        scenario: The scenario's name, such as `typical`.
        part: Its name within the scenario, such as `without` (every call bypasses the cache) or `cached`.
        lanes: What is sent, side by side.
        seconds: It begins nothing new after so long; None: until the lanes are at their end.
        requests: It goes on past `seconds` until so many are answered: what its checks need, however slow the machine.
        before: Done one after another, before the phase begins.
        during: Done at their moments, while it runs; a phase does not end before they are done.
        interrupted: The service ends during the phase: its counts at the end cannot be had, and calls may find no
            service at all.
    """

    scenario: str
    part: str
    lanes: tuple[Lane, ...]
    seconds: float | None = None
    requests: int = 0
    before: tuple[Action, ...] = ()
    during: tuple[Moment, ...] = ()
    interrupted: bool = False

    @property
    def name(self) -> str:
        """As Locust's statistics and the journal have it."""
        return f"{self.scenario} {self.part}"

    @property
    def users(self) -> int:
        """Users that it needs: those of its lanes together."""
        return sum(lane.users for lane in self.lanes)

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is done before and during it."""
        return (*self.before, *(moment.action for moment in self.during))
