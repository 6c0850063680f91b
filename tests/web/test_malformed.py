"""Malformed requests against the real server, as bytes: refused, and nothing is generated, stored or counted."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .raw import chunked, connect, head_of, post, status_of
from .running import Running, running

PATH = "/api/generate/quick"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("malformed")) as service:
        yield service


def figures(service: Running) -> dict[str, int]:
    stats = json.loads(service.ask("GET", "/api/cache/stats").body)
    return {name: stats[name] for name in ("entries", "hits", "misses", "bypassed", "generations")}


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(chunked(PATH, b"-5\r\nhello\r\n0\r\n\r\n"), id="a chunk of -5"),
        pytest.param(chunked(PATH, b"5\nhello\n0\n\n"), id="bare LF"),
        pytest.param(chunked(PATH, b"zz\r\nhello\r\n0\r\n\r\n"), id="a chunk of zz"),
        pytest.param(chunked(PATH, b"10000000000000005\r\nhello\r\n0\r\n\r\n"), id="a chunk of 2^64+5"),
        pytest.param(chunked(PATH, b"5\r\nhello\r\nzz\r\n"), id="a good chunk, then a broken one"),
        pytest.param(chunked(PATH, b"5\r\nhelloworld\r\n0\r\n\r\n"), id="more than the chunk says"),
        pytest.param(b"POST /api/generate/quick HTTP/1.1\r\nContent-Length: 3\r\n\r\ncat", id="no Host"),
        pytest.param(post(PATH, b"cat", b"Host: y"), id="two Hosts"),
        pytest.param(post(PATH, b"cat", b"Host: x"), id="one Host twice"),
        pytest.param(b"POST /api/generate/quick HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\ncat", id="empty Host"),
        pytest.param(post(PATH, b"cat!", b"Content-Length: 3"), id="two lengths"),
        pytest.param(post(PATH, b"cat", length=-3), id="a length below zero"),
        pytest.param(chunked(PATH, b"3\r\ncat\r\n0\r\n\r\n", [b"Transfer-Encoding: gzip"]), id="two encodings"),
        pytest.param(chunked(PATH, b"3\r\ncat\r\n0\r\n\r\n", [b"Transfer-Encoding: chunked"]), id="chunked twice"),
        pytest.param(
            b"POST /api/generate/quick HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
            b"3\r\ncat\r\n0\r\n\r\n",
            id="an encoding that is not decoded",
        ),
        pytest.param(post(PATH, b"cat", b"X-Folded: a\r\n b"), id="a folded header"),
        pytest.param(post(PATH, b"cat", b"X-Space : a"), id="a space before the colon"),
        pytest.param(post(PATH, b"cat", b"Content-Type: text/a", b"Content-Type: text/b"), id="two content types"),
        pytest.param(post(PATH, b"no gzip", b"Content-Encoding: gzip"), id="gzip that is none"),
        pytest.param(post(PATH, gzip.compress(b"cat" * 99)[:-9], b"Content-Encoding: gzip"), id="gzip cut short"),
        pytest.param(post(PATH, gzip.compress(b"") * 5000, b"Content-Encoding: gzip"), id="thousands of members"),
    ],
)
def test_it_is_400_and_nothing_is_generated_or_stored(service: Running, request_bytes: bytes) -> None:
    before = figures(service)
    assert 400 == status_of(service.port, request_bytes)
    assert before == figures(service)


@pytest.mark.parametrize("length", [0, 3, 13, 99])
def test_where_there_are_chunks_and_a_length_the_chunks_count_and_nothing_after_them(
    service: Running, length: int
) -> None:
    """RFC 9112, 6.1: whoever reads it by its length sees another end, so the connection is closed after the answer."""
    hidden = post(PATH, b"smuggled")
    with connect(service.port) as connection:
        connection.sendall(chunked(PATH, b"3\r\ncat\r\n0\r\n\r\n", [b"Content-Length: %d" % length]) + hidden)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert 1 == received.count(b"HTTP/1.1 ")
    assert received.endswith(b"\r\n\r\ncat")


def test_a_body_that_breaks_off_generates_nothing(service: Running) -> None:
    before = figures(service)
    with connect(service.port) as connection:
        connection.sendall(post(PATH, b"ca", length=3))
    with connect(service.port) as connection:
        connection.sendall(chunked(PATH, b"5\r\nhel"))
    service.ask("GET", "/healthz")
    assert before == figures(service)


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(b"coded"), b"gzip", 200),
        (gzip.compress(b"co") + gzip.compress(b"ded"), b"x-gzip", 200),
        (zlib.compress(b"coded"), b"deflate", 200),
        (zlib.compress(b"coded")[2:-4], b"Deflate", 200),
        (b"coded", b"identity", 200),
        (b"coded", b"br", 415),
        (gzip.compress(gzip.compress(b"coded")), b"gzip, gzip", 415),
        (gzip.compress(b"x" * 40 * 2**20), b"gzip", 413),
    ],
    ids=["gzip", "two members", "zlib", "raw deflate", "identity", "brotli", "twice", "a bomb"],
)
def test_a_coded_body_is_decoded_within_the_limit_or_refused(
    service: Running, body: bytes, coding: bytes, status: int
) -> None:
    service.post("quick", b"coded")
    with connect(service.port) as connection:
        connection.sendall(post(PATH, body, b"Content-Encoding: " + coding))
        head = head_of(connection)
    assert status == int(head.split()[1])
    # One meaning, one key: it is the hit of what was sent plainly.
    assert status != 200 or b"recoup; hit" in head


def test_key_headers_differ_in_every_byte_and_their_names_are_exact(tmp_path: Path) -> None:
    toml = '[pipelines.quick]\nkind = "python"\ncallable = "generators:quick"\nkey_headers = ["Cookie", "X-Tenant"]\n'
    (tmp_path / "pipelines.toml").write_text(toml)
    callers = [
        b"Cookie: name=Jos\xc3\xa9; sid=111",
        b"Cookie: name=Zo\xc3\xab; sid=222",
        b"Cookie: name=Jos\xe9; sid=111",
        b"Cookie:",
        b"X-Tenant: a",
        b"X-Tenant: a\r\nX-Tenant: b",
        b"X-Tenant: b\r\nX-Tenant: a",
    ]
    with running(tmp_path) as service:
        heads = []
        for caller in [b"X-Other: none", b"X_Tenant: a", *callers]:
            with connect(service.port) as connection:
                connection.sendall(post(PATH, b"cat", caller))
                heads.append(head_of(connection))
    assert [b"fwd=uri-miss", b"recoup; hit"] + [b"fwd=uri-miss"] * len(callers) == [
        b"recoup; hit" if b"recoup; hit" in head else b"fwd=uri-miss" for head in heads
    ]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via", "X-Forwarded-Host", "X-Real-Ip"])
@pytest.mark.parametrize("value", [b"\xc3\xa9", b"", b"192.0.2.1"], ids=["not ASCII", "empty", "an address"])
def test_a_request_that_a_proxy_forwarded_is_not_let_into_management(service: Running, name: str, value: bytes) -> None:
    host = b"Host: localhost"
    plain = b"GET /api/cache/stats HTTP/1.1\r\n" + host + b"\r\n"
    assert 200 == status_of(service.port, plain + b"\r\n")
    assert 401 == status_of(service.port, plain + name.encode() + b": " + value + b"\r\n\r\n")


@pytest.mark.parametrize("path", [b"/api/cache/stats", b"/api/cache/clear"])
def test_a_page_with_an_opaque_origin_is_not_let_into_management(service: Running, path: bytes) -> None:
    """As a result is one, which a browser shows in a sandbox."""
    method = b"POST" if path.endswith(b"clear") else b"GET"
    head = method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
    assert 401 == status_of(service.port, head + b"Origin: null\r\n\r\n")
    assert 200 == status_of(service.port, head + b"\r\n")


def test_a_directive_beside_what_is_not_ascii_is_read(service: Running) -> None:
    with connect(service.port) as connection:
        connection.sendall(post(PATH, b"secret", b"Cache-Control: no-store; reason=\xc3\xa9"))
        assert b"fwd=bypass; detail=request" in head_of(connection)


def test_every_generated_answer_is_sandboxed_in_a_browser(service: Running) -> None:
    answers = [
        service.post("quick", b"<script>"),
        service.post("quick", b"<script>"),
        service.post("quick", b"x" * 10**6),
    ]
    for answer in [*answers, service.ask("POST", "/api/generate/quick", b"<b>", Content_Encoding="br")]:
        assert ("nosniff", "sandbox") == (
            answer.headers["x-content-type-options"],
            answer.headers["content-security-policy"],
        )
