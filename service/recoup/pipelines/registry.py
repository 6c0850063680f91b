"""The registry: the pipelines that a service serves, started and ended together."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from recoup.errors import ConfigurationError
from recoup.pipelines.definition import COMMON_OPTIONS, NAME_RULE, Options, is_pipeline_name, read_definitions
from recoup.pipelines.headers import is_header_value
from recoup.pipelines.http import METHODS, HttpPipeline, is_upstream_url
from recoup.pipelines.protocol import Pipeline
from recoup.pipelines.python import DEFAULT_MEMORY_BYTES, PATH_RULE, PythonPipeline, is_callable_path

_log = logging.getLogger(__name__)


class PipelineRegistry(Mapping[str, Pipeline]):
    """Pipelines by name, in their order. It never changes.

    Args:
        pipelines: In the order that they are to be shown.

    Raises:
        ConfigurationError: A name that cannot be used, or that two of them have.
    """

    def __init__(self, pipelines: Iterable[Pipeline]) -> None:
        self._pipelines: dict[str, Pipeline] = {}
        for pipeline in pipelines:
            if not is_pipeline_name(pipeline.name):
                raise ConfigurationError(f"the pipeline name {pipeline.name!r} cannot be used: allowed are {NAME_RULE}")
            if pipeline.name in self._pipelines:
                raise ConfigurationError(f"two pipelines have the name {pipeline.name!r}")
            self._pipelines[pipeline.name] = pipeline

    def __getitem__(self, name: str) -> Pipeline:
        return self._pipelines[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pipelines)

    def __len__(self) -> int:
        return len(self._pipelines)

    async def start(self) -> None:
        """Start all of them; when one cannot start, the others are ended again.

        Raises:
            ConfigurationError: What a pipeline was configured with does not work.
            GenerationError: A pipeline has no worker process.
        """
        started: list[Pipeline] = []
        try:
            for pipeline in self._pipelines.values():
                await pipeline.start()
                started.append(pipeline)
        except BaseException:
            await _close_all(started, 0.0)
            raise

    def ready(self) -> bool:
        """Whether all of them can generate now."""
        return all(pipeline.ready() for pipeline in self._pipelines.values())

    async def close(self, grace_seconds: float) -> None:
        """End all of them at once, within one `grace_seconds`. One that fails to is logged, and holds up nobody."""
        await _close_all(self._pipelines.values(), grace_seconds)


def load_pipelines(
    path: Path | None, *, relief_workers: int | None = None, environ: Mapping[str, str] | None = None
) -> PipelineRegistry:
    """The pipelines of a TOML file, exactly those that it names; without a file, the built-in ones.

    Args:
        path: The file.
        relief_workers: Worker processes of `relief`, where the file says nothing else; None: its own default.
        environ: Where `headers_from_env` and `environment` are looked up; None: the process environment.

    Raises:
        ConfigurationError: The file or an option cannot be used, or a library for a pipeline is not installed.
    """
    if path is None:
        return PipelineRegistry([_relief(_BUILT_IN, _given(workers=relief_workers))])
    environ = os.environ if environ is None else environ
    pipelines = []
    for name, table in read_definitions(path).items():
        options = Options(path, name, table)
        kind = _KINDS[options.choice("kind", tuple(_KINDS))]
        options.check_known(kind.options)
        pipelines.append(kind.make(options, _Context(environ, relief_workers)))
    return PipelineRegistry(pipelines)


class _Context(NamedTuple):
    """What a pipeline is made from beside its options."""

    environ: Mapping[str, str]
    relief_workers: int | None


class _Kind(NamedTuple):
    options: tuple[str, ...]
    make: Callable[[Options, _Context], Pipeline]


def _make_http(options: Options, context: _Context) -> Pipeline:
    url = options.text("url", allowed=_URL_RULE)
    if not is_upstream_url(url):
        # A user stands with a password, which is not to be shown.
        fault = f"cannot be used: allowed is {_URL_RULE}"
        raise options.fault("url", fault) if "@" in url else options.refused("url", _URL_RULE)
    terms = options.terms()
    return HttpPipeline(
        terms,
        url=url,
        method=options.choice("method", METHODS, "POST"),
        headers=_upstream_headers(options, context.environ, {*terms.key_headers, *terms.ignore_headers}),
        max_result_bytes=int(options.megabytes("max_result_mb", 256) * 2**20),
    )


_URL_RULE = "an http:// or https:// URL with a host, without user, password or fragment"


def _upstream_headers(options: Options, environ: Mapping[str, str], passed_on: set[str]) -> dict[str, str]:
    """The headers that the upstream is sent with every request; values never appear in an error."""
    headers = options.header_table("headers")
    named = options.header_table("headers_from_env")
    for name, variable in named.items():
        if name in headers:
            raise options.fault("headers_from_env", f"names {name!r}, which 'headers' names, too")
        value = environ.get(variable, "")
        if not value or not is_header_value(value):
            raise options.fault(
                "headers_from_env", f"needs {variable!r} in the environment, with a text of one line: it has none"
            )
        headers[name] = value
    for name in headers:
        if name in passed_on:
            raise options.fault(
                "headers" if name not in named else "headers_from_env",
                f"names {name!r}, which is passed on from the caller: allowed is one of both",
            )
    return headers


def _make_python(options: Options, context: _Context) -> Pipeline:
    path = options.text("callable", allowed=PATH_RULE)
    if not is_callable_path(path):
        raise options.refused("callable", PATH_RULE)
    return PythonPipeline(
        options.terms(),
        path=path,
        memory_bytes=_memory(options, DEFAULT_MEMORY_BYTES),
        environment=_worker_variables(options, context.environ),
    )


def _memory(options: Options, default: int) -> int | None:
    return int(options.megabytes("memory_mb", default / 2**20, zero=True) * 2**20) or None


def _worker_variables(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker gets because the pipeline names them; values never appear in an error."""
    variables = options.variables("environment")
    for name in variables:
        if name not in environ:
            raise options.fault("environment", f"needs {name!r} in the environment: it is not there")
    return {name: environ[name] for name in variables}


def _make_relief(options: Options, context: _Context) -> Pipeline:
    given: dict[str, Any] = _given(workers=context.relief_workers)
    if "workers" in options:
        given["workers"] = options.count("workers", 1, minimum=1)
    if "ttl_seconds" in options:
        given["ttl_seconds"] = options.seconds("ttl_seconds", 0.0, zero=True)
    if "timeout_seconds" in options:
        given["timeout_seconds"] = options.seconds("timeout_seconds", 1.0)
    if "memory_mb" in options:
        given["memory_bytes"] = _memory(options, 0)
    if "max_waiting" in options:
        given["max_waiting"] = options.count("max_waiting", 0, minimum=0)
    return _relief(f"{options.file}: pipeline {options.pipeline!r}", {"name": options.pipeline, **given})


_BUILT_IN = "the built-in pipelines"
#: What the kind `relief` imports in its workers: the libraries of the extra `relief`.
_RELIEF_LIBRARIES = ("PIL", "fast_simplification", "manifold3d", "numpy", "trimesh")


def _relief(where: str, arguments: dict[str, Any]) -> Pipeline:
    missing = [library for library in _RELIEF_LIBRARIES if find_spec(library) is None]
    if missing:
        instead = "; install it, or set RECOUP_PIPELINES to a file of other pipelines" if where == _BUILT_IN else ""
        raise ConfigurationError(
            f"{where}: the kind 'relief' needs {', '.join(missing)}, which the extra recoup[relief] installs{instead}"
        )
    # Imported only where it is used: a service without it need not have its libraries.
    from recoup.pipelines.relief import ReliefPipeline

    return ReliefPipeline(**arguments)


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


_KINDS: dict[str, _Kind] = {
    "http": _Kind((*COMMON_OPTIONS, "url", "method", "headers", "headers_from_env", "max_result_mb"), _make_http),
    "python": _Kind((*COMMON_OPTIONS, "callable", "memory_mb", "environment"), _make_python),
    "relief": _Kind(("kind", "workers", "ttl_seconds", "timeout_seconds", "max_waiting", "memory_mb"), _make_relief),
}


async def _close_all(pipelines: Iterable[Pipeline], grace_seconds: float) -> None:
    await asyncio.gather(*(_close(pipeline, grace_seconds) for pipeline in pipelines))


async def _close(pipeline: Pipeline, grace_seconds: float) -> None:
    try:
        await pipeline.close(grace_seconds)
    except Exception:  # noqa: BLE001  # the others are to be ended all the same
        _log.exception("pipeline_not_closed", extra={"pipeline": pipeline.name})
