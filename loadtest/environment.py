"""What a run took place on, for whoever reads its report."""

from __future__ import annotations

import platform
from importlib.metadata import version

from loadtest.prometheus import Prometheus, QueryError
from loadtest.settings import cores

_LIBRARIES = ("recoup", "locust")


def environment(source: Prometheus) -> dict[str, str]:
    """Versions and the machine, by name."""
    found = {
        "machine": f"{cores()} cores, {platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return found | {name: version(name) for name in _LIBRARIES} | {"Prometheus": _prometheus(source)}


def _prometheus(source: Prometheus) -> str:
    try:
        return str(source.ask("status/buildinfo", {})["version"])
    except (QueryError, KeyError) as error:
        return f"not known: {error}"
