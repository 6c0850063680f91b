"""The compose file's services, as it has them: what is taken out of it for the test, and the containers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from .engine import Engine
from .running import ROOT, run

FILE = ROOT / "docker-compose.yml"
TOKEN = "a-token-of-the-test"
_PROJECT = "recouptest"
_LEFT_OUT = ("grafana",)
#: What a profile brings up.
PROFILE = "loadtest"
#: The ports on the machine: others than the usual ones, so that a service which somebody runs there is not met.
ONE_PORT, MORE_PORTS, _ASIDE = "18080", "18080-18089", 10_000


def compose_file() -> dict[str, Any]:
    """The compose file."""
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def derived() -> dict[str, Any]:
    """What is brought up: the compose file without Grafana, on other ports, with images that are there.

    Everything else of a service stays as it is.
    """
    services = {name: dict(service) for name, service in compose_file()["services"].items() if name not in _LEFT_OUT}
    for service in services.values():
        service.pop("build", None)
        service.pop("pull_policy", None)
        service["image"] = re.sub(r"\$\{\w+_DIGEST:-\}", "", service["image"])
        # The older docker-compose takes no variable here.
        service["cpu_quota"] = int(re.sub(r"\$\{\w+:-(\d+)\}", r"\1", str(service["cpu_quota"])))
        service["ports"] = [
            re.sub(r":(\d+):", lambda port: f":{int(port[1]) + _ASIDE}:", it) for it in service["ports"]
        ]
    volumes = [name for name in compose_file()["volumes"] if not name.startswith(_LEFT_OUT)]
    # The older docker-compose knows no `name`.
    return {"services": services, "networks": compose_file()["networks"], "volumes": dict.fromkeys(volumes)}


def stays() -> list[str]:
    """The services that are brought up without a profile."""
    return [name for name, service in derived()["services"].items() if "profiles" not in service]


class Stack:
    """The services on an engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._file = engine.folder / "docker-compose.json"
        self._file.write_text(json.dumps(derived()))
        self._settings = engine.folder / "settings.env"
        self._settings.write_text(f"RECOUP_ADMIN_TOKEN={TOKEN}\nSERVICE_PORTS={ONE_PORT}\n")

    def compose(self, *words: str, **settings: str) -> str:
        """Run docker-compose on the file, with these settings beside the file's."""
        options: tuple[str | Path, ...] = ("--file", self._file, "--env-file", self._settings)
        place: tuple[str | Path, ...] = ("--project-name", _PROJECT, "--project-directory", ROOT)
        return run("docker-compose", *options, *place, *words, environment=self.engine.environment | settings)

    def containers(self, service: str) -> list[str]:
        """The containers of a service."""
        return self.compose("ps", "--quiet", service, COMPOSE_PROFILES=PROFILE).split()

    def address(self, container: str, port: int) -> str:
        """Where a container's port is published."""
        return "http://" + self.engine.docker("port", container, f"{port}/tcp").splitlines()[0]

    def execute(self, container: str, *words: str) -> str:
        """Run a command in a container, and give what it says."""
        return self.engine.docker("exec", container, *words)

    def health(self, container: str) -> str:
        """What the health check of a container says."""
        return self.engine.inspect(container, "{{.State.Health.Status}}")

    def networks(self, container: str) -> list[str]:
        """The networks of a container."""
        names = self.engine.inspect(container, "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}")
        return sorted(names.split())
