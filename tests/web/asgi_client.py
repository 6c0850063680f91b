"""A test client for ASGI applications with the interface of Flask's: one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse
from werkzeug.wrappers import Request

from pipelines.loops import SkippingLoop
from recoup.web.asgi import Application

#: No request of a test takes longer, unless it hangs.
LIMIT_SECONDS = 60.0

Raw = list[tuple[bytes, bytes]]


class LoopThread:
    """An event loop that runs, as a server's does, while the test does something else."""

    def __init__(self) -> None:
        self.loop = SkippingLoop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="test-loop", daemon=True)
        self._thread.start()

    def submit(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine: Any) -> Any:
        return self.submit(coroutine).result(LIMIT_SECONDS)

    def skip(self, seconds: float) -> None:
        """Put the loop's time forward: what has a time limit reaches it, and no test waits for it."""
        self.run(_put_forward(self.loop, seconds))

    def close(self) -> None:
        self.run(_end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LIMIT_SECONDS)
        self.loop.close()


async def _put_forward(loop: SkippingLoop, seconds: float) -> None:
    loop.skipped += seconds


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Exchange:
    """One request to an ASGI application: what it is sent, what it sends, and when the caller leaves."""

    def __init__(self, scope: dict[str, Any], pieces: Iterator[bytes], *, broken: bool = False) -> None:
        self.scope = scope
        self._pieces = pieces
        self._broken = broken
        self._left = asyncio.Event()
        self.status = 0
        self.headers: Raw = []
        self.body: list[bytes] = []
        self.finished = False

    async def receive(self) -> dict[str, Any]:
        piece = next(self._pieces, None)
        if piece is not None:
            return {"type": "http.request", "body": piece, "more_body": True}
        if not self._broken and self._pieces is not _ENDED:
            self._pieces = _ENDED
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._broken:
            await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body.append(bytes(message.get("body", b"")))
            self.finished = not message.get("more_body", False)

    def leave(self) -> None:
        """Close the caller's connection."""
        self._left.set()


_ENDED: Iterator[bytes] = iter(())


class Answer(TestResponse):
    """A response, as Flask's test client gives it."""

    @property
    def key(self) -> str:
        """The key that `Cache-Status` names: it always does."""
        match = re.search(r'; key="([0-9a-f]{32})"$', self.headers["Cache-Status"])
        assert match, self.headers["Cache-Status"]
        return match[1]

    @property
    def cache_status(self) -> str:
        """`Cache-Status` without its key."""
        return self.headers["Cache-Status"].removesuffix(f'; key="{self.key}"')


class Client:
    """Asks an application. Safe under threads: they all share its one event loop."""

    def __init__(self, application: Application, loop: LoopThread) -> None:
        self.application = application
        self._loop = loop

    def open(self, path: str, **given: Any) -> Answer:
        """One request; arguments as of `werkzeug.test.EnvironBuilder`, and `raw_headers` as bytes beside them."""
        raw: Raw = given.pop("raw_headers", [])
        broken = given.pop("broken", False)
        builder = EnvironBuilder(path, **given)
        environ = builder.get_environ()
        body = environ["wsgi.input"].read()
        scope = _scope(environ, raw)
        return self._answered(self._loop.run(self.exchange(scope, body, broken=broken)), builder)

    async def exchange(self, scope: dict[str, Any], body: bytes, *, broken: bool = False) -> Exchange:
        exchange = Exchange(scope, iter([body[at : at + 2**16] for at in range(0, len(body), 2**16)]), broken=broken)
        await self.application(scope, exchange.receive, exchange.send)
        return exchange

    @staticmethod
    def _answered(exchange: Exchange, builder: EnvironBuilder) -> Answer:
        headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers])
        request = Request(builder.get_environ())
        return Answer(exchange.body, str(exchange.status), headers, request)

    def get(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="GET", **given)

    def post(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="POST", **given)

    def put(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="PUT", **given)

    def patch(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="PATCH", **given)

    def delete(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="DELETE", **given)

    def head(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="HEAD", **given)

    def options(self, path: str, **given: Any) -> Answer:
        return self.open(path, method="OPTIONS", **given)


def _scope(environ: dict[str, Any], raw: Raw) -> dict[str, Any]:
    headers: Raw = []
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            headers.append((name[5:].lower().replace("_", "-").encode(), value.encode("latin-1")))
        elif name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value and (name, value) != ("CONTENT_LENGTH", "0"):
            headers.append((name.lower().replace("_", "-").encode(), value.encode("latin-1")))
    path = environ["PATH_INFO"].encode("latin-1")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": "http",
        "path": path.decode("utf-8", "replace"),
        "raw_path": quote(path).encode(),
        "query_string": environ["QUERY_STRING"].encode("latin-1"),
        "root_path": "",
        "headers": headers + raw,
        "client": (environ.get("REMOTE_ADDR", "127.0.0.1"), 50000),
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
    }


class Serving:
    """An application with the event loop that it is served on."""

    def __init__(self, application: Application, loop: LoopThread) -> None:
        self.application = application
        self.loop = loop

    @property
    def service(self) -> Any:
        return self.application.service

    @property
    def flask(self) -> Any:
        return self.application.flask

    def test_client(self) -> Client:
        return Client(self.application, self.loop)

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """The same application for a tool that knows only WSGI."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        exchange = self.loop.run(self.test_client().exchange(_scope(environ, []), body))
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers]
        start_response(f"{exchange.status} {HTTPStatus(exchange.status).phrase}", headers)
        return exchange.body  # type: ignore[no-any-return]

    @contextmanager
    def living(self) -> Iterator[None]:
        """From the server's start to its end, as ASGI's lifespan tells the application of it."""
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        answers: queue.Queue[str] = queue.Queue()

        async def send(message: dict[str, Any]) -> None:
            answers.put(message["type"])

        ended = self.loop.submit(self.application({"type": "lifespan"}, messages.get, send))
        self.loop.run(messages.put({"type": "lifespan.startup"}))
        assert answers.get(timeout=LIMIT_SECONDS) == "lifespan.startup.complete"
        yield
        self.loop.run(messages.put({"type": "lifespan.shutdown"}))
        assert answers.get(timeout=LIMIT_SECONDS) == "lifespan.shutdown.complete"
        ended.result(LIMIT_SECONDS)

    def settle(self) -> None:
        """Wait until no lookup is under way, whose answer may have ended before it: all of it is counted then."""
        assert self.loop.run(self.service.wait_until_idle(LIMIT_SECONDS)), "a lookup is still under way"

    def asking(self, path: str, body: bytes, method: str = "POST", **given: Any) -> Asking:
        """A request that is under way."""
        path_as_sent = given.pop("path_as_sent", None)
        environ = EnvironBuilder(path, method=method, data=body, **given).get_environ()
        scope = _scope(environ, [])
        if path_as_sent is not None:
            scope |= {"raw_path": path_as_sent, "path": path_as_sent.decode("latin-1")}
        return self.loop.run(_begin(self, scope, body))  # type: ignore[no-any-return]


class Asking:
    """A request under way, whose caller may leave."""

    def __init__(self, serving: Serving, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._serving = serving
        self._loop = serving.loop
        self.exchange = exchange
        self._task = task

    def leave(self) -> None:
        self._loop.loop.call_soon_threadsafe(self.exchange.leave)

    def wait(self) -> None:
        """Wait until the caller has its answer, or has left. What is stored and counted may come a moment later."""
        self._loop.run(_ended(self._task))

    def settle(self) -> None:
        """Wait until all lookups have ended, this one's among them, and all is stored and counted."""
        self.wait()
        self._serving.settle()


async def _begin(serving: Serving, scope: dict[str, Any], body: bytes) -> Asking:
    exchange = Exchange(scope, iter([body]))
    task = asyncio.ensure_future(serving.application(scope, exchange.receive, exchange.send))
    return Asking(serving, exchange, task)


async def _ended(task: asyncio.Task[None]) -> None:
    await task
