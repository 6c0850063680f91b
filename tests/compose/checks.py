"""What is checked of the running stack, one thing after another."""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from typing import Any

from .running import ROOT, CheckError, expect, tell, wait_for
from .stack import MORE_PORTS, ONE_PORT, PROFILE, TOKEN, Stack

PHOTO = ROOT / "examples" / "photo.jpg"
_PATIENCE = 180
#: Scenarios that measure no time, and last for longer than a scrape together; and what they may take.
_SCENARIOS, _RUN_SECONDS = "churn,garbage", 420


def fetch(url: str, *, body: bytes | None = None, **headers: str) -> tuple[int, Message, bytes]:
    """Ask by HTTP; every status is an answer."""
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=_PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def generate(service: str, **parameters: str) -> tuple[int, Message, bytes]:
    """Ask for a relief of the photograph."""
    query = urllib.parse.urlencode(parameters)
    return fetch(f"{service}/api/generate/relief?{query}", body=PHOTO.read_bytes(), **{"Content-Type": "image/jpeg"})


def becomes_healthy(stack: Stack, *services: str) -> None:
    """Every container's health check says that it is healthy."""
    for service in services:
        for container in stack.containers(service):
            wait_for(f"{service} is healthy", lambda it=container: stack.health(it) == "healthy", seconds=_PATIENCE)  # type: ignore[misc]
            tell(f"ok    {service} is healthy")


def is_confined(stack: Stack) -> None:
    """The service is nobody in particular, in a container that it cannot change, with its limits."""
    (container,) = stack.containers("recoup")
    write = "try: open('/opt/recoup/x', 'w')\nexcept OSError as error: print(error.strerror)"
    expect("its user and group", "10001:10001", stack.execute(container, "sh", "-c", "echo $(id -u):$(id -g)"))
    expect("writing to its root", "Read-only file system", stack.execute(container, "python", "-c", write))
    status = stack.execute(container, "cat", "/proc/self/status")
    expect("its capabilities", "0" * 16, re.findall(r"CapEff:\s+(\w+)", status)[0])
    expect("new privileges", "1", re.findall(r"NoNewPrivs:\s+(\d)", status)[0])
    expect("its first process", True, "init" in stack.execute(container, "cat", "/proc/1/comm"))
    limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuQuota}}"
    expect("its limits", f"{3 * 2**30} 2048 300000", stack.engine.inspect(container, limits))


def is_apart(stack: Stack) -> None:
    """The service finds Prometheus by its name, but not Alertmanager; Prometheus finds both."""
    find = (
        "import socket, sys\ntry: socket.getaddrinfo(sys.argv[1], 1); print('there')\nexcept OSError: print('unknown')"
    )
    (service,), (prometheus,) = stack.containers("recoup"), stack.containers("prometheus")
    expect("prometheus, from the service", "there", stack.execute(service, "python", "-c", find, "prometheus"))
    expect("alertmanager, from the service", "unknown", stack.execute(service, "python", "-c", find, "alertmanager"))
    expect("its networks", ["recouptest_service"], stack.networks(service))
    expect("those of Prometheus", ["recouptest_monitoring", "recouptest_service"], stack.networks(prometheus))


def answers(stack: Stack) -> None:
    """A request is a miss, and then a hit of the same bytes."""
    (container,) = stack.containers("recoup")
    service = stack.address(container, 8080)
    status, headers, mesh = generate(service, quality="preview")
    expect("the first request", (200, "recoup; fwd=uri-miss; stored; detail=cold"), (status, headers["Cache-Status"]))
    status, headers, again = generate(service, quality="preview")
    expect("the second request", (200, "recoup; hit"), (status, headers["Cache-Status"].rpartition(";")[0]))
    expect("its bytes are the same", (len(mesh), True), (len(again), again == mesh))
    expect("management without the token", 401, fetch(f"{service}/api/cache/stats")[0])
    status, _, body = fetch(f"{service}/api/cache/stats", Authorization=f"Bearer {TOKEN}")
    expect("management with the token: status, hits", (200, 1), (status, json.loads(body)["hits"]))


class Prometheus:
    """Prometheus' own API."""

    def __init__(self, stack: Stack) -> None:
        (container,) = stack.containers("prometheus")
        self._address = stack.address(container, 9090)

    def ask(self, path: str, **query: str) -> Any:
        """What it says in `data`."""
        status, _, body = fetch(f"{self._address}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        if status != 200:
            raise CheckError(f"Prometheus answered {status}: {body[:500]!r}")
        return json.loads(body)["data"]

    def targets(self, job: str) -> dict[str, str]:
        """The targets of a job, each with its health."""
        targets = self.ask("targets", state="active")["activeTargets"]
        return {it["labels"]["instance"]: it["health"] for it in targets if it["labels"]["job"] == job}

    def up(self, job: str) -> list[str]:
        """The targets of a job that are up."""
        return [instance for instance, health in self.targets(job).items() if health == "up"]

    def value(self, query: str) -> float | None:
        """The one value of a query; None: no series."""
        series = self.ask("query", query=query)["result"]
        return float(series[0]["value"][1]) if series else None


def is_scraped(stack: Stack) -> None:
    """Prometheus, in a container of its own, finds the service by DNS, scrapes it, and evaluates the rules."""
    prometheus = Prometheus(stack)
    for job in ("recoup", "alertmanager", "prometheus"):
        health = wait_for(f"Prometheus scrapes {job}", lambda it=job: prometheus.up(it), seconds=_PATIENCE)  # type: ignore[misc]
        tell(f"ok    Prometheus scrapes {job}: {health}")
    query = 'sum(recoup_lookups_total{job="recoup", outcome="hit"})'
    wait_for("Prometheus has the hit", lambda: prometheus.value(query) == 1, seconds=_PATIENCE)
    expect(query, 1.0, prometheus.value(query))
    wait_for("Prometheus has evaluated its rules", lambda: _evaluated(prometheus), seconds=_PATIENCE)
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    expect("rules in error", [], [rule["name"] for rule in rules if rule["health"] != "ok"])
    tell(f"ok    {len(rules)} rules are evaluated")
    expect("Alertmanagers", 1, len(prometheus.ask("alertmanagers")["activeAlertmanagers"]))


def _evaluated(prometheus: Prometheus) -> bool:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    return bool(rules) and all(rule["health"] != "unknown" for rule in rules)


def is_loaded(stack: Stack) -> None:
    """The load test puts load on the service, shows it, ends by itself with a verdict, and leaves its report."""
    _needs_its_token(stack)
    stack.compose("up", "--detach", "loadtest", COMPOSE_PROFILES=PROFILE, SCENARIO=_SCENARIOS)
    (container,) = stack.containers("loadtest")
    _shows_itself(stack, container)
    wait_for("the load test has ended", lambda: _ended(stack, container), seconds=_RUN_SECONDS)
    state = stack.engine.inspect(container, "{{.State.Status}} {{.State.ExitCode}}")
    if state != "exited 0":
        raise CheckError(f"the load test is {state}:\n{stack.engine.docker('logs', container)}")
    tell(f"ok    the load test: {state}")
    report = stack.engine.folder / "report"
    stack.engine.docker("cp", f"{container}:/report", report)
    expect("its verdict", True, json.loads((report / "report.json").read_text())["passed"])
    expect("its page", True, "<html" in (report / "report.html").read_text()[:1000])
    prometheus = Prometheus(stack)
    wait_for("Prometheus lets go of the load test", lambda: not prometheus.targets("loadtest"), seconds=_PATIENCE)
    said = stack.compose("logs", "--no-color", "prometheus").splitlines()
    expect("what Prometheus says of names", [], [line for line in said if "DNS" in line])


def _shows_itself(stack: Stack, container: str) -> None:
    interface, prometheus = stack.address(container, 8089), Prometheus(stack)
    looks = {
        f"Locust's web interface answers on {interface}": lambda: fetch(f"{interface}/")[0] == 200,
        "Prometheus scrapes the load test": lambda: prometheus.value("count(recoup_loadtest_users)") == 1,
    }
    for what, look in looks.items():
        wait_for(what, lambda seen=look: seen() or _ended(stack, container), seconds=_PATIENCE)  # type: ignore[misc]
        if _ended(stack, container):
            raise CheckError(f"{what}: not before it ended:\n{stack.engine.docker('logs', container)}")
        tell(f"ok    {what}")


def _needs_its_token(stack: Stack) -> None:
    command = ("run", "--rm", "--no-deps", "-e", "RECOUP_ADMIN_TOKEN=", "loadtest")
    try:
        stack.compose(*command, COMPOSE_PROFILES=PROFILE)
    except CheckError as error:
        expect("a load test without the token says what it lacks", True, "RECOUP_ADMIN_TOKEN is not set" in str(error))
    else:
        raise CheckError("a load test without the token must fail")


def _ended(stack: Stack, container: str) -> bool:
    return stack.engine.inspect(container, "{{.State.Status}}") == "exited"


def scales(stack: Stack) -> None:
    """A second instance finds a port, and Prometheus finds it."""
    stack.compose("up", "--detach", "--no-recreate", "--scale", "recoup=2", SERVICE_PORTS=MORE_PORTS)
    becomes_healthy(stack, "recoup")
    addresses = {stack.address(container, 8080) for container in stack.containers("recoup")}
    expect("ports of two instances", 2, len(addresses))
    prometheus = Prometheus(stack)
    wait_for("Prometheus finds two", lambda: len(prometheus.up("recoup")) == 2, seconds=_PATIENCE)
    expect("instances that Prometheus scrapes", 2, len(prometheus.up("recoup")))


def drains(stack: Stack) -> None:
    """`docker stop` lets a running generation be answered, and the exit status is 0."""
    container = stack.containers("recoup")[0]
    service = stack.address(container, 8080)
    answers: list[tuple[int, Message, bytes]] = []
    # A width that no other request has, so that it is no hit.
    caller = threading.Thread(target=lambda: answers.append(generate(service, width_mm="101")), daemon=True)
    caller.start()
    running = 'recoup_generations_in_progress{pipeline="relief"} 1'
    wait_for("a generation runs", lambda: running in fetch(f"{service}/metrics")[2].decode(), seconds=_PATIENCE)
    begun = time.monotonic()
    stack.engine.docker("stop", container)
    took = time.monotonic() - begun
    caller.join(_PATIENCE)
    expect("the generation that ran", [(200, True)], [(status, len(body) > 1000) for status, _, body in answers])
    state = stack.engine.inspect(container, "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}")
    expect(f"the container, {took:.1f} s after docker stop", "exited 0 false", state)


def comes_back(stack: Stack) -> None:
    """A service whose processes are all killed is started again, and leaves nothing behind."""
    stack.compose("up", "--detach", "--scale", "recoup=1")
    becomes_healthy(stack, "recoup")
    (container,) = stack.containers("recoup")
    stack.engine.docker("exec", "--detach", container, "python", "-c", "import os; os.kill(-1, 9)")
    wait_for("it is started again", lambda: _restarts(stack, container) >= 1, seconds=_PATIENCE)
    becomes_healthy(stack, "recoup")
    expect("times that it was started again", 1, _restarts(stack, container))
    service = stack.address(container, 8080)
    expect("where it is published", f"http://127.0.0.1:{ONE_PORT}", service)
    expect("a request to the new one", 200, generate(service, quality="preview")[0])


def ends_when_it_hangs(stack: Stack) -> None:
    """A service that answers no more is unhealthy, is ended by its own health check, and is started again."""
    (container,) = stack.containers("recoup")
    before = _restarts(stack, container)
    hang = """
import os, signal
from pathlib import Path
parents = {}
for stat in Path("/proc").glob("[0-9]*/stat"):
    parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
(main,) = [process for process, parent in parents.items() if parent == 1]
for process, parent in parents.items():
    if parent == main:
        os.kill(process, signal.SIGSTOP)
"""
    stack.execute(container, "python", "-c", hang)
    wait_for("it is ended and started again", lambda: _restarts(stack, container) > before, seconds=_PATIENCE)
    becomes_healthy(stack, "recoup")
    expect("a request to the new one", 200, generate(stack.address(container, 8080), quality="preview")[0])


def _restarts(stack: Stack, container: str) -> int:
    return int(stack.engine.inspect(container, "{{.RestartCount}}"))


CHECKS = (is_confined, is_apart, answers, is_scraped, is_loaded, scales, drains, comes_back, ends_when_it_hangs)
