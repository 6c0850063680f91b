"""The service under load, with real results: reliefs of 1.1 MB. What it holds, and what hit, miss and scrape cost."""

from __future__ import annotations

import io
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import urllib3
from PIL import Image

from benchmarks import servers
from benchmarks.load import Load, load
from benchmarks.table import Row

_PATH = "/api/generate/relief?quality=preview"
_ENTRIES = 100
_REPLACED = 2
_CONNECTIONS = 8
_HIT_SECONDS = 2
_ROUNDS = 3
_SCRAPES = 40
_FORMATS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def photograph(number: int) -> bytes:
    """A small image, another for each number: soft hills of 256 by 192 pixels, as a JPEG of a few KB."""
    coarse = Image.frombytes("L", (12, 9), random.Random(number).randbytes(12 * 9))
    content = io.BytesIO()
    coarse.resize((256, 192), Image.Resampling.BICUBIC).save(content, "JPEG", quality=80)
    return content.getvalue()


@dataclass(frozen=True, slots=True)
class _Service:
    """The service, and this side's connections to it."""

    server: servers.Server
    pool: urllib3.PoolManager

    def generate(self, number: int) -> None:
        answer = self.pool.request(
            "POST", self.server.url + _PATH, body=photograph(number), headers={"Content-Type": "image/jpeg"}
        )
        if answer.status != 200:
            raise RuntimeError(f"a generation was answered {answer.status}: {answer.data[:200]!r}")

    def generate_all(self, numbers: Sequence[int]) -> None:
        """Ask for each, over several connections."""
        with ThreadPoolExecutor(_CONNECTIONS) as threads:
            list(threads.map(self.generate, numbers))

    def clear(self) -> None:
        self.pool.request("POST", f"{self.server.url}/api/cache/clear", json={})

    def accounted(self) -> int:
        """Bytes that the cache says it holds."""
        stats = self.pool.request("GET", f"{self.server.url}/api/cache/stats").json()
        return int(stats["memory_bytes"])

    def scrape(self, accept: str) -> float:
        """Scrape once; seconds that it took."""
        started = time.perf_counter()
        answer = self.pool.request("GET", f"{self.server.url}/metrics", headers={"Accept": accept})
        if answer.status != 200 or not answer.headers["Content-Type"].startswith(accept.partition(";")[0]):
            raise RuntimeError(f"a scrape was answered {answer.status}, {answer.headers['Content-Type']}")
        return time.perf_counter() - started

    def hits(self, connections: int, seconds: int) -> Load:
        """Ask for one stored result again and again."""
        return load(
            self.server.url + _PATH,
            photograph(0),
            connections=connections,
            seconds=seconds,
            content_type="image/jpeg",
        )


def under_load() -> list[Row]:
    """Memory, processor time and scrapes of one service, one after another."""
    pool = urllib3.PoolManager(maxsize=_CONNECTIONS, retries=False)
    with servers.recoup(CACHE_MAX_SIZE=str(_ENTRIES), RECOUP_PIPELINES="") as server, pool:
        service = _Service(server, pool)
        return [*_memory(service), *_processor(service), *_scrapes(service), *_latency(service)]


def _memory(service: _Service) -> list[Row]:
    """What the serving process grew by beside what the cache accounts for: filled, under hits, and replacing."""
    numbers = range(_ENTRIES * (1 + _REPLACED))
    service.generate_all([*range(-2 * _CONNECTIONS, 0)] * 2)
    service.clear()
    before = service.server.resident_bytes()
    rows = []
    phases: dict[str, Callable[[], object]] = {
        "filled": lambda: service.generate_all(numbers[:_ENTRIES]),
        "under hits": lambda: service.generate_all([*numbers[:_ENTRIES]] * 10),
        "replaced": lambda: service.generate_all(numbers[_ENTRIES:]),
    }
    for name, work in phases.items():
        with _sampling(service.server.resident_bytes) as samples:
            work()
        accounted, highest = service.accounted(), max(samples) - before
        figure = f"accounted {accounted / 1e6:.1f} MB, grew by {(samples[-1] - before) / 1e6:.1f} MB"
        figure += f", at most {highest / 1e6:.1f} MB"
        rows.append(
            Row(f"memory of {_ENTRIES} reliefs, {name}", "what is accounted", figure, highest / accounted, at_most=1.1)
        )
    return rows


@contextmanager
def _sampling(read: Callable[[], int]) -> Iterator[list[int]]:
    """Read something again and again while the block runs."""
    samples = [read()]
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.05):
            samples.append(read())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
        samples.append(read())


def _processor(service: _Service) -> list[Row]:
    """Processor time of a miss and of a hit: of the service, and of its workers."""
    rows = []
    misses = range(1_000_000, 1_000_000 + _ENTRIES // 2)
    used = _Used(service.server)
    service.generate_all(misses)
    rows.append(Row("processor time of a miss", f"{_CONNECTIONS} connections", used.figure(len(misses))))
    service.generate(0)
    for connections in (1, _CONNECTIONS):
        used = _Used(service.server)
        done = service.hits(connections, _HIT_SECONDS)
        rows.append(Row("processor time of a hit", f"{connections} connections", used.figure(done.requests)))
    return rows


class _Used:
    """Processor time since it was made."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server
        self._all, self._workers = server.cpu_seconds(), server.worker_cpu_seconds()

    def service_seconds(self) -> float:
        """What the service itself has used."""
        return self._server.cpu_seconds() - self._all - self._worker_seconds()

    def _worker_seconds(self) -> float:
        return self._server.worker_cpu_seconds() - self._workers

    def figure(self, requests: int) -> str:
        """The same for one of so many requests, in words."""
        service, workers = self.service_seconds() / requests, self._worker_seconds() / requests
        return f"service {service * 1e6:.0f} us, workers {workers * 1e6:.0f} us"


def _scrapes(service: _Service) -> list[Row]:
    """What a scrape costs while the service is idle, and how long it takes while hits keep it busy."""
    rows = []
    for name, accept in _FORMATS.items():
        used = _Used(service.server)
        idle = statistics.median(service.scrape(accept) for _ in range(_SCRAPES))
        processor = used.service_seconds() / _SCRAPES
        busy = statistics.median(_scraped_under_hits(service, accept))
        figure = f"{processor * 1e3:.1f} ms of processor, {idle * 1e3:.1f} ms idle, {busy * 1e3:.1f} ms under hits"
        rows.append(Row(f"a scrape, {name}", "the same service, idle", figure, busy / idle))
    return rows


def _scraped_under_hits(service: _Service, accept: str) -> list[float]:
    with ThreadPoolExecutor(1) as thread:
        hits = thread.submit(service.hits, _CONNECTIONS, _HIT_SECONDS)
        times = []
        while not hits.done():
            times.append(service.scrape(accept))
            time.sleep(0.1)
        hits.result()
    return times


def _latency(service: _Service) -> list[Row]:
    """Hits with a scrape each second beside hits without, in turn."""
    plain: list[Load] = []
    scraped: list[Load] = []
    for _ in range(_ROUNDS):
        plain.append(service.hits(_CONNECTIONS, _HIT_SECONDS))
        with _each_second(lambda: service.scrape(_FORMATS["OpenMetrics"])):
            scraped.append(service.hits(_CONNECTIONS, _HIT_SECONDS))
    rows = []
    for name, time_of in (("50th", lambda load: load.p50), ("99th", lambda load: load.p99)):
        without = statistics.median(map(time_of, plain))
        with_scrapes = statistics.median(map(time_of, scraped))
        figure = f"{with_scrapes * 1e3:.2f} ms, without {without * 1e3:.2f} ms"
        what = f"hits with a scrape each second, {name} percentile"
        rows.append(Row(what, "without a scrape", figure, with_scrapes / without))
    return rows


@contextmanager
def _each_second(work: Callable[[], object]) -> Iterator[None]:
    """Do something at once, and each second while the block runs."""
    over = threading.Event()

    def repeat() -> None:
        work()
        while not over.wait(1.0):
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
