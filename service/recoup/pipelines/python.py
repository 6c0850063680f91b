"""The `python` pipeline: a callable of the user's own, in worker processes.

The callable takes one argument, the `recoup.pipelines.protocol.Request`, and returns the result:

- `bytes`: as `application/octet-stream`;
- `str`: as UTF-8, `text/plain; charset=utf-8`;
- a dictionary or a list: as JSON, `application/json`;
- a pair of `bytes` or `str` and a content type.

The request's headers are bytes, all values of a name; `request.header(name)` gives the text of one.

It refuses a request by raising a `recoup.errors.RequestError`, such as `UnprocessableError`; whatever else it raises is
a failed generation. It runs in a process that imports it before its first request and runs one request at a time, so
that it can be late, crash or exhaust its memory without harm to anything but its own request.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar

from recoup.errors import ConfigurationError, GenerationFailedError
from recoup.pipelines.configured import ConfiguredPipeline, PipelineOptions
from recoup.pipelines.headers import is_content_type
from recoup.pipelines.protocol import Prepared, Request, Result
from recoup.pipelines.workers import WorkerPool

#: What a dotted path looks like, in words.
PATH_RULE = '"package.module:function", of a module that can be imported'
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
#: Enough for libraries that reserve much more than they use.
DEFAULT_MEMORY_BYTES = 8 * 2**30
_RETURNS = "bytes, str, a dictionary or list for JSON, or a pair of bytes or str and a content type"


class PythonPipeline(ConfiguredPipeline):
    """Calls a Python callable for each request, in one of `max_concurrent` worker processes.

    Args:
        options: Name, version, limits and headers.
        path: The callable, as `package.module:function`.
        memory_bytes: Address space of one worker; None: no limit.
        environment: Variables that the callable needs, beside those that any program does.
    """

    kind: ClassVar[str] = "python"

    def __init__(
        self,
        options: PipelineOptions,
        *,
        path: str,
        memory_bytes: int | None = DEFAULT_MEMORY_BYTES,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(options)
        self._path = path
        self._pool = WorkerPool(
            workers=self.max_concurrent,
            timeout_seconds=self.timeout_seconds,
            initializer=load_callable,
            initargs=(path,),
            memory_bytes=memory_bytes,
            environment=environment,
        )

    async def generate(self, prepared: Prepared) -> Result:
        """Call it in a worker.

        Raises:
            GenerationFailedError: It raised, returned what is not a result, or its process died.
            GenerationTimeoutError: It was not done within `timeout_seconds`.
            RequestError: It refused the request.
        """
        request: Request = prepared.job
        # Plain dictionaries, which go to another process whatever kind of mapping the caller has.
        request = dataclasses.replace(request, query=dict(request.query), headers=dict(request.headers))
        return await self.rules.apply(await self._pool.run(call, self._path, request), self.aside)

    async def start(self) -> None:
        """Start the workers and import the callable in each.

        Raises:
            ConfigurationError: It cannot be imported, is not there, or is nothing that can be called.
        """
        try:
            await self._pool.start()
        except GenerationFailedError as error:
            raise ConfigurationError(
                f"pipeline {self.name!r}: option 'callable' = {self._path!r} cannot be used: {error}"
            ) from error

    def ready(self) -> bool:
        """Whether a worker runs."""
        return self._pool.ready()

    async def close(self, grace_seconds: float) -> None:
        """Let running calls finish for `grace_seconds`, then end the workers."""
        await self._pool.close(grace_seconds)


def is_callable_path(path: str) -> bool:
    """Whether it looks like `package.module:function` and its package is there.

    Nothing is imported here: the import may be slow, and the service's own process has no need of it.
    """
    package = path.partition(":")[0].partition(".")[0]
    # A worker's __main__ is the worker.
    if not _PATH.fullmatch(path) or package == "__main__":
        return False
    return find_spec(package) is not None


@cache
def _resolve(path: str) -> Callable[[Request], Any]:
    module, _, attributes = path.partition(":")
    function = attrgetter(attributes)(import_module(module))
    if not callable(function):
        raise TypeError(f"{path} is of the type {type(function).__name__}, which cannot be called")
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{path} is a coroutine function; expected a plain function")
    return function  # type: ignore[no-any-return]  # callable() proves no signature


def load_callable(path: str) -> None:
    """Import a callable, so that the first request need not. Runs in a worker.

    Raises:
        Exception: Whatever the import raises; AttributeError or TypeError when there is no such callable.
    """
    _resolve(path)


def call(path: str, request: Request) -> Result:
    """Call a callable and bring what it returns to bytes and content type. Runs in a worker.

    Raises:
        GenerationFailedError: It returned what is not a result.
        Exception: Whatever it raises.
    """
    result = _resolve(path)(request)
    if isinstance(result, tuple):
        if len(result) != 2 or not isinstance(result[0], (bytes, str)) or not is_content_type(result[1]):
            raise _no_result(path, "another tuple")
        body, content_type = result
        return Result(_encoded(path, body), content_type)
    return Result(_encoded(path, result), _default_content_type(result))


def _default_content_type(result: object) -> str:
    if isinstance(result, str):
        return "text/plain; charset=utf-8"
    return "application/json" if isinstance(result, (dict, list)) else "application/octet-stream"


def _encoded(path: str, result: object) -> bytes:
    try:
        if isinstance(result, (dict, list)):
            result = json.dumps(result, ensure_ascii=False, allow_nan=False)
        if isinstance(result, str):
            return result.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise GenerationFailedError(f"{path} returned what cannot be encoded: {error}") from error
    if isinstance(result, (bytes, bytearray, memoryview)):
        return bytes(result)
    raise _no_result(path, type(result).__name__)


def _no_result(path: str, what: str) -> GenerationFailedError:
    return GenerationFailedError(f"{path} returned {what}; a result is {_RETURNS}")
