"""However large a body is, the event loop goes on: what takes long is done elsewhere, or in pieces."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from recoup.pipelines.configured import PipelineOptions
from recoup.pipelines.http import HttpPipeline
from recoup.pipelines.protocol import Request, Result
from recoup.pipelines.workers import WorkerPool

from . import generators
from .loops import LOOPS
from .raw_upstream import Peer, raw_upstream

LONGEST_STALL = 0.020
#: A stall that the code makes is in every round; one that the machine makes is not.
ROUNDS = 6


class Stalls:
    longest = 0.0


@asynccontextmanager
async def watched() -> AsyncIterator[Stalls]:
    """The longest time within the block in which the loop did nothing else, beyond what the machine itself did."""
    stalls, over = Stalls(), asyncio.Event()

    async def tick() -> None:
        while not over.is_set():
            cpu, began = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0.001)
            # Processor time of the loop's own thread: what other processes take from it is not its stall.
            stalls.longest = max(stalls.longest, min(time.perf_counter() - began, time.thread_time() - cpu))

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    try:
        yield stalls
    finally:
        over.set()
        await ticking


def run(loop, work):
    runner = LOOPS[loop]()
    try:
        return runner.run_until_complete(work)
    finally:
        runner.run_until_complete(runner.shutdown_default_executor())
        runner.close()


def stall(loop, work):
    """The longest stall in the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        best = min(best, run(loop, work()))
        if best < LONGEST_STALL:
            break
    return best


@pytest.mark.load
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("megabytes", [5, 50])
def test_a_worker_takes_and_gives_large_bodies(loop, megabytes):
    body = bytes(megabytes << 20)

    async def work() -> float:
        pool = WorkerPool(workers=1, timeout_seconds=60.0)
        await pool.start()
        async with watched() as stalls:
            result = await pool.run(generators.Styles.plain, Request(body))
        await pool.close(0.0)
        assert len(result) == len(body)
        return stalls.longest

    assert stall(loop, work) < LONGEST_STALL


@pytest.mark.load
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("megabytes", [5, 50])
def test_an_upstream_takes_and_gives_large_bodies(loop, megabytes):
    body = bytes(megabytes << 20)

    def echo(peer: Peer) -> None:
        peer.sock.setblocking(True)
        length, head = 0, b""
        while b"\r\n\r\n" not in head:
            head += peer.sock.recv(65536)
        length = len(head.partition(b"\r\n\r\n")[2])
        while length < len(body):
            length += len(peer.sock.recv(1 << 18))
        peer.answer(body)

    with raw_upstream(echo) as upstream:

        async def work() -> float:
            llm = HttpPipeline(PipelineOptions(name="llm", timeout_seconds=60.0), url=upstream.url)
            await llm.start()
            async with watched() as stalls:
                result = await llm.generate(llm.prepare(Request(body)))
            await llm.close(0.0)
            assert isinstance(result, Result)
            assert len(result.body) == len(body)
            return stalls.longest

        assert stall(loop, work) < LONGEST_STALL


@pytest.mark.load
@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_of_single_byte_chunks_is_taken_in_pieces(loop):
    def chunks(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            peer.send(b"1\r\nx\r\n" * 20_000)
        peer.send(b"0\r\n\r\n")

    with raw_upstream(chunks) as upstream:

        async def work() -> float:
            llm = HttpPipeline(PipelineOptions(name="llm", timeout_seconds=60.0), url=upstream.url)
            await llm.start()
            async with watched() as stalls:
                result = await llm.generate(llm.prepare(Request(b"")))
            await llm.close(0.0)
            assert isinstance(result, Result)
            assert len(result.body) == 2_000_000
            return stalls.longest

        assert stall(loop, work) < LONGEST_STALL


@pytest.mark.parametrize("loop", LOOPS)
def test_waiting_for_workers_takes_no_threads(loop):
    """A hundred callers wait for one worker that is busy."""

    async def work() -> tuple[int, int]:
        pool = WorkerPool(workers=1, timeout_seconds=60.0)
        await pool.start()
        before = threading.active_count()
        waiting = [asyncio.create_task(pool.run(time.sleep, 0.01)) for _ in range(100)]
        await waiting[0]
        during = threading.active_count()
        await asyncio.gather(*waiting)
        await pool.close(0.0)
        return before, during

    before, during = run(loop, work())
    assert before == during
