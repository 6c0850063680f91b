"""The shared tier against a real `redis-server`: several caches of this process stand for several instances."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recoup import LRUCache
from recoup.errors import ConfigurationError
from recoup.tiers import DiskTier, SharedTier
from recoup.tiers.redis_client import RedisUrl

from .redis_server import RedisServer, redis_server
from .support import TIME_LIMIT, wait_until

#: Within so many seconds an invalidation holds in all instances. The contract says 0.1; a busy machine is given more.
REACHES_SECONDS = 2.0


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A server that is empty."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may pause, end and fill."""
    with redis_server(tmp_path) as server:
        yield server


Begin = Callable[..., LRUCache[bytes]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins instances; ends them with the test."""
    begun: list[LRUCache[bytes]] = []

    def begin(server: RedisServer, *, above: Any = (), url: str = "", **options: Any) -> LRUCache[bytes]:
        tier = SharedTier(url or server.url, **{"timeout_seconds": 0.5, **options})
        begun.append(LRUCache(tiers=[*above, tier], codec="bytes"))
        return begun[-1]

    yield begin
    for cache in begun:
        cache.close(TIME_LIMIT)


def never() -> Any:
    raise AssertionError("this was not to be generated")


def tier_of(cache: LRUCache[Any]) -> SharedTier:
    return list(cache._state.tiers)[-1]  # type: ignore[return-value]


def flush(*caches: LRUCache[Any]) -> None:
    for cache in caches:
        assert tier_of(cache).flush(TIME_LIMIT)


def stats_of(cache: LRUCache[Any]) -> Any:
    return cache.stats().tiers["shared"]


def wait_until_applied(*caches: LRUCache[Any]) -> None:
    """Wait until all instances are past the last invalidation."""
    link = tier_of(caches[0])._link
    last = int(link.client.hget(link.key("marks"), "seq"))
    wait_until(lambda: {tier_of(cache)._link.applied for cache in caches} == {last})


def counts(counted: Any, pipeline: str = "default") -> dict[str, int]:
    return {word: count for word, count in counted[pipeline].items() if count}


# --- one cache


@pytest.mark.parametrize("size", [0, 10, 200_000, 5 << 20])
def test_what_one_instance_generated_another_has(server: RedisServer, begin: Begin, size: int) -> None:
    first, second = begin(server), begin(server)
    value = os.urandom(size)
    first.fetch("k", lambda: value, groups=["g"])
    flush(first)
    lookup = second.fetch("k", never)
    assert ("hit", "shared", value) == (lookup.outcome, lookup.tier, lookup.value)
    assert ["g"] == second.entries()[0]["groups"]
    assert asyncio.run(_afetch(begin(server))) == value


async def _afetch(cache: LRUCache[bytes]) -> bytes:
    return (await cache.afetch("k", never)).value


def test_what_expires_there_is_gone(server: RedisServer, begin: Begin) -> None:
    first = begin(server)
    first.set("k", b"v", ttl_seconds=1000)
    first.set("forever", b"v", ttl_seconds=None)
    flush(first)
    with server.client() as client:
        left = sorted(client.pttl(key) for key in client.keys("recoup:result:*"))
    assert 990_000 < left[0] <= 1_000_000
    assert 1000 * 86400 * 29 < left[1] <= 1000 * 86400 * 30


def test_prefixes_are_caches_of_their_own(server: RedisServer, begin: Begin) -> None:
    first, other = begin(server), begin(server, prefix="other")
    first.set("k", b"v")
    flush(first)
    assert None is other.get("k")
    first.clear()
    other.set("k", b"v")
    flush(other)
    assert b"v" == begin(server, prefix="other").get("k")


def test_a_hit_there_fills_the_disk_above(server: RedisServer, begin: Begin, tmp_path: Path) -> None:
    begin(server).set("k", b"v")
    wait_until(lambda: begin(server).get("k") == b"v")
    with_disk = begin(server, above=[DiskTier(tmp_path)])
    assert "shared" == with_disk.fetch("k", never).tier
    wait_until(lambda: with_disk.stats().tiers["disk"].entries == 1)


# --- invalidations

INVALIDATIONS: dict[str, tuple[Callable[[LRUCache[Any]], object], list[str]]] = {
    "delete": (lambda cache: cache.delete("a"), ["b", "c"]),
    "clear": (lambda cache: cache.clear(), []),
    "clear of a pipeline": (lambda cache: cache.clear("p"), ["c"]),
    "purge": (lambda cache: cache.purge(["g"]), ["b"]),
    "purge of a pipeline": (lambda cache: cache.purge(["g"], "p"), ["b", "c"]),
    "soft purge": (lambda cache: cache.purge(["g"], soft=True), ["b"]),
}


def fill(cache: LRUCache[Any], value: bytes) -> None:
    cache.set("a", value, pipeline="p", groups=["g"])
    cache.set("b", value, pipeline="p", groups=["h"])
    cache.set("c", value, pipeline="q", groups=["g", "größe"])


@pytest.mark.parametrize(("invalidate", "left"), INVALIDATIONS.values(), ids=INVALIDATIONS)
def test_an_invalidation_reaches_every_instance_and_what_is_stored(
    server: RedisServer, begin: Begin, invalidate: Any, left: list[str]
) -> None:
    first, second = begin(server), begin(server)
    fill(first, b"old")
    flush(first)
    assert [b"old"] * 3 == [second.get(key) for key in "abc"]
    invalidate(first)
    # Who has not seen any of it has nothing from the tier at once.
    third = begin(server)
    assert left == [key for key in "abc" if third.get(key) == b"old"]
    started = time.monotonic()
    wait_until(lambda: [key for key in "abc" if second.get(key) == b"old"] == left)
    assert time.monotonic() - started < REACHES_SECONDS
    assert left == [key for key in "abc" if first.get(key) == b"old"]
    assert 1 == stats_of(second).invalidation_lag.count
    assert 0 == stats_of(first).invalidation_lag.count


def test_what_comes_after_an_invalidation_stays(server: RedisServer, begin: Begin) -> None:
    first, second = begin(server), begin(server)
    for invalidate, _ in INVALIDATIONS.values():
        fill(first, b"old")
        flush(first)
        invalidate(first)
        fill(first, b"new")
        flush(first)
        wait_until_applied(first, second)
        assert [b"new"] * 3 == [first.get(key) for key in "abc"]
        assert [b"new"] * 3 == [begin(server).get(key) for key in "abc"]


def test_an_invalidation_reaches_the_disk_of_another_instance(
    server: RedisServer, begin: Begin, tmp_path: Path
) -> None:
    first, second = begin(server), begin(server, above=[DiskTier(tmp_path)])
    second.set("k", b"old", groups=["g"])
    first.purge(["g"])
    wait_until(lambda: second.get("k") is None)
    assert second.close(TIME_LIMIT)
    assert None is begin(server, above=[DiskTier(tmp_path)]).get("k")


def test_what_is_generated_during_an_invalidation_elsewhere_is_not_stored(server: RedisServer, begin: Begin) -> None:
    first, second = begin(server), begin(server)
    begun, go = threading.Event(), threading.Event()

    def generate() -> bytes:
        begun.set()
        assert go.wait(TIME_LIMIT)
        return b"old"

    thread = threading.Thread(target=lambda: first.fetch("k", generate, groups=["g"]))
    thread.start()
    assert begun.wait(TIME_LIMIT)
    second.purge(["g"])
    wait_until_applied(first, second)
    go.set()
    thread.join(TIME_LIMIT)
    flush(first)
    assert [None, None, None] == [cache.get("k") for cache in (first, second, begin(server))]


def test_a_result_that_was_submitted_before_an_invalidation_and_sent_after_it_is_refused(
    server: RedisServer, begin: Begin
) -> None:
    """The server decides: the instance that sends it has not heard of the invalidation yet."""
    first, second = begin(server), begin(server)
    link = tier_of(first)._link
    for invalidate, left in INVALIDATIONS.values():
        wait_until_applied(first, second)
        with first._state.lock:  # so that nothing that others say is applied
            before = link.applied
            fill(first, b"old")
            invalidate(second)
            flush(first)
            assert before == link.applied
        wait_until_applied(first, second)
        assert left == [key for key in "abc" if begin(server).get(key) == b"old"]
        first.clear()
        wait_until_applied(first, second)


def test_more_groups_than_are_remembered_become_everything(server: RedisServer, begin: Begin) -> None:
    """So what is kept of invalidations is bounded, whatever is purged."""
    first, second = begin(server), begin(server)
    fill(first, b"old")
    flush(first)
    first.purge([f"group {number}" for number in range(12_000)])
    with server.client() as client:
        assert client.hlen("recoup:marks") < 10
    assert [None] * 3 == [second.get(key) for key in "abc"]


def test_the_stream_of_invalidations_is_bounded(server: RedisServer, begin: Begin) -> None:
    first = begin(server)
    for number in range(300):
        first.delete(f"{number}")
    with server.client() as client:
        assert 300 == client.xlen("recoup:stream")
    assert tier_of(first)._link.key("stream") == "recoup:stream"


# --- being cut off


def test_who_was_cut_off_catches_up_before_it_uses_the_tier_again(server: RedisServer, begin: Begin) -> None:
    first, second = begin(server), begin(server)
    fill(first, b"old")
    flush(first)
    assert b"old" == second.get("a")
    link = tier_of(second)._link
    with second._state.lock:  # nothing is applied
        first.purge(["g"])
        link.trip(ConnectionError())
        assert not stats_of(second).up
    wait_until(lambda: stats_of(second).up)
    assert [None, b"old", None] == [second.get(key) for key in "abc"]


def test_who_missed_more_than_the_stream_keeps_drops_what_it_has(
    server: RedisServer, begin: Begin, tmp_path: Path
) -> None:
    first = begin(server)
    second = begin(server, above=[DiskTier(tmp_path)])
    second.set("k", b"old")
    assert second.close(TIME_LIMIT)
    for _ in range(3):
        first.purge(["unrelated"])
    with server.client() as client:
        client.xtrim("recoup:stream", maxlen=1, approximate=False)
        client.delete(*client.keys("recoup:result:*"))
    assert None is begin(server, above=[DiskTier(tmp_path)]).get("k")


@pytest.mark.parametrize("purged", [True, False])
def test_a_disk_that_was_away_catches_up_and_keeps_the_rest(
    server: RedisServer, begin: Begin, tmp_path: Path, purged: bool
) -> None:
    first = begin(server)
    second = begin(server, above=[DiskTier(tmp_path)])
    second.set("k", b"old", groups=["g"])
    assert second.close(TIME_LIMIT)
    first.purge(["g" if purged else "unrelated"])
    with server.client() as client:
        client.delete(*client.keys("recoup:result:*"))
    third = begin(server, above=[DiskTier(tmp_path)])
    assert (None if purged else b"old") == third.get("k")


def test_a_server_that_begins_empty_is_begun_with_and_what_it_forgot_does_not_answer(
    own_server: RedisServer, begin: Begin
) -> None:
    first, second = begin(own_server), begin(own_server)
    first.set("k", b"old")
    flush(first)
    assert b"old" == second.get("k")
    own_server.stop()
    first.purge(["g"])
    own_server.start()
    wait_until(lambda: stats_of(first).up and stats_of(second).up)
    assert None is second.get("k")
    second.set("new", b"new")
    flush(second)
    wait_until_applied(first, second)
    assert b"new" == begin(own_server).get("new")


def test_what_was_purged_while_the_server_was_gone_does_not_answer_when_it_is_back(
    own_server: RedisServer, begin: Begin
) -> None:
    first, second = begin(own_server), begin(own_server)
    fill(first, b"old")
    flush(first)
    assert b"old" == second.get("a")
    own_server.pause()
    first.purge(["g"])
    own_server.go_on()
    wait_until(lambda: stats_of(first).up and stats_of(second).up)
    wait_until(lambda: second.get("a") is None)
    assert [None, b"old", None] == [begin(own_server).get(key) for key in "abc"]


# --- a server that is gone, hangs, or answers nonsense


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_server_that_hangs_costs_its_time_limit_once(
    own_server: RedisServer, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    cache = begin(own_server)
    own_server.pause()
    started = time.monotonic()
    lookups = [cache.fetch(f"{number}", lambda: b"v") for number in range(50)]
    assert time.monotonic() - started < 3 * 0.5
    assert {"miss"} == {lookup.outcome for lookup in lookups}
    assert {"error": 1, "skipped": 49} == counts(stats_of(cache).lookups)
    assert not stats_of(cache).up
    own_server.go_on()
    started = time.monotonic()
    wait_until(lambda: stats_of(cache).up)
    assert time.monotonic() - started < 5.0
    assert ["shared_tier_lost"] == warnings(caplog)


def test_coroutines_wait_for_a_server_that_hangs_no_longer_either(own_server: RedisServer, begin: Begin) -> None:
    cache = begin(own_server)

    async def give() -> bytes:
        return b"v"

    async def main() -> float:
        own_server.pause()
        started = time.monotonic()
        lookups = await asyncio.gather(*(cache.afetch(f"{number}", give) for number in range(50)))
        assert {b"v"} == {lookup.value for lookup in lookups}
        return time.monotonic() - started

    assert asyncio.run(main()) < 3 * 0.5
    own_server.go_on()


def test_a_server_that_is_not_there_is_found_when_it_comes(tmp_path: Path, begin: Begin) -> None:
    with redis_server(tmp_path) as server:
        server.stop()
        cache = begin(server)
        assert not stats_of(cache).up
        cache.set("k", b"v")
        assert {"skipped": 1} == counts(stats_of(cache).writes)
        server.start()
        wait_until(lambda: stats_of(cache).up)
        cache.set("k", b"v")
        flush(cache)
        assert b"v" == begin(server).get("k")


def test_a_server_that_answers_nonsense_is_left_alone(begin: Begin, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

        threading.Thread(target=babble, daemon=True).start()
        cache = begin(None, url=f"redis://127.0.0.1:{listener.getsockname()[1]}")
        assert not stats_of(cache).up
        assert "miss" == cache.fetch("k", lambda: b"v").outcome
        assert "hit" == cache.fetch("k", never).outcome


def test_a_server_without_memory_is_counted_and_still_read(
    own_server: RedisServer, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = begin(own_server), begin(own_server)
    first.set("k", b"v")
    flush(first)
    with own_server.client() as client:
        client.config_set("maxmemory", "1mb")
        client.config_set("maxmemory-policy", "noeviction")
    for number in range(5):
        first.set(f"{number}", os.urandom(1 << 20))
    flush(first)
    assert {"stored": 1, "error": 5} == counts(stats_of(first).writes)
    assert b"v" == second.get("k")
    assert stats_of(first).up
    assert ["shared_tier_refuses"] == warnings(caplog)


def test_marks_that_were_evicted_take_what_they_hid_with_them(server: RedisServer, begin: Begin) -> None:
    """Under a policy that evicts any key."""
    first, second = begin(server), begin(server)
    fill(first, b"old")
    flush(first)
    first.purge(["g"])
    with server.client() as client:
        client.delete("recoup:marks")
    wait_until(lambda: second.get("a") is None and begin(server).get("a") is None)
    wait_until(lambda: stats_of(first).up and stats_of(second).up)
    assert None is begin(server).get("b")  # with all else
    second.set("b", b"new")
    flush(second)
    assert b"new" == begin(server).get("b")


def test_deleted_keys_that_were_forgotten_let_nothing_older_be_stored(server: RedisServer, begin: Begin) -> None:
    first, second = begin(server), begin(server)
    first.delete("k")
    wait_until_applied(first, second)
    with server.client() as client:
        client.delete("recoup:deleted")
    first.set("k", b"v")
    flush(first)
    wait_until(lambda: stats_of(first).up)
    first.set("k", b"v")
    flush(first)
    assert b"v" == begin(server).get("k")


@pytest.mark.parametrize(
    "damage",
    [
        lambda client, key: client.hset(key, "d", b"nonsense"),
        lambda client, key: client.hdel(key, "d"),
        lambda client, key: client.hset(key, "d", client.hget(key, "d")[:-1] + b"\0"),
    ],
    ids=["nonsense", "nothing", "one byte"],
)
def test_a_damaged_record_is_counted_removed_and_a_miss(server: RedisServer, begin: Begin, damage: Any) -> None:
    first, second = begin(server), begin(server)
    first.set("k", b"value")
    flush(first)
    with server.client() as client:
        (key,) = client.keys("recoup:result:*")
        damage(client, key)
        assert None is second.get("k")
        assert 1 == stats_of(second).corrupt
        assert [] == client.keys("recoup:result:*")


@pytest.mark.parametrize("name", ["marks", "deleted", "stream"])
def test_a_key_of_another_kind_fails_no_request(server: RedisServer, begin: Begin, name: str) -> None:
    first = begin(server)
    with server.client() as client:
        client.delete(f"recoup:{name}")
        client.set(f"recoup:{name}", "somebody else's")
    assert "miss" == first.fetch("k", lambda: b"v").outcome
    first.purge(["g"])
    assert not first.delete("other")


# --- signing in


def test_a_password_is_used_and_never_shown(tmp_path: Path, begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    with redis_server(tmp_path, "--requirepass", "s3cret-word") as server:
        right = begin(server, url=f"redis://:s3cret-word@127.0.0.1:{server.port}/3")
        assert stats_of(right).up
        right.set("k", b"v")
        flush(right)
        with server.client(password="s3cret-word", db=3) as client:
            assert 1 == len(client.keys("recoup:result:*"))
        wrong = begin(server, url=f"redis://user:wr0ng-word@127.0.0.1:{server.port}/3")
        assert not stats_of(wrong).up
        shown = repr([tier_of(wrong), tier_of(right)]) + caplog.text + "".join(str(vars(r)) for r in caplog.records)
        assert "s3cret" not in shown
        assert "wr0ng" not in shown
        assert f"127.0.0.1:{server.port}" in shown


@pytest.mark.parametrize(
    "url",
    ["", "http://host", "redis://", "redis://host:port", "memcached://h", "//host", "unix://", "s3cret"],
    ids=repr,
)
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a URL") as caught:
        RedisUrl(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:word@host", "redis://host:6379"),
        ("valkeys://user:word@host:1234/2", "valkeys://host:1234/2"),
        ("unix://user:word@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown == str(RedisUrl(url))


@pytest.mark.parametrize("options", [{"timeout_seconds": 0}, {"prefix": ""}, {"queue_mb": 0}], ids=str)
def test_an_option_out_of_its_bounds_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SharedTier("redis://127.0.0.1", **options)


def test_a_child_that_was_forked_leaves_the_tier_alone(server: RedisServer, begin: Begin) -> None:
    cache = begin(server)
    cache.set("k", b"v")
    flush(cache)
    child = os.fork()
    if not child:
        skipped = cache.get("other") is None and cache.stats().tiers["shared"].lookups["default"]["skipped"] == 1
        os._exit(0 if skipped and not cache.stats().tiers["shared"].up else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert stats_of(cache).up
    assert b"v" == begin(server).get("k")
