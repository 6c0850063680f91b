"""A real Prometheus and a real Alertmanager on loopback, with the committed files but for addresses and times."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from metrics.rulebook.program import main as build_rules

from tools import require_tool

from .rulefiles import METRICS_ROOM, read

#: Seconds that anything may take on a busy machine with two cores.
PATIENCE = 300
#: What the times of the rules are divided by: five minutes become 1.25 seconds, two scrapes and more.
SHORTER_BY = 240
_POLL_SECONDS = 0.2
_INTERVAL = "500ms"


def until(what: str, holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Ask until something holds, and fail when it does not in time."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"not within {patience} s: {what}"
        time.sleep(_POLL_SECONDS)


def lasting_port() -> int:
    """A port that is free and stays so: below those that the kernel gives to whoever asks for any."""
    given_out = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(given_out.read_text().split()[0]) if given_out.exists() else 32768
    while True:
        port = random.randrange(lowest // 2, lowest)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _process(log: Path, url: str, *command: str) -> Iterator[None]:
    """A server that is ready, until it is not needed any more."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT)

    def ready() -> bool:
        assert process.poll() is None, log.read_text(errors="replace")
        return _answers(f"{url}/-/ready")

    try:
        until(f"{url} is ready", ready)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Stack:
    """Where alerts are seen."""

    def __init__(self, prometheus: str, alertmanager: str) -> None:
        self.prometheus = prometheus
        self.alertmanager = alertmanager

    def alerts(self, name: str, **labels: str) -> list[dict[str, Any]]:
        """What Alertmanager's API tells of one alert with these labels: what is not resolved."""
        matchers = {"alertname": name, **labels}
        query = urlencode([("filter", f'{label}="{value}"') for label, value in matchers.items()])
        alerts = get(f"{self.alertmanager}/api/v2/alerts?{query}")
        assert isinstance(alerts, list)
        return alerts

    def firing(self, name: str, **labels: str) -> list[dict[str, str]]:
        """The labels of the alerts that Prometheus holds for true, for longer than they must be."""
        alerts = get(f"{self.prometheus}/api/v1/alerts")["data"]["alerts"]
        wanted = {"alertname": name, **labels}.items()
        return [alert["labels"] for alert in alerts if alert["state"] == "firing" and wanted <= alert["labels"].items()]

    def wait_for(self, name: str, **labels: str) -> dict[str, Any]:
        """Wait until an alert has arrived at Alertmanager, and give it."""
        until(f"{name} fires", lambda: bool(self.alerts(name, **labels)))
        return self.alerts(name, **labels)[0]

    def wait_until_suppressed(self, name: str) -> None:
        """Wait until an alert has arrived, and another one speaks for it."""
        until(
            f"{name} is suppressed",
            lambda: {"suppressed"} == {alert["status"]["state"] for alert in self.alerts(name)},
        )

    def wait_until_resolved(self, name: str, **labels: str) -> None:
        """Wait until Alertmanager has been told that an alert is over."""
        until(f"{name} is resolved", lambda: not self.alerts(name, **labels))
        assert not self.firing(name, **labels)


def _configuration(folder: Path, targets: list[str], alertmanager: int) -> Path:
    """The committed configuration, with targets of this test and a quicker pace."""
    configuration = read(METRICS_ROOM / "prometheus.yml")
    configuration["global"] = {
        "scrape_interval": _INTERVAL,
        "scrape_timeout": _INTERVAL,
        "evaluation_interval": _INTERVAL,
    }
    addresses = [{"targets": [f"127.0.0.1:{alertmanager}"]}]
    configuration["alerting"] = {"alertmanagers": [{"static_configs": addresses}]}
    configuration["scrape_configs"] = [{"job_name": "recoup", "static_configs": [{"targets": targets}]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


@contextmanager
def stack(folder: Path, targets: list[str]) -> Iterator[Stack]:
    """Prometheus and Alertmanager, in a folder of their own."""
    prometheus, alertmanager = lasting_port(), lasting_port()
    build_rules(["--output", str(folder / "rules"), "--shorter-by", str(SHORTER_BY)])
    made = Stack(f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{alertmanager}")
    with (
        _process(
            folder / "alertmanager.log",
            made.alertmanager,
            # Debian's name for it; else its own.
            shutil.which("alertmanager") or require_tool("prometheus-alertmanager"),
            f"--config.file={METRICS_ROOM / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ),
        _process(
            folder / "prometheus.log",
            made.prometheus,
            require_tool("prometheus"),
            f"--config.file={_configuration(folder, targets, alertmanager)}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{prometheus}",
            "--enable-feature=exemplar-storage",
        ),
    ):
        yield made
