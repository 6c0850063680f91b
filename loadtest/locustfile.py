"""Plays the workload's scenarios with Locust, one after another, and quits.

    locust -f loadtest/locustfile.py --headless --host http://127.0.0.1:8080 --scenario typical

Exit status 0: no request had an answer that the contract does not have there. 1: one had, or an action failed, or the
run did not come to its end. 2: nothing was played, because the settings cannot be used.

Environment: `LOADTEST_SETTINGS` (JSON, as `workload.Settings` has it), `LOADTEST_JOURNAL` (the journal's path; whoever
sets it brings about the faults that are asked for there), `LOADTEST_METRICS_ADDRESS` and `LOADTEST_METRICS_PORT` (where
the figures are exported; port 0 or none: nowhere), `RECOUP_ADMIN_TOKEN` (for the management API).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.response import HTTPResponse, HTTPSocketPoolResponse
from locust import FastHttpUser, LoadTestShape, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import CatchResponseError

from loadtest import answers, rawhttp, workload
from loadtest.conductor import REQUEST_SECONDS, Conductor
from loadtest.exporter import Exporter
from loadtest.journal import Request
from loadtest.lanes import PhaseRunner
from loadtest.plan import Call, Phase
from loadtest.recorder import Recorder
from loadtest.service import ServiceClient, authorization

EXIT_WELL, EXIT_FAILED, EXIT_UNUSABLE = 0, 1, 2
DEFAULT_JOURNAL = Path("build") / "loadtest" / "journal.jsonl"
DEFAULT_METRICS_PORT = "9646"
#: What is read at once. Smaller ones take more calls, and a whole megabyte takes fresh memory each time: either would
#: make reading a hit longer than the hit itself.
_BLOCK_BYTES = 256 * 1024
_CONNECT_SECONDS = 30.0
#: Users that begin in a second; more make Locust warn.
_SPAWN_RATE = 100
#: Seconds that the conductor has to put back the service's configuration when the run is broken off.
_STOP_SECONDS = 15.0

_log = logging.getLogger(__name__)


class Connection:
    """Sends calls one after another on one connection that is kept alive, and has them counted, by Locust, too."""

    def __init__(self, environment: Environment, pool: HTTPClientPool, token: str | None) -> None:
        self._environment = environment
        self._pool = pool
        self._host = environment.host or ""
        self._authorization = authorization(token)

    def close(self) -> None:
        """The next call begins a new connection."""
        self._pool.close()

    def send(self, phase: Phase, call: Call) -> tuple[Request, list[bytes]]:
        """Send a call, and wait for all of its answer, as long as that may take; its body comes in parts."""
        answer: HTTPSocketPoolResponse | None = None
        at, begun = time.time(), time.perf_counter()
        header: answers.Header
        body: list[bytes] = []
        try:
            with gevent.Timeout(REQUEST_SECONDS):
                if call.raw is not None:
                    status, headers, whole = rawhttp.exchange(self._host, call.raw, REQUEST_SECONDS)
                    header, body = headers.get, [whole]
                else:
                    answer = self._client().request(call.method, call.path, body=call.body, headers=self._headers(call))
                    status, header = answer.status_code, _header(answer)
                    body = list(iter(partial(answer.read, _BLOCK_BYTES), b""))
                sent = (at, time.perf_counter() - begun)
            request = answers.answered(call, sent, status, header, body)
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001  # whatever it is, there is no whole answer
            body, sent = [], (at, time.perf_counter() - begun)
            gone = phase.interrupted or 0 in call.allowed
            allowed = call.raw is None and answer is None and _is_nobody(error) and gone
            request = answers.unanswered(call, sent, f"{type(error).__name__}: {error}", allowed=allowed)
        if request.etag is not None:
            RUN.etags[call.item] = request.etag
        self._count(phase, call, request)
        refused = call.kind != "generate" and request.status >= 400
        if phase.interrupted or refused or not request.status:
            # So that no connection is kept alive that a service left behind which has ended, or that it is about to
            # close because it has not read all of what it refused (RFC 9112, section 9.6).
            self.close()
        return request, body

    def _headers(self, call: Call) -> dict[str, str]:
        own = self._authorization if call.kind == "manage" else {}
        if call.revalidates and call.item in RUN.etags:
            own = {"If-None-Match": RUN.etags[call.item]}
        return {**call.headers, **own}

    def _client(self) -> HTTPClient:
        client = self._pool.get_client(self._host)
        # It sends what got no answer again, once more than its pool has places: one call would be counted twice.
        client._connection_pool.size = -1
        return client

    def _count(self, phase: Phase, call: Call, request: Request) -> None:
        RUN.recorder.request(phase, request)
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type=call.method,
            name=phase.name,
            response_time=request.seconds * 1e3,
            response_length=request.bytes,
            exception=None if request.allowed else CatchResponseError(request.error or f"status {request.status}"),
            context={},
            response=None,
            start_time=request.at,
            url=self._host + call.path,
        )


def _is_nobody(error: BaseException) -> bool:
    """Whether nobody took the connection: it was refused, or reset. One that was taken and closed is something else."""
    return any(isinstance(each, (ConnectionRefusedError, ConnectionResetError)) for each in (error, error.__context__))


def _header(answer: HTTPResponse) -> answers.Header:
    def header(name: str) -> str | None:
        value = answer.get(name)
        return ", ".join(value) if isinstance(value, list) else value

    return header


def _new_pool() -> HTTPClientPool:
    return HTTPClientPool(
        concurrency=1,
        block_size=_BLOCK_BYTES,
        connection_timeout=_CONNECT_SECONDS,
        network_timeout=REQUEST_SECONDS,
    )


class Caller(FastHttpUser):
    """One user: takes a seat in the phase that runs, and sends its batches until there are no more."""

    def __init__(self, environment: Environment) -> None:
        self.client_pool = _new_pool()
        super().__init__(environment)
        self._connection = Connection(environment, self.client_pool, RUN.token)

    @task
    def play(self) -> None:
        """Play one lane of one phase."""
        phase, lane = RUN.runner.next_lane()
        self._connection.close()
        while (batch := lane.take()) is not None:
            status = 0
            try:
                for call in batch:
                    status = self._connection.send(phase, call)[0].status
            finally:
                lane.answered()
            if status != 200:
                lane.pause()


class Shape(LoadTestShape):
    """As many users as the phase that runs needs; the end when the run has ended."""

    def reset_time(self) -> None:
        """A run begins."""
        super().reset_time()  # type: ignore[no-untyped-call]
        RUN.users.reset()

    def tick(self) -> tuple[int, float] | None:
        """The number of users that is wanted, as soon as it changes; None: the run has ended."""
        wanted = RUN.users.wait(1.0)
        return None if wanted is None else (wanted, _SPAWN_RATE)


class LocustUsers:
    """Locust's users, whose number the shape tells."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self._told: int | None = 0
        self._wanted: int | None = 1

    def wait(self, seconds: float) -> int | None:
        """The number that is wanted, when it has changed, or after so long; None: none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted != self._told, seconds)
            self._told = self._wanted
            return self._wanted

    def want(self, count: int | None) -> None:
        """Ask for so many; None: the run has ended."""
        with self._changed:
            self._wanted = count
            self._changed.notify_all()

    def count(self) -> int:
        """How many there are."""
        runner = RUN.environment.runner
        return 0 if runner is None else runner.user_count


class ScenarioRun:
    """What the parts of this file share: Locust makes users and shapes by itself, and hands them nothing."""

    environment: Environment
    settings: workload.Settings
    phases: tuple[Phase, ...]
    journal: Path
    exporter: Exporter
    recorder: Recorder

    def __init__(self) -> None:
        self.conductor: Conductor | None = None
        self.users = LocustUsers()
        self.runner = PhaseRunner()
        #: By item, the entity tag of its last answer.
        self.etags: dict[str, str] = {}
        self.token = os.environ.get("RECOUP_ADMIN_TOKEN") or None

    def prepare(self, environment: Environment) -> None:
        """Find out what is to be played.

        Raises:
            ValueError: It cannot be; says why.
        """
        self.environment = environment
        self.settings = _settings(environment.parsed_options)
        self.phases = workload.phases(self.settings)
        owned = os.environ.get("LOADTEST_JOURNAL")
        faults = workload.needs_owner(self.phases)
        if faults and not owned:
            raise ValueError(
                f"{', '.join(faults)}: these need processes of the run's own. Use `python -m loadtest`, or set "
                "LOADTEST_JOURNAL and answer what the journal asks for"
            )
        self.journal = Path(owned) if owned else DEFAULT_JOURNAL
        self.exporter = Exporter(self.users.count)

    def begin(self) -> None:
        """Begin a run."""
        self.recorder = Recorder(self.journal, self.exporter)
        counted = Connection(self.environment, _new_pool(), self.token)
        self.conductor = Conductor(
            self.phases,
            self.settings.to_mapping(),
            2 * self.settings.scrape_seconds,
            runner=self.runner,
            users=self.users,
            recorder=self.recorder,
            service=ServiceClient(self.environment.host or "", self.token, os.environ.get("LOADTEST_UPSTREAM", "")),
            send=lambda phase, call: _status_and_body(*counted.send(phase, call)),
            locust=self._counts,
        )
        self.environment.process_exit_code = EXIT_FAILED
        threading.Thread(target=self._conduct, args=(self.conductor,), daemon=True).start()

    def _conduct(self, conductor: Conductor) -> None:
        conductor.run()
        if conductor.went_well:
            self.environment.process_exit_code = EXIT_WELL
        self.users.want(None)

    def break_off(self) -> None:
        """End the run before its time, if one is under way; the service has its configuration back then."""
        if self.conductor is not None:
            self.conductor.stop(_STOP_SECONDS)

    def _counts(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for (name, _), entry in self.environment.stats.entries.items():
            counts = found.setdefault(name, {"requests": 0, "failures": 0})
            counts["requests"] += entry.num_requests
            counts["failures"] += entry.num_failures
        return found


def _status_and_body(request: Request, body: list[bytes]) -> tuple[int, bytes]:
    return request.status, b"".join(body)


def _settings(options: Any) -> workload.Settings:
    given = json.loads(os.environ.get("LOADTEST_SETTINGS") or "{}")
    if options.scenario is not None:
        given["scenarios"] = workload.scenarios(options.scenario)
    for name, value in (("seed", options.seed), ("duration_seconds", options.duration), ("users", options.num_users)):
        if value is not None:
            given[name] = value
    return workload.Settings.from_mapping(given)


RUN = ScenarioRun()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("Recoup's load test")
    group.add_argument("--scenario", metavar="NAMES", help="one, several with commas, or all", default=None)
    group.add_argument("--seed", type=int, help="same seed, same requests", default=None)
    group.add_argument("--duration", type=float, metavar="SECONDS", help="of the steady state", default=None)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _on_init(environment: Environment, **_: Any) -> None:
    try:
        if not environment.host:
            raise ValueError("say with --host where the service is")
        RUN.prepare(environment)
        port = int(os.environ.get("LOADTEST_METRICS_PORT", DEFAULT_METRICS_PORT) or 0)
        # Locust's own come later or not at all: while a shape leads, SIGTERM would end the process at once, and SIGINT
        # be an exception in whichever greenlet runs.
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, RUN.break_off)
        if port:
            RUN.exporter.serve(os.environ.get("LOADTEST_METRICS_ADDRESS") or "127.0.0.1", port)
    except (ValueError, OSError) as error:
        _log.error("the load test cannot begin: %s", error)
        sys.exit(EXIT_UNUSABLE)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _on_test_start(**_: Any) -> None:
    RUN.begin()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def _on_test_stopping(**_: Any) -> None:
    RUN.break_off()
