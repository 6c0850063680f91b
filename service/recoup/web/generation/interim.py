# ruff: noqa: D103
"""Until the core and the pipelines are asynchronous themselves: what the door needs of them, in their place."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any


class _Async:
    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    async def generate(self, prepared: Any) -> Any:
        return await asyncio.to_thread(self._pipeline.generate, prepared)

    def prepare(self, request: Any) -> Any:
        import dataclasses

        headers = {name: b", ".join(values).decode("latin-1") for name, values in request.headers.items()}
        return self._pipeline.prepare(dataclasses.replace(request, headers=headers))

    async def start(self) -> None:
        await asyncio.to_thread(self._pipeline.start)

    async def close(self, grace_seconds: float) -> None:
        await asyncio.to_thread(self._pipeline.close, grace_seconds)


class _Registry(Mapping[str, Any]):
    def __init__(self, pipelines: Mapping[str, Any]) -> None:
        self._pipelines = {name: as_async(pipeline) for name, pipeline in pipelines.items()}

    def __getitem__(self, name: str) -> Any:
        return self._pipelines[name]

    def __iter__(self) -> Any:
        return iter(self._pipelines)

    def __len__(self) -> int:
        return len(self._pipelines)

    async def start(self) -> None:
        for pipeline in self._pipelines.values():
            await pipeline.start()

    async def close(self, grace_seconds: float) -> None:
        for pipeline in self._pipelines.values():
            await pipeline.close(grace_seconds)


def as_async(pipeline: Any) -> Any:
    return pipeline if inspect.iscoroutinefunction(pipeline.generate) else _Async(pipeline)


def async_registry(pipelines: Mapping[str, Any]) -> Any:
    return _Registry(pipelines)
