"""What a load test does, as data: phases of calls, and what happens before and during them.

The workload makes it, the locustfile carries it out. Standard library only; nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loadtest.actions import Action, Moment
from loadtest.rawhttp import Call, Kind

__all__ = ["Action", "Batch", "Call", "Kind", "Lane", "Moment", "Phase", "Rendezvous"]

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
