"""The order of reads, stores and invalidations, checked exhaustively: two instances, one key, one purge, and every
interleaving of their steps, with a crash of either instance, or a loss of the link of either, between any two.

The steps are those of `recoup.tiers.scripts`, `SharedLink` and `Searcher`: what is one step there is one here. Versions
of the result are `old` (generated before the purge) and `new`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest


class Server(NamedTuple):
    """What Redis holds: the last number, that of the group's mark, and the record with its own."""

    seq: int = 0
    mark: int = 0
    record: str = ""
    number: int = 0

    def get(self) -> str:
        return self.record if self.mark <= self.number else ""

    def store(self, version: str, number: int) -> Server:
        return self if self.mark > number else self._replace(record=version, number=number)


class Instance(NamedTuple):
    """One instance. `flight`: what it does for the key, and `detached`: a purge came over that.

    `queued`: what waits to be stored, with the number that it was submitted with. `purging`: how far its own purge is.
    """

    applied: int = 0
    memory: str = ""
    flight: str = ""
    detached: bool = False
    queued: tuple[str, int] | None = None
    purging: int = 0
    alive: bool = True
    linked: bool = True
    #: Whether it has answered the purge, or the purge holds here by its echo.
    answered: bool = False


class State(NamedTuple):
    server: Server
    instances: tuple[Instance, Instance]
    purged: bool = False


def _with(state: State, which: int, server: Server | None = None, **changes: object) -> State:
    instances = list(state.instances)
    instances[which] = instances[which]._replace(**changes)  # type: ignore[arg-type]
    return State(server or state.server, (instances[0], instances[1]), state.purged)


class Faults(NamedTuple):
    """Rules of the protocol that are left out, to see that the check notices."""

    remote_first: bool = True
    number_at_submit: bool = True
    flights_detach: bool = True
    catches_up: bool = True


RIGHT = Faults()


def steps(state: State, faults: Faults) -> Iterator[tuple[str, State]]:
    """Every step that can be next, with what it leads to."""
    for which, at in enumerate(state.instances):
        if at.alive:
            yield from ((f"{which}: {name}", after) for name, after in _steps_of(state, which, at, faults))


def _steps_of(state: State, which: int, at: Instance, faults: Faults) -> Iterator[tuple[str, State]]:
    server = state.server
    yield "crashes", _with(state, which, alive=False)
    if at.linked:
        yield "is cut off", _with(state, which, linked=False)
    elif faults.catches_up:
        # What it missed is applied before the tier is used again.
        yield "is linked again", _apply(_with(state, which, linked=True), which, faults)
    else:
        yield "is linked again", _with(state, which, linked=True, applied=server.seq)
    # A lookup: memory, then the tier, then a generation. Versions say when it began.
    if not at.flight and not at.memory:
        yield "begins to search", _with(state, which, flight="search", detached=False)
    if at.flight == "search":
        found = server.get() if at.linked else ""
        yield "reads", _with(state, which, flight=f"found {found}" if found else "generate")
    if at.flight == "generate":
        # What a generation reads is as old as its beginning.
        yield "generates", _with(state, which, flight="made new" if state.purged else "made old")
    if at.flight.startswith(("found ", "made ")):
        yield "ends", _end(state, which, at, faults)
    if at.queued is not None and at.linked:
        version, number = at.queued
        number = number if faults.number_at_submit else server.seq
        yield "stores", _with(state, which, server.store(version, number), queued=None)
    # The purge, by instance 0 alone: announced, then applied here, then answered.
    if which == 0 and at.purging == 0 and at.linked and not state.purged:
        if faults.remote_first:
            yield "announces", _announce(_with(state, which, purging=1), which)
        else:
            yield "applies first", _with(_apply_here(state, which, faults), which, purging=1)
    if which == 0 and at.purging == 1:
        if faults.remote_first:
            after = _apply_here(state, which, faults)
            yield "applies", _with(after, which, purging=2, answered=True)
        else:
            yield "announces last", _announce(_with(state, which, purging=2, answered=True), which)
    # The echo of the purge, or the purge of the other.
    if at.linked and at.applied < server.seq and (which == 1 or at.purging != 1):
        yield "hears", _apply(state, which, faults)


def _announce(state: State, which: int) -> State:
    server = state.server._replace(seq=state.server.seq + 1, mark=state.server.seq + 1)
    return _with(state, which, server)._replace(purged=True)


def _apply_here(state: State, which: int, faults: Faults) -> State:
    at = state.instances[which]
    return _with(state, which, memory="", detached=at.detached or (bool(at.flight) and faults.flights_detach))


def _apply(state: State, which: int, faults: Faults) -> State:
    if state.instances[which].applied == state.server.seq:
        return state
    after = state if which == 0 and state.instances[0].purging == 2 else _apply_here(state, which, faults)
    return _with(after, which, applied=state.server.seq, answered=True)


def _end(state: State, which: int, at: Instance, faults: Faults) -> State:
    """A flight ends, under the lock: what a purge came over is not put anywhere."""
    kind, version = at.flight.split(" ")
    if at.detached:
        return _with(state, which, flight="", detached=False)
    queued = (version, at.applied) if kind == "made" else at.queued
    return _with(state, which, flight="", memory=version, queued=queued)


def violation(state: State) -> str:
    """What must never be: an instance in which the purge holds answers with the old result, or the server does."""
    for which, at in enumerate(state.instances):
        if at.alive and at.answered and at.memory == "old":
            return f"instance {which} answers with the old result"
    if state.purged and state.server.get() == "old":
        return "the server gives the old result"
    return ""


def explore(faults: Faults) -> tuple[int, str, list[str]]:
    """How many states there are, and the first violation with the steps that lead to it."""
    start = State(Server(), (Instance(), Instance()))
    came: dict[State, tuple[State, str] | None] = {start: None}
    pending = [start]
    for state in pending:  # grows while it is looked through
        wrong = violation(state)
        if wrong:
            return len(came), wrong, _path(came, state)
        for name, after in steps(state, faults):
            if after not in came:
                came[after] = state, name
                pending.append(after)
    return len(came), "", []


def _path(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    names: list[str] = []
    while (link := came[state]) is not None:
        state, name = link
        names.append(name)
    return names[::-1]


def test_no_interleaving_brings_a_purged_result_back() -> None:
    states, wrong, path = explore(RIGHT)
    assert ("", []) == (wrong, path)
    assert states > 5_000


@pytest.mark.parametrize("rule", Faults._fields)
def test_each_rule_is_needed(rule: str) -> None:
    """Without it there is an interleaving that goes wrong: so the check above can fail."""
    _, wrong, path = explore(RIGHT._replace(**{rule: False}))
    assert wrong, f"nothing goes wrong without {rule}"
    assert path
