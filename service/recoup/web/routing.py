"""Which configured path answers a request: a pipeline's own, or a passthrough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from recoup.pipelines.canonical import is_json
from recoup.pipelines.passthrough import Passthrough
from recoup.pipelines.paths import PathPattern, is_own_path
from recoup.pipelines.protocol import Pipeline
from recoup.web.generation.request import media_type


@dataclass(frozen=True, slots=True)
class ServedPath:
    """A path that something answers at.

    Attributes:
        pattern: The path.
        methods: What is answered there; None: any method.
        json_only: Whether only requests with a JSON body are.
        pipeline: The name of the pipeline; empty for a passthrough.
        passthrough: The passthrough; None for a pipeline.
    """

    pattern: PathPattern
    methods: tuple[str, ...] | None
    json_only: bool = False
    pipeline: str = ""
    passthrough: Passthrough | None = None

    def takes(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether it answers such a request."""
        if self.methods is not None and method not in self.methods:
            return False
        return not self.json_only or is_json(_media_type(headers))


class PathTable:
    """All configured paths. A path goes before all paths below one, and a longer beginning before a shorter one.

    Args:
        pipelines: By name; those with a `path` are served there.
        passthrough: What is passed on as it is.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], passthrough: Iterable[Passthrough]) -> None:
        served = [*_of_pipelines(pipelines), *(ServedPath(it.path, None, passthrough=it) for it in passthrough)]
        # Sorting is stable: at one path, pipelines go before a passthrough.
        self.served = sorted(served, key=lambda path: (path.pattern.open, -len(path.pattern.prefix)))

    def __bool__(self) -> bool:
        return bool(self.served)

    def find(self, path: str, method: str, headers: Iterable[tuple[bytes, bytes]]) -> list[ServedPath]:
        """What answers a request, first; then what would, with another method. Empty: the path is not configured."""
        if is_own_path(path):
            return []
        here = [served for served in self.served if served.pattern.rest(path) is not None]
        return sorted(here, key=lambda served: not served.takes(method, headers))


def _of_pipelines(pipelines: Mapping[str, Pipeline]) -> Iterable[ServedPath]:
    for name, pipeline in pipelines.items():
        described: Any = pipeline
        pattern: PathPattern | None = getattr(described, "path", None)
        if pattern is not None:
            yield ServedPath(pattern, described.methods, getattr(described, "json_only", False), name)


def _media_type(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    kind = next((value for name, value in headers if name == b"content-type"), None)
    return None if kind is None else media_type(kind.decode("latin-1"))
