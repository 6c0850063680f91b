"""What a load test does, as data: phases of calls, and what happens before and during them.

The workload makes it, the locustfile carries it out. Standard library only; nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
        background: It goes on while the phase's other lanes do, and does not hold the phase open.
        pause_seconds: What a user waits after a batch whose last answer was not 200.
    """

    batches: Callable[[], Iterator[Batch | Rendezvous]]
    users: int = 1
    rate: float | None = None
    background: bool = False
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class Configure:
    """Change the cache's configuration: `POST /api/cache/config`."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class ScaleMemory:
    """Change the memory limit to a share of what is held now; None: back to what it was when the run began."""

    share: float | None


@dataclass(frozen=True)
class Clear:
    """Forget every entry: `POST /api/cache/clear`."""


@dataclass(frozen=True)
class ListEntries:
    """Read a page of entries, and one entry of it."""


@dataclass(frozen=True)
class DeleteEntry:
    """Delete the entry that was used least recently."""


@dataclass(frozen=True)
class Fault:
    """Ask the run's owner to do something to a process, and wait until it is done."""

    name: FaultName


@dataclass(frozen=True)
class Settle:
    """Wait, without traffic, until Prometheus has certainly scraped: two scrape intervals."""


Action = Configure | ScaleMemory | Clear | ListEntries | DeleteEntry | Fault | Settle


@dataclass(frozen=True)
class Moment:
    """An action, so many seconds after the phase began."""

    after_seconds: float
    action: Action


@dataclass(frozen=True)
class Phase:
    """One part of a scenario. Nothing is under way when it begins, and nothing when it has ended.

    Attributes:
        scenario: The scenario's name, such as `typical`.
        part: Its name within the scenario, such as `without` (every call bypasses the cache) or `cached`.
        lanes: What is sent, side by side.
        seconds: It begins nothing new after so long; None: until the lanes are at their end.
        before: Done one after another, before the phase begins.
        during: Done at their moments, while it runs; a phase does not end before they are done.
        interrupted: The service ends during the phase: its counts at the end cannot be had, and calls may find no
            service at all.
    """

    scenario: str
    part: str
    lanes: tuple[Lane, ...]
    seconds: float | None = None
    before: tuple[Action, ...] = ()
    during: tuple[Moment, ...] = ()
    interrupted: bool = False
