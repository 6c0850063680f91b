"""A container engine of one's own: its data in a folder that goes away, and no trace in the machine's network rules."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .running import CheckError, run, wait_for

_PATIENCE = 60


class Engine:
    """A running engine.

    Attributes:
        folder: For files that go away with it.
        environment: That of a client which speaks to it.
    """

    def __init__(self, folder: Path) -> None:
        # Debian's client before any other: it fits Debian's engine, and has BuildKit without a plugin.
        self._client = shutil.which("docker", path=f"/usr/bin{os.pathsep}{os.environ.get('PATH', '')}") or "docker"
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "COMPOSE_"))},
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_CONFIG": str(folder / "client"),
            "DOCKER_BUILDKIT": "1",
        }

    def docker(self, *words: str | Path, give: str | None = None) -> str:
        """Run the client and give what it says."""
        return run(self._client, *words, environment=self.environment, give=give)

    def inspect(self, container: str, template: str) -> str:
        """One figure of a container, as a Go template."""
        return self.docker("inspect", "--format", template, container)

    def answers(self) -> bool:
        """Whether it answers yet."""
        with suppress(CheckError):
            return bool(self.docker("version", "--format", "{{.Server.Version}}"))
        return False


@contextmanager
def engine() -> Iterator[Engine]:
    """Start an engine, and end it with all that belongs to it.

    No default bridge and no firewall rules: containers of one network reach each other, and published ports work by the
    engine's own proxy. Only builds need to reach further, and they have the machine's network.
    """
    for tool in ("dockerd", "docker-compose", "debootstrap"):
        if shutil.which(tool) is None:
            raise CheckError(f"{tool} is not there: apt-get install docker.io docker-compose debootstrap")
    if os.geteuid():
        raise CheckError("an engine and a base image are made by root alone")
    folder = Path(tempfile.mkdtemp(prefix="recoup-compose-"))
    log = folder / "engine.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(_daemon(folder), stdout=output, stderr=subprocess.STDOUT)
    started = Engine(folder)
    try:
        wait_for("the engine answers", lambda: started.answers() or daemon.poll() is not None, seconds=_PATIENCE)
        if daemon.poll() is not None:
            raise CheckError(f"the engine ended with {daemon.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
        yield started
    finally:
        daemon.terminate()
        daemon.wait(_PATIENCE)
        _unmount(folder)
        shutil.rmtree(folder)


def _daemon(folder: Path) -> list[str]:
    return [
        "dockerd",
        f"--host=unix://{folder}/docker.sock",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/engine.pid",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
    ]


def _unmount(folder: Path) -> None:
    """What an engine that was cut short may leave mounted."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True):
        run("umount", "--lazy", place)
