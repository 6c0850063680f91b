"""What happens before and during a phase: management, faults, waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.plan import Action, Call, Context, FaultName, Phase

#: Sends one call, and gives the status (0: no answer) and the body of its answer.
Send = Callable[[Call], "tuple[int, bytes]"]
#: Notes that a fault is asked for, and gives the file that will have the answer.
Ask = Callable[[str], Path]

#: Seconds within which the run's owner has to answer.
OWNER_SECONDS = 60.0
_POLL_SECONDS = 0.05
_OK = frozenset({200})


class ActionError(Exception):
    """An action could not be carried out; says why."""


@dataclass(frozen=True)
class Configure(Action):
    """Change the cache's configuration: `POST /api/cache/config`."""

    changes: Mapping[str, Any]

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        context.manage("POST", "/api/cache/config", self.changes)


@dataclass(frozen=True)
class ScaleMemory(Action):
    """Change the memory limit to a share of what is held now; None: back to what it was when the run began."""

    share: float | None

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        limit = context.config["max_memory_mb"]
        if self.share is not None:
            limit = context.manage("GET", "/api/cache/stats")["memory_bytes"] * self.share / 2**20
        Configure({"max_memory_mb": limit}).carry_out(context)


@dataclass(frozen=True)
class Clear(Action):
    """Forget every entry: `POST /api/cache/clear`."""

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        context.manage("POST", "/api/cache/clear", {})


@dataclass(frozen=True)
class ListEntries(Action):
    """Read a page of entries, and one entry of it, which may have gone meanwhile."""

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        _with_entry(context, "GET", "?limit=100", frozenset({200, 404}))


@dataclass(frozen=True)
class DeleteEntry(Action):
    """Delete the entry that was used least recently. It goes next, and may have gone before it is asked for."""

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        total = context.manage("GET", "/api/cache/entries?limit=1")["total"]
        if total:
            _with_entry(context, "DELETE", f"?limit=1&offset={total - 1}", frozenset({204, 404}))


def _with_entry(context: Context, method: str, page: str, allowed: frozenset[int]) -> None:
    entries = context.manage("GET", f"/api/cache/entries{page}")["entries"]
    if entries:
        context.manage(method, f"/api/cache/entries/{entries[0]['key']}", allowed=allowed)


@dataclass(frozen=True)
class Fault(Action):
    """Ask the run's owner to do something to a process, and wait until it is done."""

    name: FaultName

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        context.bring_about(self.name)


@dataclass(frozen=True)
class Settle(Action):
    """Wait, without traffic, until Prometheus has certainly scraped: two scrape intervals."""

    def carry_out(self, context: Context) -> None:
        """As `Action.carry_out`."""
        time.sleep(context.settle_seconds)


def asks_for_faults(phases: Iterable[Phase]) -> tuple[str, ...]:
    """The scenarios among these phases that need an owner to bring a fault about."""
    asking = (phase.scenario for phase in phases if any(isinstance(action, Fault) for action in phase.actions))
    return tuple(dict.fromkeys(asking))


@dataclass(frozen=True)
class Management:
    """The context of actions: a service's management API, and the run's owner.

    Attributes:
        send: Sends a call to the service.
        ask: Asks the run's owner for a fault.
        settle_seconds: What `Settle` waits.
        config: The service's configuration when the run began.
    """

    send: Send
    ask: Ask
    settle_seconds: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict)

    def manage(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, allowed: frozenset[int] = _OK
    ) -> Any:
        """As `Context.manage`.

        Raises:
            ActionError: It answered something else.
        """
        sent = b"" if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        status, answer = self.send(Call(path, path, sent, headers, method, "manage", allowed))
        if status not in allowed:
            raise ActionError(f"{method} {path} was answered with {status or 'nothing'}: {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def configuration(self) -> dict[str, Any]:
        """The service's configuration now.

        Raises:
            ActionError: It did not say.
        """
        return dict(self.manage("GET", "/api/cache/config"))

    def bring_about(self, fault: str) -> None:
        """As `Context.bring_about`.

        Raises:
            ActionError: The owner could not, or did not answer.
        """
        answer, deadline = self.ask(fault), time.monotonic() + OWNER_SECONDS
        while not answer.exists():
            if time.monotonic() > deadline:
                raise ActionError(f"the run's owner did not answer within {OWNER_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        error = answer.read_text(encoding="utf-8")
        if error:
            raise ActionError(error)
