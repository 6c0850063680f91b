"""The registry: the pipelines that a service serves, started and ended together."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from recoup.errors import ConfigurationError, SeveralMistakesError
from recoup.pipelines.aside import Aside
from recoup.pipelines.configured import ConfiguredPipeline
from recoup.pipelines.definition import COMMON_OPTIONS, NAME_RULE, OptionTable, is_pipeline_name, read_definitions
from recoup.pipelines.headers import is_header_value
from recoup.pipelines.http import METHODS, HttpPipeline, is_upstream_url
from recoup.pipelines.passthrough import Passthrough
from recoup.pipelines.paths import PATH_RULE, PathPattern, conflict
from recoup.pipelines.protocol import Pipeline
from recoup.pipelines.python import DEFAULT_MEMORY_BYTES, PythonPipeline, is_callable_path
from recoup.pipelines.python import PATH_RULE as CALLABLE_RULE
from recoup.pipelines.quota_options import QUOTA_OPTIONS, pipeline_quota
from recoup.pipelines.stale_options import negative_ttls
from recoup.pipelines.upstream_word import IGNORE, OBEY
from recoup.pipelines.whole_upstream import upstream_parts

_log = logging.getLogger(__name__)


class PipelineRegistry(Mapping[str, Pipeline]):
    """Pipelines by name, in their order. It never changes.

    Args:
        pipelines: In the order that they are to be shown.
        passthrough: What is passed on as it is.

    Raises:
        ConfigurationError: A name that cannot be used, or that two of them have.

    Attributes:
        passthrough: See above.
    """

    def __init__(self, pipelines: Iterable[Pipeline], passthrough: Iterable[Passthrough] = ()) -> None:
        self.passthrough = tuple(passthrough)
        self._aside = Aside()
        self._pipelines: dict[str, Pipeline] = {}
        for pipeline in pipelines:
            if not is_pipeline_name(pipeline.name):
                raise ConfigurationError(f"the pipeline name {pipeline.name!r}: expected {NAME_RULE}")
            if pipeline.name in self._pipelines:
                raise ConfigurationError(f"two pipelines have the name {pipeline.name!r}")
            if isinstance(pipeline, ConfiguredPipeline):
                pipeline.aside = self._aside
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
        self._aside.start()
        try:
            for pipeline in self._pipelines.values():
                await pipeline.start()
                started.append(pipeline)
            for passthrough in self.passthrough:
                await passthrough.start()
        except BaseException:
            await _close_all(started, 0.0)
            await self._aside.close()
            raise

    def ready(self) -> bool:
        """Whether all of them can generate now."""
        return all(pipeline.ready() for pipeline in self._pipelines.values())

    async def close(self, grace_seconds: float) -> None:
        """End all of them at once, within one `grace_seconds`. One that fails to is logged, and holds up nobody."""
        for passthrough in self.passthrough:
            passthrough.close()
        await _close_all(self._pipelines.values(), grace_seconds)
        await self._aside.close()


def load_pipelines(
    path: Path | None,
    *,
    upstream: str | None = None,
    relief_workers: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> PipelineRegistry:
    """The pipelines of a TOML file, exactly those that it names; without a file, the built-in ones.

    Args:
        path: The file.
        upstream: A base URL, in place of a file: one pipeline before it, and all else passed on to it.
        relief_workers: Worker processes of `relief`, where the file says nothing else; None: its own default.
        environ: Where `headers_from_env` and `environment` are looked up; None: the process environment.

    Raises:
        ConfigurationError: The file or an option cannot be used, or a library for a pipeline is not installed.
    """
    if upstream is not None:
        if path is not None:
            raise ConfigurationError(
                "RECOUP_UPSTREAM and RECOUP_PIPELINES are both set: expected one of them; a file may have a pipeline "
                'with path = "/*" of its own'
            )
        return PipelineRegistry(*upstream_parts(upstream))
    if path is None:
        return PipelineRegistry([_relief(_BUILT_IN, _given(workers=relief_workers))])
    environ = os.environ if environ is None else environ
    pipelines: list[Pipeline] = []
    mistakes: list[ConfigurationError] = []
    paths = PathsTaken()
    definitions = read_definitions(path)
    for name, table in definitions.pipelines.items():
        options = OptionTable(path, name, table)
        try:
            pipelines.append(pipeline := _pipeline(options, _Context(environ, relief_workers)))
            paths.take(options, getattr(pipeline, "path", None), getattr(pipeline, "methods", ()))
        except ConfigurationError as error:
            mistakes += options.mistakes
            if error not in options.mistakes and not isinstance(error, SeveralMistakesError):
                mistakes.append(error)
    passthrough: list[Passthrough] = []
    for number, table in enumerate(definitions.passthrough, 1):
        options = OptionTable(path, "", table, f"passthrough {number}")
        try:
            passthrough.append(made := _passthrough(options))
            paths.take(options, made.path, ("any method",))
        except ConfigurationError:
            mistakes += options.mistakes
    if mistakes:
        raise mistakes[0] if len(mistakes) == 1 else SeveralMistakesError(mistakes)
    return PipelineRegistry(pipelines, passthrough)


class PathsTaken:
    """The paths that a file gives, so that no two of its tables have the same."""

    def __init__(self) -> None:
        self._taken: list[tuple[OptionTable, PathPattern, tuple[str, ...]]] = []

    def take(self, options: OptionTable, path: PathPattern | None, methods: tuple[str, ...]) -> None:
        """Take a path for one table.

        Raises:
            ConfigurationError: Another table has it.
        """
        if path is None:
            return
        for other, taken, others in self._taken:
            method = conflict(path, methods, taken, others)
            if method is not None:
                options.mistakes.append(
                    options.fault("path", f"{path.text!r} is that of {other.where}, too ({method}): expected another")
                )
                options.finish()
        self._taken.append((options, path, methods))


def _passthrough(options: OptionTable) -> Passthrough:
    options.check_known(("path", "url"))
    if "path" not in options:
        options.mistakes.append(options.fault("path", f"missing: expected {PATH_RULE}"))
    path = options.path("path")
    url = _url(options, path)
    options.finish()
    assert path is not None  # noqa: S101  # or it was collected, and `finish` raised
    return Passthrough(path, url)


def _url(options: OptionTable, path: PathPattern | None) -> str:
    """The URL of an upstream; if the path is open, without the `*` that both end in."""
    url = options.required("url", _URL_RULE)
    if url is None:
        return ""
    is_open = path is not None and path.open
    if is_open != url.endswith("/*"):
        expected = 'a URL that ends in "/*", as path does' if is_open else 'a URL without "/*", as path has none'
        options.mistakes.append(options.fault("url", f"expected {expected}"))
    url = url[:-1] if url.endswith("/*") else url
    if not is_upstream_url(url) or (is_open and "?" in url):
        # There may be a user with a password in it, which is not to be shown.
        fault = options.fault("url", f"expected {_URL_RULE}") if "@" in url else options.refused("url", _URL_RULE)
        options.mistakes.append(fault)
    return url


def _pipeline(options: OptionTable, context: _Context) -> Pipeline:
    name = options.required("kind", f"one of {', '.join(_KINDS)}")
    if name is None or name not in _KINDS:
        if name is not None:
            options.mistakes.append(options.refused("kind", f"one of {', '.join(_KINDS)}"))
        options.finish()
    kind = _KINDS[name or ""]
    options.check_known(kind.options)
    return kind.make(options, context)


class _Context(NamedTuple):
    """What a pipeline is made from beside its options."""

    environ: Mapping[str, str]
    relief_workers: int | None


class _Kind(NamedTuple):
    options: tuple[str, ...]
    make: Callable[[OptionTable, _Context], Pipeline]


def _make_http(options: OptionTable, context: _Context) -> Pipeline:
    path = options.path("path")
    url = _url(options, path)
    common = options.common()
    method = options.choice("method", METHODS, "POST")
    headers = _upstream_headers(options, context.environ, {*common.key_headers, *common.ignore_headers})
    max_result_mb = options.megabytes("max_result_mb", 256)
    keep_headers = options.header_patterns("keep_headers")
    stream_end = options.words("stream_end")
    word = options.choice("upstream_cache_control", (OBEY, IGNORE), OBEY)
    negative = negative_ttls(options)
    options.finish()
    return HttpPipeline(
        common,
        url=url,
        method=method,
        headers=headers,
        max_result_bytes=int(max_result_mb * 2**20),
        path=path,
        keep_headers=keep_headers,
        stream_end=stream_end,
        obey=word == OBEY,
        negative_ttls=negative,
    )


_URL_RULE = "an http:// or https:// URL with a host, without user, password or fragment"


def _upstream_headers(options: OptionTable, environ: Mapping[str, str], passed_on: set[str]) -> dict[str, str]:
    """The headers that the upstream is sent with every request; values never appear in an error."""
    headers = options.header_table("headers")
    named = options.header_table("headers_from_env")
    for name, variable in named.items():
        if name in headers:
            options.mistakes.append(options.fault("headers_from_env", f"names {name!r}, which headers names, too"))
        value = environ.get(variable, "")
        if not value or not is_header_value(value):
            options.mistakes.append(
                options.fault("headers_from_env", f"expected {variable!r} in the environment, with a text of one line")
            )
        headers[name] = value
    for name in headers:
        if name in passed_on:
            option = "headers_from_env" if name in named else "headers"
            fault = options.fault(option, f"names {name!r}, which is passed on from the caller: expected one of both")
            options.mistakes.append(fault)
    return headers


def _make_python(options: OptionTable, context: _Context) -> Pipeline:
    path = options.required("callable", CALLABLE_RULE)
    if path is not None and not is_callable_path(path):
        options.mistakes.append(options.refused("callable", CALLABLE_RULE))
    common = options.common()
    memory_bytes = _memory(options, DEFAULT_MEMORY_BYTES)
    environment = _worker_variables(options, context.environ)
    options.finish()
    return PythonPipeline(common, path=path or "", memory_bytes=memory_bytes, environment=environment)


def _memory(options: OptionTable, default: int) -> int | None:
    return int(options.megabytes("memory_mb", default / 2**20, zero=True) * 2**20) or None


def _worker_variables(options: OptionTable, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a worker gets because the pipeline names them; values never appear in an error."""
    variables = options.variables("environment")
    options.mistakes += [
        options.fault("environment", f"expected {name!r} in the environment")
        for name in variables
        if name not in environ
    ]
    return {name: environ[name] for name in variables if name in environ}


def _make_relief(options: OptionTable, context: _Context) -> Pipeline:
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
    quota = pipeline_quota(options)
    options.finish()
    return _relief(
        f"{options.file}: pipeline {options.pipeline!r}", {"name": options.pipeline, "quota": quota, **given}
    )


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


_HTTP_OPTIONS = (
    "url",
    "method",
    "headers",
    "headers_from_env",
    "max_result_mb",
    "path",
    "keep_headers",
    "stream_end",
    "upstream_cache_control",
    "negative_ttl_seconds",
)
_RELIEF_OPTIONS = ("kind", "workers", "ttl_seconds", "timeout_seconds", "max_waiting", "memory_mb")
_KINDS: dict[str, _Kind] = {
    "http": _Kind((*COMMON_OPTIONS, *_HTTP_OPTIONS), _make_http),
    "python": _Kind((*COMMON_OPTIONS, "callable", "memory_mb", "environment"), _make_python),
    "relief": _Kind((*_RELIEF_OPTIONS, *QUOTA_OPTIONS), _make_relief),
}


async def _close_all(pipelines: Iterable[Pipeline], grace_seconds: float) -> None:
    await asyncio.gather(*(_close(pipeline, grace_seconds) for pipeline in pipelines))


async def _close(pipeline: Pipeline, grace_seconds: float) -> None:
    try:
        await pipeline.close(grace_seconds)
    except Exception:  # noqa: BLE001  # the others are to be ended all the same
        _log.exception("pipeline_not_closed", extra={"pipeline": pipeline.name})
