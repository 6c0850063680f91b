"""Plays a run: starts what it needs, lets Locust play the scenarios, brings about the faults, asks for the verdict."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from loadtest import journal, workload
from loadtest.journal import Follower
from loadtest.processes import (
    ROOT,
    WINDOW_SECONDS,
    ProcessError,
    Prometheus,
    Server,
    Service,
    Upstream,
    free_port,
    started,
)
from loadtest.progress import Progress

_POLL_SECONDS = 0.1
#: Locust's options for a run without its web interface.
HEADLESS = ("--headless", "--only-summary")
#: Seconds that a run may take beside its steady states; it is ended then.
_MOST_SECONDS = 1800.0


#: Of a service of the run's own: a sender that stalls is refused while one can wait for it.
SERVICE_SETTINGS = {"RECOUP_BODY_TIMEOUT_SECONDS": "3"}


@dataclass(frozen=True)
class Place:
    """Where a run takes place.

    Attributes:
        service: The service's base URL.
        prometheus: Prometheus' base URL.
        faults: By name, what brings about a fault; none where the processes are not the run's own.
        metrics_port: Where Locust exports its figures.
        upstream: The paced generator's URL; empty: there is none.
        accounts: Gives the last word of each process of the service that has ended in order: lookups by outcome.
    """

    service: str
    prometheus: str
    faults: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    metrics_port: int | None = None
    accounts: Callable[[], Sequence[Mapping[str, int]]] = tuple
    upstream: str = ""


@contextlib.contextmanager
def own_place(settings: workload.Settings, folder: Path, service_settings: Mapping[str, str]) -> Iterator[Place]:
    """A service and a Prometheus of the run's own; their output goes into the folder, their data away with them.

    Raises:
        ProcessError: One of them cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="recoup-loadtest-") as scratch:
        upstream = Upstream(folder)
        pipelines = upstream.pipelines(Path(scratch) / "pipelines.toml")
        service = Service(folder, {**SERVICE_SETTINGS, "RECOUP_PIPELINES": str(pipelines), **service_settings})
        metrics_port = free_port()
        prometheus = Prometheus(
            Path(scratch),
            {"recoup": int(service.url.rpartition(":")[2]), "loadtest": metrics_port},
            scrape_seconds=settings.scrape_seconds,
            shorter_by=max(1.0, WINDOW_SECONDS / settings.duration_seconds),
        )
        faults: dict[str, Callable[[], object]] = {
            "kill-worker": service.kill_worker,
            "stop-prometheus": prometheus.stop,
            "start-prometheus": prometheus.start,
            "stop-upstream": upstream.stop,
            "start-upstream": upstream.start,
            "terminate-service": service.stop,
            "start-service": service.start,
        }
        with started(upstream, service, prometheus):
            prometheus.wait_until_scraped("recoup")
            # And until its rules have been evaluated over that: what the run grew by is measured from here.
            time.sleep(2 * settings.scrape_seconds)
            yield Place(service.url, prometheus.url, faults, metrics_port, service.accounts, upstream.url)


def play(
    settings: workload.Settings, place: Place, folder: Path, stream: TextIO, interface: Sequence[str] = HEADLESS
) -> journal.Run:
    """Let Locust play every scenario, and give what the journal says of it.

    Args:
        settings: Of the workload.
        place: Where.
        folder: For the journal and for what Locust says.
        stream: Where progress is shown.
        interface: Locust's options for its web interface, or for none.

    Raises:
        ProcessError: Locust did not begin, or was not done in time.
    """
    path = folder.absolute() / "journal.jsonl"
    for old in (*folder.glob("answer-*"), path, folder / "locust.log"):
        old.unlink(missing_ok=True)
    locust = _locust(settings, place, path, interface)
    with started(locust):
        _follow(locust, path, place, Progress(stream), _MOST_SECONDS + 3 * settings.duration_seconds)
    if not path.exists():
        raise ProcessError(f"Locust did not begin\n{locust.output()}")
    with path.open("a", encoding="utf-8") as more:
        for account in place.accounts():
            more.write(json.dumps({"line": "account", "lookups": account}) + "\n")
    return journal.read(journal.lines(path))


def _locust(settings: workload.Settings, place: Place, path: Path, interface: Sequence[str]) -> Server:
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--host", place.service]
    given = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "LOADTEST_SETTINGS": json.dumps(settings.to_mapping()),
        "LOADTEST_JOURNAL": str(path),
    }
    if place.upstream:
        given["LOADTEST_UPSTREAM"] = place.upstream
    if place.metrics_port is not None:
        given["LOADTEST_METRICS_PORT"] = str(place.metrics_port)
    return Server("Locust", [*command, *interface], path.parent / "locust.log", os.environ | given)


def _follow(locust: Server, path: Path, place: Place, progress: Progress, most: float) -> None:
    journal_lines, deadline = Follower(path), time.monotonic() + most
    running = True
    while running:
        running = locust.runs
        for line in journal_lines.lines():
            progress.take(line)
            if line["line"] == "ask":
                _bring_about(place, line["name"], path.parent / f"answer-{line['number']}")
        progress.show(time.time())
        if time.monotonic() > deadline:
            raise ProcessError(f"the run was not over within {most:.0f} s")
        if running:
            time.sleep(_POLL_SECONDS)


def _bring_about(place: Place, name: str, answer: Path) -> None:
    """Bring a fault about, and say so to the conductor, which waits for the file."""
    error = ""
    try:
        place.faults[name]()
    except KeyError:
        error = f"nobody here can do {name}"
    except ProcessError as failure:
        error = str(failure)
    whole = answer.with_suffix(".part")
    whole.write_text(error, encoding="utf-8")
    whole.rename(answer)


def without_faults(settings: workload.Settings) -> workload.Settings:
    """The settings without the scenarios that need processes of the run's own."""
    theirs = set(workload.needs_owner(workload.phases(settings)))
    return replace(settings, scenarios=tuple(scenario for scenario in settings.scenarios if scenario not in theirs))
