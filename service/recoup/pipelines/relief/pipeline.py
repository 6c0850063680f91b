"""The pipeline `relief`: what it takes, what it tells of itself, and its workers."""

from __future__ import annotations

import os
from typing import Any

from recoup.errors import UnprocessableError, UnsupportedMediaError
from recoup.pipelines.protocol import Prepared, Request, Result
from recoup.pipelines.quota_options import NO_QUOTA, PipelineQuota
from recoup.pipelines.relief.generation import CONTENT_TYPES, generate, warm_up
from recoup.pipelines.relief.parameters import DEFAULTS, SPECIFICATION, canonical, read
from recoup.pipelines.workers import WorkerPool

#: Changes whenever the same request gives another mesh than before.
VERSION = "2"
ACCEPTS = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
#: More workers are a matter of memory: each may take about a gigabyte at `fine`.
MOST_WORKERS = 8

#: Address space of one worker: over twice what the largest image takes at `fine`, which is 1.7 GiB.
DEFAULT_MEMORY_BYTES = 4 * 2**30

_ACCEPTED = frozenset((*ACCEPTS, None))
_CANONICAL_DEFAULTS = canonical(DEFAULTS)


class ReliefPipeline:
    """An image becomes a relief mesh, in worker processes.

    Args:
        workers: Worker processes; None: one for each core, at most `MOST_WORKERS`.
        name: Its name.
        ttl_seconds: Seconds that a result is kept; None: the cache's own default; 0: never expires.
        timeout_seconds: Seconds that one generation may take.
        max_concurrent: Generations at one time; None: as many as there are workers.
        max_waiting: Callers that may wait for their turn.
        memory_bytes: Address space of one worker; None: no limit.
    """

    kind = "relief"
    version = VERSION
    key_headers: tuple[str, ...] = ()
    ignore_headers = ("authorization", "cookie")

    def __init__(
        self,
        *,
        workers: int | None = None,
        name: str = "relief",
        ttl_seconds: float | None = None,
        timeout_seconds: float = 120.0,
        max_concurrent: int | None = None,
        max_waiting: int = 64,
        memory_bytes: int | None = DEFAULT_MEMORY_BYTES,
        quota: PipelineQuota = NO_QUOTA,
    ) -> None:
        self.workers = workers if workers is not None else min(os.cpu_count() or 1, MOST_WORKERS)
        self.name = name
        self.ttl_seconds = ttl_seconds
        self.timeout_seconds = timeout_seconds
        self.max_concurrent = max_concurrent if max_concurrent is not None else self.workers
        self.max_waiting = max_waiting
        self.quota = quota
        self._pool = WorkerPool(
            workers=self.workers, timeout_seconds=timeout_seconds, initializer=warm_up, memory_bytes=memory_bytes
        )

    def prepare(self, request: Request) -> Prepared:
        """Check the media type and the parameters. The body is not looked into: that is the workers' affair."""
        if request.content_type not in _ACCEPTED:
            raise UnsupportedMediaError(
                f"the media type {request.content_type!r} is not supported; expected one of {', '.join(ACCEPTS)}",
                allowed=ACCEPTS,
            )
        if not request.body:
            raise UnprocessableError("the body is empty; it must be an image", allowed=ACCEPTS)
        if not request.query:
            return Prepared((_CANONICAL_DEFAULTS, request.body), (request.body, DEFAULTS))
        parameters = read(request.query)
        return Prepared((canonical(parameters), request.body), (request.body, parameters))

    async def generate(self, prepared: Prepared) -> Result:
        """Generate in a worker."""
        return await self._pool.run(generate, *prepared.job)

    def describe(self) -> dict[str, Any]:
        """What it takes, for `GET /api/pipelines` and the API's description."""
        return {
            "name": self.name,
            "kind": self.kind,
            "version": self.version,
            "description": "An image becomes a watertight, printable relief: bright is high, dark is low.",
            "accepts": list(ACCEPTS),
            "produces": list(CONTENT_TYPES.values()),
            "parameters": [parameter.describe() for parameter in SPECIFICATION],
            "path": None,
            "ttl_seconds": self.ttl_seconds,
            "timeout_seconds": self.timeout_seconds,
            "max_concurrent": self.max_concurrent,
            "max_waiting": self.max_waiting,
            "key_headers": list(self.key_headers),
            "ignore_headers": list(self.ignore_headers),
        }

    async def start(self) -> None:
        """Start the workers, and wait until they have loaded their libraries."""
        await self._pool.start()

    def ready(self) -> bool:
        """Whether some worker is up."""
        return self._pool.ready()

    async def close(self, grace_seconds: float) -> None:
        """End the workers; running generations may finish within the grace."""
        await self._pool.close(grace_seconds)
