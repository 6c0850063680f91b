"""What a person reads when the service is up: where everything is, and a command to try it with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from recoup import __version__
from recoup.pipelines.protocol import Pipeline
from recoup.settings import Settings
from recoup.web.generation.request import CALLER_HEADERS

#: A photograph that the repository brings, from its root.
SAMPLE = Path("examples/photo.jpg")


def banner(settings: Settings, pipelines: Sequence[Pipeline]) -> str:
    """The lines that the service prints once it is up."""
    base = f"http://{_visible_host(settings.host)}:{settings.port}"
    upstream = None if settings.upstream is None else settings.upstream.rstrip("/")
    places = {
        **({} if upstream is None else {"base URL": f"{base} for clients, in place of {upstream}"}),
        "docs": f"{base}/docs",
        "API": f"{base}/openapi.json",
        "statistics": f"{base}/api/cache/stats",
        "metrics": f"{base}/metrics" if settings.telemetry else "off (RECOUP_TELEMETRY=0)",
        "try it": _command(base, pipelines),
    }
    bypassing = [pipeline.name for pipeline in pipelines if _bypasses(pipeline)]
    if bypassing:
        places["note"] = (
            f"requests with Authorization or Cookie bypass the cache: {', '.join(bypassing)} "
            "(key_headers or ignore_headers)"
        )
    lines = [f"  {name:<12}{place}" for name, place in places.items()]
    return "\n".join([f"Recoup {__version__} serves {base}", *lines])


def _bypasses(pipeline: Pipeline) -> bool:
    """Whether a caller's credentials keep a request from being cached: the pipeline does not say what they mean."""
    named = {header.lower() for header in (*pipeline.key_headers, *pipeline.ignore_headers)}
    return not named.issuperset(CALLER_HEADERS)


def _command(base: str, pipelines: Sequence[Pipeline]) -> str:
    """A command that works as pasted; the second time its answer is a hit."""
    relief = next((pipeline.name for pipeline in pipelines if pipeline.kind == "relief"), None)
    if relief is None or not SAMPLE.is_file():
        return f"curl -sS {base}/api/pipelines"
    url = f"{base}/api/generate/{relief}"
    return f"curl -sS -D - -o relief.stl -H 'Content-Type: image/jpeg' --data-binary @{SAMPLE} {url}"


def _visible_host(host: str) -> str:
    """The host that a caller on this machine uses, in the form of a URL."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else str(address)


def print_banner(settings: Settings, pipelines: Sequence[Pipeline]) -> None:
    """Print the banner to standard output."""
    sys.stdout.write(banner(settings, pipelines) + "\n")
    sys.stdout.flush()
