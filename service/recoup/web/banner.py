"""What a person reads when the service is up: where everything is, and a command to try it with."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from recoup import __version__
from recoup.pipelines.protocol import Pipeline
from recoup.settings import Settings

#: A photograph that the repository brings, from its root.
SAMPLE = Path("examples/photo.jpg")

_POLL_SECONDS = 0.02
_MOST_SECONDS = 60.0


def banner(settings: Settings, pipelines: Sequence[Pipeline]) -> str:
    """The lines that the service prints once it is up."""
    base = f"http://{_visible_host(settings.host)}:{settings.port}"
    places = {
        "docs": f"{base}/docs",
        "API": f"{base}/openapi.json",
        "statistics": f"{base}/api/cache/stats",
        "metrics": f"{base}/metrics" if settings.telemetry else "off (RECOUP_TELEMETRY=0)",
        "try it": _command(base, pipelines),
    }
    lines = [f"  {name:<12}{place}" for name, place in places.items()]
    return "\n".join([f"Recoup {__version__} serves {base}", *lines])


def _command(base: str, pipelines: Sequence[Pipeline]) -> str:
    """A command that works as pasted; the second time its answer is a hit."""
    relief = next((pipeline.name for pipeline in pipelines if pipeline.kind == "relief"), None)
    if relief is None or not SAMPLE.is_file():
        return f"curl -sS {base}/api/pipelines"
    url = f"{base}/api/generate/{relief}"
    return f"curl -sS -D - -o relief.stl -H 'Content-Type: image/jpeg' --data-binary @{SAMPLE} {url}"


def _visible_host(host: str) -> str:
    """The host that a caller on this machine uses, as it stands in a URL."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else str(address)


def print_when_ready(settings: Settings, pipelines: Sequence[Pipeline]) -> None:
    """Print the banner to standard output as soon as the service answers; returns at once."""
    text = banner(settings, pipelines)
    threading.Thread(target=_print, args=(settings, text), name="recoup-banner", daemon=True).start()


def _print(settings: Settings, text: str) -> None:
    deadline = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < deadline:
        if _accepts(_visible_host(settings.host).strip("[]"), settings.port):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            return
        time.sleep(_POLL_SECONDS)


def _accepts(host: str, port: int) -> bool:
    """Whether it takes connections; a request would stand in its own figures."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
