"""Two instances of the service, as a user starts them, with one Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from web.running import Running, running

from .redis_server import RedisServer, redis_server
from .support import wait_until


class Cluster:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.server: RedisServer = stack.enter_context(redis_server(folder))
        self.instances: list[Running] = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            variables = {"RECOUP_SHARED_URL": self.server.url, "RECOUP_SHARED_TIMEOUT_SECONDS": "0.5"}
            self.instances.append(stack.enter_context(running(folder / name, **variables)))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path_factory.mktemp("cluster"), stack)


def status(instance: Running, body: bytes) -> str:
    reply = instance.post("quick", body)
    assert (200, body) == (reply.status, reply.body)
    return str(reply.headers["cache-status"])


def tier(instance: Running) -> dict[str, object]:
    found: dict[str, object] = json.loads(instance.ask("GET", "/api/cache/stats").body)["tiers"]["shared"]
    return found


def _share(cluster: Cluster, body: bytes) -> None:
    """Have both instances hold a result that the first one generated."""
    first, second = cluster.instances
    assert "fwd=uri-miss" in status(first, body)
    wait_until(lambda: tier(first)["queue_bytes"] == 0)
    assert "detail=shared" in status(second, body)


def test_what_one_generated_is_a_hit_in_the_other(cluster: Cluster) -> None:
    _share(cluster, b"cat")
    assert "detail" not in status(cluster.instances[1], b"cat")


def test_a_clear_reaches_the_other(cluster: Cluster) -> None:
    _share(cluster, b"dog")
    first, second = cluster.instances
    assert 200 == first.ask("POST", "/api/cache/clear").status
    started = time.monotonic()
    wait_until(lambda: json.loads(second.ask("GET", "/api/cache/stats").body)["entries"] == 0)
    assert time.monotonic() - started < 2.0
    assert "fwd=uri-miss" in status(second, b"dog")


def test_a_server_that_hangs_fails_no_request(cluster: Cluster) -> None:
    first, second = cluster.instances
    cluster.server.pause()
    started = time.monotonic()
    assert "fwd=uri-miss" in status(first, b"while it hangs")
    assert "fwd=uri-miss" in status(second, b"while it hangs")
    for number in range(20):
        assert "fwd=uri-miss" in status(first, b"%d" % number)
    assert time.monotonic() - started < 5.0
    assert not tier(first)["up"]
    cluster.server.go_on()
    wait_until(lambda: bool(tier(first)["up"]) and bool(tier(second)["up"]))
    _share(cluster, b"after it hung")


def test_the_url_is_in_no_log_and_in_no_answer(tmp_path: Path) -> None:
    with (
        redis_server(tmp_path, "--requirepass", "s3cret-word") as server,
        running(tmp_path, RECOUP_SHARED_URL=f"redis://:s3cret-word@127.0.0.1:{server.port}") as service,
    ):
        assert "fwd=uri-miss" in status(service, b"cat")
        assert tier(service)["up"]
        for path in ("/api/cache/stats", "/api/cache/config", "/metrics", "/readyz"):
            assert b"s3cret" not in service.ask("GET", path).body
