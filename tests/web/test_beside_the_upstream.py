"""The same request directly and through `recoup serve --upstream`: nothing differs but what the page says."""

from __future__ import annotations

import ast
import gzip
import http.client
import json
import re
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from .running import PATIENCE, running

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/beside-the-upstream.md"
#: What Recoup adds to an answer of the upstream's.
ADDED_TO_RESULTS = {"cache-status", "server-timing", "x-recoup-request-id"}
ADDED_TO_WHAT_PASSES = {"cache-status", "x-recoup-request-id"}
TEXT = b"a text that is worth compressing " * 20
JSON = {"Content-Type": "application/json"}
STATUSES = [200, 201, 202, 203, 204, 206, 301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 500, 501]
STATUSES += [502, 503, 504, 529]


class Answering(BaseHTTPRequestHandler):
    """`/<status>` answers with it, and with headers of many kinds; compressed, for those who take that."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = int(self.path.split("?")[0].rsplit("/", 1)[-1])
        body = b"" if status in (204, 304) else TEXT
        self.send_response(status)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        for name, value in (
            ("Content-Type", "text/plain; charset=utf-8; kind=odd"),
            ("Location", "/elsewhere"),
            ("Retry-After", "7"),
            ("WWW-Authenticate", 'Bearer realm="api"'),
            ("X-RateLimit-Remaining-Tokens", "149984"),
            ("X-Request-Id", "of the upstream"),
            ("Server-Timing", "model;dur=5"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("X-Bytes", "\u00e9"),
        ):
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


class Answered(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Both:
    """An upstream, and Recoup in front of it."""

    def __init__(self, direct: int, through: int) -> None:
        self.direct = direct
        self.through = through

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[Answered, Answered]:
        """The answers to a request: directly, and through Recoup. Each is a request of its own key."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.direct, method, path, body, named), ask(self.through, method, path, body, named)


def ask(port: int, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answered:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        lines = [(name.lower(), value) for name, value in answer.getheaders() if name.lower() != "date"]
        return Answered(answer.status, lines, answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    with running(tmp_path_factory.mktemp("beside"), RECOUP_PIPELINES="", RECOUP_UPSTREAM=url) as service:
        yield Both(server.server_port, service.port)
    server.shutdown()
    thread.join()
    server.server_close()


def assert_alike(direct: Answered, through: Answered, added: set[str]) -> None:
    """Status, body, and every line of the head but those that are added."""
    assert direct.status == through.status
    assert direct.body == through.body
    names = {name for name, _ in direct.headers}
    mine = [line for line in through.headers if line[0] not in added or line in direct.headers]
    assert sorted(direct.headers) == sorted(mine)
    assert added - names <= {name for name, _ in through.headers}


@pytest.mark.parametrize("status", STATUSES)
def test_a_generated_answer_is_the_same_to_the_header(both: Both, status: int) -> None:
    body = json.dumps({"status": status}).encode()
    direct, through = both.ask("POST", f"/v1/{status}", body, Content_Type="application/json")
    assert_alike(direct, through, ADDED_TO_RESULTS)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_what_passes_through_is_the_same_to_the_header(both: Both, method: str, status: int) -> None:
    direct, through = both.ask(method, f"/v1/{status}?a=1&b")
    assert_alike(direct, through, ADDED_TO_WHAT_PASSES)


def test_a_form_is_passed_through(both: Both) -> None:
    direct, through = both.ask("POST", "/v1/200", b"a=1", Content_Type="application/x-www-form-urlencoded")
    assert_alike(direct, through, ADDED_TO_WHAT_PASSES)


def test_what_passes_through_is_compressed_for_those_who_take_it(both: Both) -> None:
    direct, through = both.ask("GET", "/v1/200", Accept_Encoding="gzip")
    assert TEXT == gzip.decompress(through.body)
    assert_alike(direct, through, ADDED_TO_WHAT_PASSES)


def test_a_generated_answer_is_not_compressed(both: Both) -> None:
    """A result answers those who take a coding and those who do not, so the upstream is asked for none."""
    direct, through = both.ask("POST", "/v1/200", b'{"a": 1}', Accept_Encoding="gzip", Content_Type="application/json")
    assert TEXT == gzip.decompress(direct.body) == through.body
    assert "content-encoding" not in dict(through.headers)


def test_an_answer_with_cookies_is_not_stored(both: Both) -> None:
    for _ in range(2):
        _, through = both.ask("POST", "/v1/200", b'{"a": "cookies"}', Content_Type="application/json")
        assert "fwd=uri-miss" in dict(through.headers)["cache-status"]
        assert "not-stored=set-cookie" in dict(through.headers)["cache-status"]


def test_a_websocket_is_refused(both: Both) -> None:
    _, through = both.ask("GET", "/v1/200", Connection="Upgrade", Upgrade="websocket")
    assert 501 == through.status


def test_requests_may_follow_each_other_on_one_connection(both: Both) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", both.through, timeout=PATIENCE)
    sockets = set()
    for number in range(3):
        connection.request("POST", "/v1/200", json.dumps({"n": number}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        assert isinstance(connection.sock, socket.socket)
        sockets.add(connection.sock.getsockname())
    connection.close()
    assert 1 == len(sockets)


# --- the page


def rows() -> list[tuple[str, list[str]]]:
    """Of each row of the page's table: what it is about, and the tests that it names."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(row[0], re.findall(r"`([\w/.]+::\w+)`", row[-1])) for row in cells[1:] if not set(row[0]) <= {"-"}]


def test_each_row_of_the_page_names_a_test() -> None:
    assert len(rows()) > 15
    assert [] == [about for about, tests in rows() if not tests]


@pytest.mark.parametrize(("about", "tests"), rows(), ids=[about for about, _ in rows()])
def test_each_test_that_the_page_names_is_there(about: str, tests: list[str]) -> None:
    for named in tests:
        file, _, name = named.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert name in functions, f"{about}: {named}"


def test_the_page_tells_every_header_that_is_added() -> None:
    text = PAGE.read_text(encoding="utf-8").lower()
    assert [] == [name for name in (*ADDED_TO_RESULTS, "age") if f"`{name}`" not in text]
