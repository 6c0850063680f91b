"""A failed request leaves nothing behind: its body is free as soon as its error is, without a garbage collection."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator

import pytest

from recoup.errors import RecoupError
from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.protocol import Pipeline, Request
from recoup.pipelines.python import PythonPipeline
from recoup.pipelines.relief import ReliefPipeline

from . import generators
from .loops import LOOPS
from .raw_upstream import Peer, raw_upstream


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def fail(pipeline: Pipeline, body: bytes) -> None:
    try:
        await pipeline.generate(pipeline.prepare(Request(body)))
    except RecoupError:
        return
    raise AssertionError("it did not fail")


def references_left(loop: str, pipeline: Pipeline, body: bytearray) -> int:
    """How many references to a body are left after a generation that fails and before anything else happens."""

    async def run() -> int:
        await pipeline.start()
        try:
            data = bytes(body)
            before = sys.getrefcount(data)
            await fail(pipeline, data)
            await asyncio.sleep(0)
            return sys.getrefcount(data) - before
        finally:
            await pipeline.close(0.0)

    runner = LOOPS[loop]()
    try:
        return runner.run_until_complete(run())
    finally:
        runner.run_until_complete(runner.shutdown_default_executor())
        runner.close()


def own(name: str, **options: float) -> PythonPipeline:
    chosen = PipelineOptions(name="own", **{"max_concurrent": 1, "timeout_seconds": 60.0, **options})  # type: ignore[arg-type]
    return PythonPipeline(chosen, path=f"{generators.__name__}:{name}")


FAILURES: dict[str, tuple[Callable[[], Pipeline], bytes]] = {
    "the callable refuses": (lambda: own("fail_by_first_byte"), b"refuse"),
    "the callable raises": (lambda: own("fail_by_first_byte"), b"other"),
    "the worker dies": (lambda: own("fail_by_first_byte"), b"die"),
    "the worker is late": (lambda: own("fail_by_first_byte", timeout_seconds=1.0), b"hang"),
    "the image cannot be decoded": (lambda: ReliefPipeline(workers=1), b"garbage"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_body_is_free_once_its_generation_in_a_worker_failed(loop, failure):
    make, word = FAILURES[failure]
    assert 0 == references_left(loop, make(), bytearray(word + bytes(5_000_000)))


def refuse(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno")


def break_off(peer: Peer) -> None:
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")


def talk_nonsense(peer: Peer) -> None:
    peer.wait_for_more()
    peer.send(b"nonsense\r\n\r\n")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("script", [refuse, break_off, talk_nonsense], ids=lambda script: script.__name__)
def test_a_body_is_free_once_its_exchange_failed(loop, script):
    with raw_upstream(script) as upstream:
        llm = HttpPipeline(PipelineOptions(name="llm", timeout_seconds=60.0), url=upstream.url)
        assert 0 == references_left(loop, llm, bytearray(5_000_000))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_body_is_free_where_there_is_no_upstream(loop):
    llm = HttpPipeline(PipelineOptions(name="llm", timeout_seconds=60.0), url="http://127.0.0.1:9/")
    assert 0 == references_left(loop, llm, bytearray(5_000_000))
