"""Groups from the file and from the upstream, and purges by them, through the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recoup import LRUCache
from recoup.check import check
from recoup.errors import ConfigurationError
from recoup.pipelines.registry import load_pipelines
from recoup.settings import Settings

from .asgi_client import LoopThread, Serving
from .conftest import Serve
from .scripted import Scripted

FILE = """
[pipelines.chat]
kind = "http"
url = "{url}/up/chat"
path = "/v1/chat"
key_headers = ["X-Tenant"]
groups = ["model:{/model}", "tenant:{header:X-Tenant}", "q:{query:q}"]
"""
PATHS = ["/v1/chat", "/api/generate/chat"]
LARGE = "x" * (1 << 17)


@pytest.fixture
def upstream(loop: LoopThread) -> Iterator[Scripted]:
    scripted = Scripted(loop)
    yield scripted
    scripted.close()


@pytest.fixture
def serving(loop: LoopThread, upstream: Scripted, serve: Serve, cache: LRUCache, tmp_path: Path) -> Iterator[Serving]:
    file = tmp_path / "pipelines.toml"
    file.write_text(FILE.replace("{url}", upstream.url))
    registry = load_pipelines(file)
    loop.run(registry.start())
    yield serve(Settings(wait_seconds=60.0), cache, registry)
    loop.run(registry.close(0.0))


def ask(serving: Serving, path: str, **members: Any) -> Any:
    return serving.asking(
        path, json.dumps(members).encode(), "POST", content_type="application/json", headers={"X-Tenant": "t1"}
    )


def test_a_pipeline_has_the_quota_of_its_file_and_says_so(serve: Serve, cache: LRUCache, tmp_path: Path) -> None:
    file = tmp_path / "pipelines.toml"
    quota = {"max_entries": 2, "max_memory_mb": 2.5, "reserve_memory_mb": 1.0}
    options = "\n".join(f"{name} = {value}" for name, value in quota.items())
    file.write_text(f'[pipelines.chat]\nkind = "http"\nurl = "http://127.0.0.1:9/"\n{options}\n')
    registry = load_pipelines(file)
    assert quota.items() <= registry["chat"].describe().items()
    serve(Settings(wait_seconds=60.0), cache, registry)
    for number in range(4):
        cache.set(number, b"x", pipeline="chat")
    assert {"quota": 2} == {cause: count for cause, count in cache.stats().evictions.items() if count}


def test_reserves_over_the_limit_of_the_cache_stop_the_start_and_fail_the_check(
    serve: Serve, cache: LRUCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pipelines.toml"
    file.write_text('[pipelines.chat]\nkind = "http"\nurl = "http://127.0.0.1:9/"\nreserve_memory_mb = 100000\n')
    with pytest.raises(ConfigurationError, match="the pipelines reserve 100000 MB"):
        serve(Settings(wait_seconds=60.0), cache, load_pipelines(file))
    assert 2 == check({"RECOUP_PIPELINES": str(file)})
    assert "the pipelines reserve 100000 MB (reserve_memory_mb): expected less than" in capsys.readouterr().err


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", ["", LARGE], ids=["small", "large"])
def test_a_result_is_in_the_groups_of_its_request_and_of_its_upstream(
    serving: Serving, upstream: Scripted, cache: LRUCache, path: str, text: str
) -> None:
    asking = ask(serving, f"{path}?q=1&q=2", model="small", text=text)
    upstream.next().answer(200, b"an answer", Cache_Groups='"up", "model:small"')
    asking.settle()
    (entry,) = cache.entries()
    assert ["model:small", "tenant:t1", "q:1", "q:2", "up"] == entry["groups"]
    cache.purge(["up"])
    assert 0 == len(cache)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("group", ["model:small", "up"])
def test_a_generation_that_began_before_a_purge_is_not_stored(
    serving: Serving, upstream: Scripted, cache: LRUCache, path: str, group: str
) -> None:
    """Whether its group is known from the request, or from the upstream's answer alone."""
    asking = ask(serving, path, model="small")
    turn = upstream.next()
    cache.purge([group])
    turn.answer(200, b"old", Cache_Groups='"up"')
    asking.settle()
    assert b"old" == b"".join(asking.exchange.body)
    assert 0 == len(cache)
    again = ask(serving, path, model="small")
    upstream.next().answer(200, b"new", Cache_Groups='"up"')
    again.settle()
    assert b"new" == b"".join(again.exchange.body)
    assert 1 == len(cache)
