"""What a cache has to answer, request by request: an exact LRU with a time to live, managed from outside. Pure.

It shares no line with the cache. Requests have to be one caller's, or of keys whose order does not matter.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from loadtest.journal import Phase, Request


@dataclass(frozen=True)
class Expected:
    """What a request has to be answered: its outcome, and the miss reason."""

    outcome: str
    reason: str | None = None


@dataclass
class Model:
    """The cache.

    Attributes:
        max_size: Its limit of entries.
        ttl_seconds: Of what is stored from now on.
        enabled: Whether it answers.
        held: By item, when it expires; the least recently used first.
        left: By item, why it left.
        evictions: By cause.
        invalidations: By cause.
    """

    max_size: int = 1000
    ttl_seconds: float = float("inf")
    enabled: bool = True
    held: OrderedDict[str, float] = field(default_factory=OrderedDict)
    left: dict[str, str] = field(default_factory=dict)
    evictions: Counter[str] = field(default_factory=Counter)
    invalidations: Counter[str] = field(default_factory=Counter)

    def act(self, action: str, at: float) -> None:
        """What an action of the journal does."""
        name, _, words = action.partition(" ")
        if name == "Configure":
            changes = json.loads(words)
            self.max_size = changes.get("max_size", self.max_size)
            self.enabled = changes.get("enabled", self.enabled)
            self.ttl_seconds = changes.get("ttl_seconds", self.ttl_seconds)
            self._shrink(at)
        elif name == "Clear":
            for item in list(self.held):
                self._invalidate(item, "cleared", at)
        elif name == "DeleteEntry" and self.held:
            self._invalidate(next(iter(self.held)), "deleted", at)

    def ask(self, item: str, at: float, *, bypass: bool = False) -> Expected:
        """Ask for an item: what has to come of it."""
        if bypass or not self.enabled:
            return Expected("bypass", "request" if bypass else "disabled")
        expires = self.held.get(item)
        if expires is not None and at < expires:
            self.held.move_to_end(item)
            return Expected("hit")
        if expires is not None:
            self._expire(item)
        reason = self.left.pop(item, "cold")
        self.held[item] = at + self.ttl_seconds
        self._shrink(at)
        return Expected("miss", reason)

    def _expire(self, item: str) -> None:
        del self.held[item]
        self.left[item] = "expired"
        self.evictions["expired"] += 1

    def _invalidate(self, item: str, cause: str, at: float) -> None:
        if self.held[item] <= at:
            self._expire(item)
            return
        del self.held[item]
        self.left[item] = "invalidated"
        self.invalidations[cause] += 1

    def _shrink(self, at: float) -> None:
        while len(self.held) > self.max_size:
            item = next(iter(self.held))
            if self.held[item] <= at:
                self._expire(item)
            else:
                del self.held[item]
                self.left[item] = "evicted"
                self.evictions["size"] += 1


@dataclass(frozen=True)
class Answered:
    """A request, and what it had to be answered."""

    phase: Phase
    request: Request
    expected: Expected


def replay(phases: Iterable[Phase], model: Model) -> Iterator[tuple[Phase, list[Answered]]]:
    """Phase by phase, each answer beside what was expected; the model is as the cache has to be then.

    Args:
        phases: In their order, each with what was done before it.
        model: The cache as it was before them.
    """
    for phase in phases:
        for action in sorted(phase.actions, key=lambda action: action.at):
            model.act(action.action, action.at)
        answered = []
        for request in sorted(phase.requests, key=lambda request: request.at):
            if request.kind == "generate":
                expected = model.ask(request.item, request.at, bypass=request.bypass)
                answered.append(Answered(phase, request, expected))
        yield phase, answered
