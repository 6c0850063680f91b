"""What the scenarios have in common: a clean start, and the lanes that most of them use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from loadtest import traffic
from loadtest.actions import clear, configure
from loadtest.items import OK, Item, singly
from loadtest.plan import Action, Batch, Lane, Phase, Rendezvous
from loadtest.settings import Settings


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        description: What it does: the first line of what its function says of itself.
        expectation: What is expected of the service.
        phases: Its phases, for given settings.
    """

    description: str
    expectation: str
    phases: Phases


#: Makes the phases of a scenario.
Phases = Callable[[Settings], "tuple[Phase, ...]"]
#: By name; a module's are here when it has been imported.
REGISTERED: dict[str, Scenario] = {}
#: Longer than any run.
TTL_SECONDS = 86400


def scenario(expectation: str) -> Callable[[Phases], Phases]:
    """Make a function a scenario, which has the function's name."""

    def register(phases: Phases) -> Phases:
        description = (phases.__doc__ or "").partition("\n")[0]
        REGISTERED[phases.__name__.replace("_", "-")] = Scenario(description, expectation, phases)
        return phases

    return register


def start(settings: Settings) -> tuple[Action, ...]:
    """What comes before a scenario: the cache as the settings have it, and empty."""
    changes = {"max_size": settings.cache_entries, "ttl_seconds": TTL_SECONDS, "enabled": True}
    return (configure(changes), clear())


def lane(batches: Iterable[Batch | Rendezvous], users: int, rate: float | None = None) -> Lane:
    """A lane of a sequence that has an end."""
    kept = tuple(batches)
    return Lane(lambda: iter(kept), users=users, rate=rate)


def warm(settings: Settings, scenario: str, items: Iterable[Item]) -> Phase:
    """The first part of a scenario: a clean start, and each item once."""
    return Phase(scenario, "warm", (lane(singly(tuple(items)), settings.users),), before=start(settings))


def typical_lane(
    settings: Settings, scenario: str, *, bypass: bool = False, allowed: frozenset[int] = OK, rate: float | None = None
) -> Lane:
    """A lane of typical traffic, endless, from the start of its steady state."""
    return Lane(
        lambda: traffic.batches(settings, scenario, bypass=bypass, allowed=allowed), users=settings.users, rate=rate
    )
