"""Leads a run through its phases: what comes before, the users, the lanes, what happens meanwhile, the journal.

Standard library only. Whatever it waits for, it waits for a bounded time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from loadtest.actions import ActionError, Management, Send, configure
from loadtest.lanes import PhaseRunner
from loadtest.plan import Action, Call, Phase
from loadtest.recorder import Recorder
from loadtest.service import ServiceClient

#: Seconds that one request may take: more than any time limit of the service's built-in pipelines.
REQUEST_SECONDS = 150.0
#: Seconds that a phase may take which sets itself no limit.
PHASE_SECONDS = 900.0
#: Seconds within which users have to be there.
_USERS_SECONDS = 60.0
#: Seconds that actions may go on when all else of their phase is over.
_ACTIONS_SECONDS = 300.0
_FLUSH_SECONDS = 0.5
_POLL_SECONDS = 0.02
#: The rest after a phase, as a share of what `Settle` waits: a scrape interval and half of one.
_REST_SHARE = 0.75
#: What the cache's configuration has that can be set.
_SETTINGS = ("max_size", "max_memory_mb", "ttl_seconds", "enabled")

#: Sends one call that Locust counts, in a phase: the status (0: no answer) and the body of its answer.
CountedSend = Callable[[Phase, Call], "tuple[int, bytes]"]
#: Locust's own counts, by the name of a phase: `requests` and `failures`.
LocustCounts = Callable[[], Mapping[str, Mapping[str, int]]]

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Users(Protocol):
    """Locust's users."""

    def want(self, count: int) -> None:
        """Ask for so many."""

    def count(self) -> int:
        """How many there are."""


@dataclass
class Conductor:
    """Leads one run.

    Attributes:
        phases: What is played.
        settings: The workload's, for the journal.
        settle_seconds: What `Settle` waits.
        runner: Hands lanes to users.
        users: The users.
        recorder: The journal.
        service: The way to the service.
        send: For what is done during a phase.
        locust: Locust's own counts.
    """

    phases: Sequence[Phase]
    settings: Mapping[str, Any]
    settle_seconds: float
    runner: PhaseRunner
    users: Users
    recorder: Recorder
    service: ServiceClient
    send: CountedSend
    locust: LocustCounts

    def __post_init__(self) -> None:
        self._stopped, self._ended = threading.Event(), threading.Event()
        self._config: Mapping[str, Any] = {}
        self.went_well = False

    def stop(self, seconds: float) -> None:
        """End the run before its time, and wait so long until it has put back the service's configuration."""
        self._stopped.set()
        self._ended.wait(seconds)

    def run(self) -> None:
        """Play all phases."""
        try:
            self._run()
        except Exception:  # noqa: BLE001
            # It is Locust's only thread of control: without this it would hang.
            _log.exception("the run has failed")
        finally:
            self.recorder.close()
            self._ended.set()

    def _run(self) -> None:
        try:
            self.recorder.run(self.settings, self.service.counters())
        except (OSError, ValueError) as error:  # which shows soon enough
            _log.error("the counters cannot be read: %s", error)
            self.recorder.run(self.settings)
        manager = self._management(self.service.send)
        self._config = manager.configuration()
        try:
            for phase in self.phases:
                if not self._stopped.is_set():
                    self._play(phase)
        finally:
            configure({name: self._config[name] for name in _SETTINGS}).carry_out(manager)
        if not self._stopped.is_set():
            self.recorder.done(self.locust())
            self.went_well = self.recorder.went_well and self._agrees()

    def _management(self, send: Send) -> Management:
        return Management(send, self.recorder.ask, self.settle_seconds, self._config)

    def _play(self, phase: Phase) -> None:
        for action in phase.before:
            self._carry_out(phase, action, self.service.send)
        _log.info("%s", phase.name)
        self._gather(phase)
        self.recorder.begin(phase, self._ask(phase, "read the counters", self.service.counters) or {})
        self.runner.start(phase, lambda requests: self.recorder.offer(phase, requests))
        meanwhile = threading.Thread(target=self._meanwhile, args=(phase,), daemon=True)
        meanwhile.start()
        try:
            self._wait(phase, meanwhile)
        finally:
            self.runner.close()
        counters = stats = None
        if not phase.interrupted:
            counters = self._ask(phase, "read the counters", self.service.counters)
        if counters is not None:
            stats = self._ask(phase, "read the statistics", self._management(self.service.send).statistics)
        self.recorder.end(phase, counters, stats)
        if counters is not None:
            # Until Prometheus has scraped what the phase came to, and nothing else.
            self._stopped.wait(_REST_SHARE * self.settle_seconds)
            self.recorder.rest()

    def _gather(self, phase: Phase) -> None:
        """Wait until the users are there, and no others: none is sent away while it is at work."""
        wanted, begun = max(1, phase.users), time.time()
        self.users.want(wanted)
        if not self._wait_for(
            lambda _: self.users.count() == wanted or self._stopped.wait(_POLL_SECONDS), _USERS_SECONDS
        ):
            self._late(
                phase, "gather users", begun, f"{self.users.count()} of {wanted} users after {_USERS_SECONDS:g} s"
            )

    def _wait(self, phase: Phase, meanwhile: threading.Thread) -> None:
        """Wait until a phase is over, and nothing of it under way."""
        begun = time.time()
        most = PHASE_SECONDS if phase.seconds is None else phase.seconds
        over = self._wait_for(self.runner.wait_until_over, most)
        if not over and not self._wait_for(partial(self._has_requests, phase, meanwhile), PHASE_SECONDS):
            self._late(phase, "wait for its requests", begun, "fewer were answered than it needs")
        self.runner.close()
        if not over and phase.seconds is None:
            self._late(phase, "wait for the lanes' end", begun, f"they go on after {most:g} s")
        if not self._wait_for(lambda seconds: _joined(meanwhile, seconds), _ACTIONS_SECONDS):
            self._late(phase, "wait for the actions' end", begun, f"not there after {_ACTIONS_SECONDS:g} s")
        # Requests have a limit of their own, which is a little shorter.
        if not self._wait_for(self.runner.wait_until_over, REQUEST_SECONDS + 10) and self.runner.under_way():
            self._late(phase, "wait for the last answers", begun, f"{self.runner.under_way()} batches are under way")

    def _has_requests(self, phase: Phase, meanwhile: threading.Thread, seconds: float) -> bool:
        """Whether it and its moments have the requests that they need, or there are no more."""
        waiting = meanwhile.is_alive() and any(moment.after_requests for moment in phase.during)
        enough = self.recorder.requests[phase.name] >= phase.requests and not waiting
        return enough or self.runner.wait_until_over(seconds)

    def _late(self, phase: Phase, action: str, begun: float, error: str) -> None:
        if not self._stopped.is_set():
            self.recorder.action(phase, action, begun, error)

    def _wait_for(self, over: Callable[[float], bool], most: float) -> bool:
        """Wait in small steps, and write the journal in between."""
        deadline = time.monotonic() + most
        while not self._stopped.is_set():
            left = deadline - time.monotonic()
            if over(min(_FLUSH_SECONDS, max(0.0, left))):
                return True
            self.recorder.flush()
            if left <= 0:
                break
        return False

    def _meanwhile(self, phase: Phase) -> None:
        begun, answered = time.monotonic(), self.recorder.requests
        for moment in sorted(phase.during, key=lambda moment: moment.after_seconds):
            due, least = begun + moment.after_seconds, answered[phase.name] + moment.after_requests
            while (left := due - time.monotonic()) > 0 or answered[phase.name] < least:
                if self._stopped.wait(max(_POLL_SECONDS, left)):
                    return
            self._carry_out(phase, moment.action, lambda call: self.send(phase, call))

    def _carry_out(self, phase: Phase, action: Action, send: Send) -> None:
        begun, error = time.time(), None
        try:
            action.carry_out(self._management(send))
        except (ActionError, OSError, ValueError) as failure:
            error = str(failure) or type(failure).__name__
            _log.error("%s: %s: %s", phase.name, action.name, error)
        self.recorder.action(phase, action.name, begun, error)

    def _ask(self, phase: Phase, what: str, ask: Callable[[], T]) -> T | None:
        """What the service answers; None: it cannot be asked, and the journal says why."""
        begun = time.time()
        try:
            return ask()
        except (ActionError, OSError, ValueError) as error:
            self.recorder.action(phase, what, begun, str(error))
            return None

    def _agrees(self) -> bool:
        """Whether Locust counted what the journal has."""
        counted = {name: counts["requests"] for name, counts in self.locust().items() if counts["requests"]}
        written = {name: count for name, count in self.recorder.requests.items() if count}
        if counted != written:
            _log.error("Locust counted %s, the journal has %s", counted, written)
        return counted == written


def _joined(thread: threading.Thread, seconds: float) -> bool:
    thread.join(seconds)
    return not thread.is_alive()
