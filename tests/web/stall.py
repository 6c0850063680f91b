"""A program: how long the event loop stands still while it serves what takes long: seconds by kind of request."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from typing import Any, ClassVar

from recoup import LRUCache
from recoup.pipelines.aside import AT_HOME_BYTES
from recoup.pipelines.configured import ConfiguredPipeline, PipelineOptions
from recoup.pipelines.group_templates import parse_template
from recoup.pipelines.protocol import Prepared, Result
from recoup.pipelines.registry import PipelineRegistry
from recoup.settings import Settings
from recoup.web import create_app

from .asgi_client import Exchange

TICK_SECONDS = 0.001
ROUNDS = 12
#: What is as quick as that once is not tried again.
QUICK_SECONDS = 0.010


class Short(ConfiguredPipeline):
    """Keys its request as configured pipelines do, and generates nothing of length."""

    kind: ClassVar[str] = "python"

    async def generate(self, prepared: Prepared) -> Result:
        return Result(b"short", "text/plain")

    async def start(self) -> None:
        """Nothing has to be started."""

    def ready(self) -> bool:
        return True

    async def close(self, grace_seconds: float) -> None:
        """Nothing has to be ended."""


class FromSocket(Exchange):
    """A request whose pieces come one by one, as a server hands them over."""

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        return await super().receive()


def scope(method: str, path: str, kind: str = "", length: int = 0) -> dict[str, Any]:
    headers = [(b"host", b"x"), (b"content-length", b"%d" % length)]
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-type", kind.encode())] if kind else headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8080),
    }


async def tick(stalls: list[float]) -> None:
    before = time.perf_counter()
    while True:
        await asyncio.sleep(TICK_SECONDS)
        now = time.perf_counter()
        stalls.append(now - before - TICK_SECONDS)
        before = now


MEGABYTE = 2**20


def texts(size: int) -> list[bytes]:
    """JSON of so many bytes. What a parser, or a look at the text before it, takes longest for depends on its parts."""
    return [
        b'{"text": "' + b"x" * (size - 12) + b'"}',
        b'["' + b'\\"' * (size // 2 - 2) + b'"]',
        json.dumps(["\U0001f600" * (size // 4 - 4)], ensure_ascii=False).encode(),
        json.dumps({f"{number:x}": "z" * (size // 90_000 - 12) for number in range(90_000)}).encode()[:size],
        b"[" + b"[]," * (size // 3 - 2) + b"[]]",
        b"[" + b",".join([b"1" * 4000] * (size // 4001)) + b"]",
    ]


async def main(megabytes: int, *, at_home: bool = False) -> dict[str, float]:
    """The longest stall of each kind of request, in the best of some rounds: others' work is not in every one."""
    settings = Settings(max_body_mb=64.0)
    options = PipelineOptions(name="short", groups=(parse_template("text:{/text}"),))
    registry = PipelineRegistry([Short(options)])
    if not at_home:
        await registry.start()
    app = create_app(settings, LRUCache(), registry)
    image = bytes(megabytes * MEGABYTE)
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--x--\r\n"
    asked = [
        ("POST", "/api/generate/short", "image/png", image),
        ("POST", "/api/generate/short", "multipart/form-data; boundary=x", form),
        ("POST", "/api/generate/short", "application/json", b"[" * 50_000 + b"]" * 50_000),
        (
            "POST",
            "/api/generate/short",
            "application/json",
            json.dumps([{"a": number} for number in range(30_000)]).encode(),
        ),
        *(("POST", "/api/generate/short", "application/json", text) for text in texts(31 * MEGABYTE)),
        *(("POST", "/api/generate/short", "application/json", text) for text in texts(AT_HOME_BYTES)),
        ("GET", "/metrics", "", b""),
        ("GET", "/openapi.json", "", b""),
    ]
    stalls: list[float] = []
    ticker = asyncio.ensure_future(tick(stalls))
    shortest = [math.inf] * len(asked)
    for _ in range(ROUNDS):
        for place, (method, path, kind, body) in enumerate(asked):
            if shortest[place] < QUICK_SECONDS:
                continue
            pieces = iter([body[at : at + 2**16] for at in range(0, len(body), 2**16)])
            await asyncio.sleep(0.02)
            stalls.clear()
            exchange = FromSocket(scope(method, path, kind, len(body)), pieces)
            await app(exchange.scope, exchange.receive, exchange.send)
            assert exchange.status in (200, 400, 415), (exchange.status, exchange.body)
            await asyncio.sleep(0.005)
            shortest[place] = min(shortest[place], max(stalls))
    ticker.cancel()
    await registry.close(0.0)
    return {
        f"{kind or path}, {len(body)} bytes, {bytes(body[:12])!r}": stall
        for (_, path, kind, body), stall in zip(asked, shortest, strict=True)
    }


if __name__ == "__main__":
    sys.setswitchinterval(0.001)  # as `recoup serve` does
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), at_home="at-home" in sys.argv))))
