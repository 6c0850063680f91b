"""One application for each test: real parts, a clock that stands still, pipelines that cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from recoup import LRUCache
from recoup.settings import Settings
from recoup.web import create_app

from .asgi_client import Client, LoopThread, Serving
from .pipelines import LIMIT_SECONDS, Clock, Counting

Serve = Callable[..., Serving]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> LRUCache:
    return LRUCache(max_size=100, max_memory_mb=16, ttl_seconds=3600, clock=clock)


@pytest.fixture
def settings() -> Settings:
    return Settings(max_body_mb=1.0, threads=16, wait_seconds=LIMIT_SECONDS)


@pytest.fixture
def pipelines() -> Iterator[dict[str, Counting]]:
    """`echo` ignores who asks, `image` takes forms, `private` names no caller, `public` ignores
    one header, `keyed` has headers in its key."""
    made = [
        Counting("echo", ignore_headers=("authorization", "cookie")),
        Counting("image", accepts=["image/png", "image/jpeg"], ignore_headers=("authorization", "cookie")),
        Counting("private"),
        Counting("keyed", key_headers=("Accept-Language", "Authorization"), ignore_headers=("Cookie",)),
        Counting("public", ignore_headers=("Authorization",)),
        Counting("brief", ttl_seconds=10.0),
        Counting("eternal", ttl_seconds=0.0),
        Counting("steady", refresh="nobody"),
        Counting("narrow", max_concurrent=1, max_waiting=0),
    ]
    yield {pipeline.name: pipeline for pipeline in made}
    for pipeline in made:
        pipeline.release()


@pytest.fixture
def echo(pipelines: dict[str, Counting]) -> Counting:
    return pipelines["echo"]


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def serve(loop: LoopThread) -> Serve:
    """Makes an application, served on the test's loop."""
    return lambda *given, **named: Serving(create_app(*given, **named), loop)


@pytest.fixture
def app(serve: Serve, settings: Settings, cache: LRUCache, pipelines: dict[str, Counting]) -> Serving:
    return serve(settings, cache, pipelines)


@pytest.fixture
def client(app: Serving) -> Client:
    return app.test_client()
