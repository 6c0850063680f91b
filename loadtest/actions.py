"""Carries out what happens before and during a phase: management, faults, waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from loadtest.plan import (
    Action,
    Call,
    Clear,
    Configure,
    DeleteEntry,
    Fault,
    ListEntries,
    Phase,
    ScaleMemory,
)

#: Sends one call, and gives the status (0: no answer) and the body of its answer.
Send = Callable[[Call], "tuple[int, bytes]"]
#: Notes that a fault is asked for, and gives the file that will have the answer.
Ask = Callable[[str], Path]

#: Seconds within which the run's owner has to answer.
OWNER_SECONDS = 60.0
_POLL_SECONDS = 0.05
#: Entries on the page that `ListEntries` reads.
_PAGE = 100
_GONE = frozenset({200, 404})


class ActionError(Exception):
    """An action could not be carried out; says why."""


def described(action: Action) -> str:
    """An action by its name and its fields, such as `Fault kill-worker`."""
    values = [getattr(action, field.name) for field in fields(action)]
    said = [json.dumps(value) if isinstance(value, Mapping) else str(value) for value in values]
    return " ".join([type(action).__name__, *said])


def asks_for_faults(phases: tuple[Phase, ...]) -> tuple[str, ...]:
    """The scenarios among these phases that need an owner to bring a fault about."""
    found = {
        phase.scenario: None
        for phase in phases
        for action in (*phase.before, *(moment.action for moment in phase.during))
        if isinstance(action, Fault)
    }
    return tuple(found)


class Actions:
    """Carries out actions.

    Args:
        config: The service's configuration when the run began.
        settle_seconds: What `Settle` waits: two scrape intervals.
        ask: Asks the run's owner for a fault.
    """

    def __init__(self, config: Mapping[str, Any], settle_seconds: float, ask: Ask) -> None:
        self._config = config
        self._settle_seconds = settle_seconds
        self._ask = ask

    def carry_out(self, action: Action, send: Send) -> None:
        """Do it, and wait until it is done.

        Raises:
            ActionError: It could not be done.
        """
        if isinstance(action, Configure):
            configure(send, action.changes)
        elif isinstance(action, ScaleMemory):
            self._scale(send, action.share)
        elif isinstance(action, Clear):
            _manage(send, "POST", "/api/cache/clear", {})
        elif isinstance(action, ListEntries):
            _list(send)
        elif isinstance(action, DeleteEntry):
            _delete_last(send)
        elif isinstance(action, Fault):
            self._bring_about(action.name)
        else:
            time.sleep(self._settle_seconds)

    def _scale(self, send: Send, share: float | None) -> None:
        if share is None:
            configure(send, {"max_memory_mb": self._config["max_memory_mb"]})
        else:
            held = _manage(send, "GET", "/api/cache/stats")["memory_bytes"]
            configure(send, {"max_memory_mb": held * share / 2**20})

    def _bring_about(self, name: str) -> None:
        answer, deadline = self._ask(name), time.monotonic() + OWNER_SECONDS
        while not answer.exists():
            if time.monotonic() > deadline:
                raise ActionError(f"the run's owner did not answer within {OWNER_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        error = answer.read_text(encoding="utf-8")
        if error:
            raise ActionError(error)


def configure(send: Send, changes: Mapping[str, Any]) -> None:
    """Change the service's configuration.

    Raises:
        ActionError: It did not.
    """
    _manage(send, "POST", "/api/cache/config", changes)


def configuration(send: Send) -> dict[str, Any]:
    """The service's configuration.

    Raises:
        ActionError: It did not tell.
    """
    return dict(_manage(send, "GET", "/api/cache/config"))


def _list(send: Send) -> None:
    page = _manage(send, "GET", f"/api/cache/entries?limit={_PAGE}")["entries"]
    if page:
        # Meanwhile it may have gone.
        _manage(send, "GET", f"/api/cache/entries/{page[0]['key']}", allowed=_GONE)


def _delete_last(send: Send) -> None:
    total = _manage(send, "GET", "/api/cache/entries?limit=1")["total"]
    if not total:
        return
    # It goes next, and may have gone before it is asked for.
    page = _manage(send, "GET", f"/api/cache/entries?limit=1&offset={total - 1}")["entries"]
    if page:
        _manage(send, "DELETE", f"/api/cache/entries/{page[0]['key']}", allowed=frozenset({204, 404}))


def _manage(
    send: Send,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    allowed: frozenset[int] = frozenset({200}),
) -> Any:
    """The answer of the management API, from its JSON; None where it has none."""
    sent = b"" if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    status, answer = send(Call(path, path, sent, headers, method, "manage", allowed))
    if status not in allowed:
        raise ActionError(f"{method} {path} was answered with {status or 'nothing'}: {answer[:500]!r}")
    return json.loads(answer) if answer else None
