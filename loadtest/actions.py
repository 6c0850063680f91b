"""What happens before and during a phase: management, faults, waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from loadtest.rawhttp import Call

#: What the run's owner does to the processes that it started.
FaultName = Literal["kill-worker", "stop-prometheus", "start-prometheus", "terminate-service", "start-service"]
_FAULT = "Fault "
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
class Action:
    """Something that is done before or during a phase, and waited for.

    Attributes:
        name: As the journal has it, with what it is done with, such as `Fault kill-worker`. Equal names, equal actions.
        carry_out: Does it; an `ActionError` says that it could not be done.
    """

    name: str
    carry_out: Callable[[Management], None] = field(compare=False, repr=False)


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


def configure(changes: Mapping[str, Any]) -> Action:
    """Change the cache's configuration: `POST /api/cache/config`."""
    return Action(
        f"Configure {json.dumps(changes)}", lambda service: service.manage("POST", "/api/cache/config", changes)
    )


def scale_memory(share: float | None) -> Action:
    """Change the memory limit to a share of what is held now; None: back to what it was when the run began."""

    def carry_out(service: Management) -> None:
        limit = service.config["max_memory_mb"]
        if share is not None:
            limit = service.statistics()["memory_bytes"] * share / 2**20
        configure({"max_memory_mb": limit}).carry_out(service)

    return Action(f"ScaleMemory {share}", carry_out)


def clear() -> Action:
    """Forget every entry: `POST /api/cache/clear`."""
    return Action("Clear", lambda service: service.manage("POST", "/api/cache/clear", {}))


def list_entries() -> Action:
    """Read a page of entries, and one entry of it, which may have gone meanwhile."""
    return Action("ListEntries", lambda service: _with_entry(service, "GET", "?limit=100", frozenset({200, 404})))


def delete_entry() -> Action:
    """Delete the entry that was used least recently. It goes next, and may have gone before it is asked for."""

    def carry_out(service: Management) -> None:
        total = service.manage("GET", "/api/cache/entries?limit=1")["total"]
        if total:
            _with_entry(service, "DELETE", f"?limit=1&offset={total - 1}", frozenset({204, 404}))

    return Action("DeleteEntry", carry_out)


def _with_entry(service: Management, method: str, page: str, allowed: frozenset[int]) -> None:
    entries = service.manage("GET", f"/api/cache/entries{page}")["entries"]
    if entries:
        service.manage(method, f"/api/cache/entries/{entries[0]['key']}", allowed=allowed)


def fault(name: FaultName) -> Action:
    """Ask the run's owner to do something to a process, and wait until it is done."""
    return Action(f"{_FAULT}{name}", lambda service: service.bring_about(name))


def settle() -> Action:
    """Wait, without traffic, until Prometheus has certainly scraped: two scrape intervals."""
    return Action("Settle", lambda service: time.sleep(service.settle_seconds))


def wait(seconds: float) -> Action:
    """Let time pass, for something to expire."""
    return Action(f"Wait {seconds:g}", lambda service: time.sleep(seconds))


def is_fault(action: Action) -> bool:
    """Whether an owner has to bring it about."""
    return action.name.startswith(_FAULT)


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
        """The answer of the management API, from its JSON; None where it has none.

        Raises:
            ActionError: It answered with a status that is not allowed.
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

    def statistics(self) -> dict[str, Any]:
        """What the service tells its manager now.

        Raises:
            ActionError: It did not say.
        """
        return dict(self.manage("GET", "/api/cache/stats"))

    def bring_about(self, fault: str) -> None:
        """Ask the run's owner for a fault, and wait until it is done.

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
