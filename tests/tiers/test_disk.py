"""The disk tier: what it holds, in which order it lets go, and what it does not answer any more."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from recoup.cache.codecs import checked_codec
from recoup.cache.tier import Payload
from recoup.errors import ConfigurationError
from recoup.tiers import DiskTier
from recoup.tiers.disk_writer import LARGE_BYTES

from .support import AT, TIME_LIMIT, disk, entry, invalidate, key, lookups, value_of, wait_until, writes

SIZES = [0, 1, 2 << 10, LARGE_BYTES + 1, 5 << 20]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_submitted_answers_at_once_and_after_a_restart(tmp_path: Path, size: int) -> None:
    stored = entry(1, os.urandom(size), groups=("a", "b"), price=0.5, expires_at=AT + 60, fingerprint=b"f")
    with disk(tmp_path) as tier:
        tier.submit(stored)
        assert stored.value == value_of(tier, 1)
        assert tier.flush(TIME_LIMIT)
        assert stored.value == value_of(tier, 1)
        assert {"stored": 1} == writes(tier)
    with disk(tmp_path) as tier:
        held = tier.get(key(1), "p")
        assert held is not None
        for name in (
            "key",
            "pipeline",
            "value",
            "created_at",
            "expires_at",
            "cost_seconds",
            "price",
            "groups",
            "fingerprint",
        ):
            assert getattr(stored, name) == getattr(held, name), name
        assert 1 == tier.stats().entries


def test_a_key_that_is_not_there_is_a_miss(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        assert None is tier.get(key(1), "p")
        assert {"miss": 1} == lookups(tier)


def test_coroutines_read_in_a_thread_of_the_tier(tmp_path: Path) -> None:
    threads = []

    class Noting:
        def encode(self, value: bytes) -> bytes:
            return value

        def decode(self, data: bytes) -> bytes:
            threads.append(threading.current_thread())
            return data

    with disk(tmp_path, checked_codec(Noting())) as tier:
        tier.submit(entry(1))
        assert tier.flush(TIME_LIMIT)
        held = asyncio.run(tier.aget(key(1), "p"))
        assert held is not None
        assert b"value" == held.value
        assert threading.main_thread() not in threads


def test_the_newest_result_of_a_key_is_the_one_that_stays(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        for number in range(50):
            tier.submit(entry(1, b"%d" % number + os.urandom(LARGE_BYTES if number % 2 else 10)))
            assert value_of(tier, 1).startswith(b"%d" % number)
            if number % 7 == 0:
                assert tier.flush(TIME_LIMIT)
        assert tier.flush(TIME_LIMIT)
        assert value_of(tier, 1).startswith(b"49")
        assert 1 == tier.stats().entries
        counted = writes(tier)
        assert 50 == sum(counted.values())
        assert {"stored", "skipped"} >= set(counted)
    assert 1 == len([path for path in (tmp_path / "large").rglob("*") if path.is_file()])


# --- the limit


def test_the_least_recently_used_go_first_and_reads_count(tmp_path: Path) -> None:
    megabyte = os.urandom(1 << 20)
    with disk(tmp_path, max_mb=5.5) as tier:
        for number in range(5):
            tier.submit(entry(number, megabyte))
        assert tier.flush(TIME_LIMIT)
        assert megabyte == value_of(tier, 0)
        assert megabyte == value_of(tier, 2)
        tier.submit(entry(5, megabyte))
        tier.submit(entry(6, megabyte))
        assert tier.flush(TIME_LIMIT)
        assert 2 == tier.stats().evictions
        assert [0, 2, 4, 5, 6] == [number for number in range(7) if value_of(tier, number) is not None]


def test_the_order_of_use_outlives_a_restart(tmp_path: Path) -> None:
    with disk(tmp_path, max_mb=1) as tier:
        for number in range(5):
            tier.submit(entry(number, os.urandom(100_000)))
        assert tier.flush(TIME_LIMIT)
        assert value_of(tier, 0) is not None
    with disk(tmp_path, max_mb=0.35) as tier:
        tier.submit(entry(9, b"small"))
        assert tier.flush(TIME_LIMIT)
        assert [0, 3, 4, 9] == [number for number in range(10) if value_of(tier, number) is not None]


def test_what_is_larger_than_the_limit_is_not_stored_and_evicts_nothing(tmp_path: Path) -> None:
    with disk(tmp_path, max_mb=1) as tier:
        tier.submit(entry(1))
        tier.submit(entry(2, os.urandom(2 << 20)))
        assert tier.flush(TIME_LIMIT)
        assert {"stored": 1, "skipped": 1} == writes(tier)
        assert b"value" == value_of(tier, 1)
        assert [] == [path for path in (tmp_path / "large").rglob("*") if path.is_file()]


def test_the_folder_stays_about_as_large_as_its_limit(tmp_path: Path) -> None:
    """Beside the journal of the database, which is bounded, too."""
    with disk(tmp_path, max_mb=20, queue_mb=1000) as tier:
        for number in range(600):
            tier.submit(entry(number, os.urandom((2_000, 60_000, 600_000)[number % 3])))
        assert tier.flush(TIME_LIMIT)
        assert 0 < tier.stats().evictions
        assert 20 * 2**20 >= (tier.stats().bytes or 0) > 18 * 2**20
    held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert held < 1.25 * 20 * 2**20


def test_the_queue_is_bounded_and_drops_rather_than_waits(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def encode(self, value: bytes) -> bytes:
            entered.set()
            assert leave.wait(TIME_LIMIT)
            return value

        def decode(self, data: bytes) -> bytes:
            return data

    with disk(tmp_path, checked_codec(Slow()), queue_mb=1) as tier:
        tier.submit(entry(0, bytes(400_000)))
        assert entered.wait(TIME_LIMIT)
        tier.submit(entry(1, bytes(400_000)))
        tier.submit(entry(2, bytes(400_000)))
        assert 800_000 < tier.stats().queue_bytes < 2**20
        assert {"dropped": 1} == writes(tier)
        leave.set()
        assert tier.flush(TIME_LIMIT)
        assert 0 == tier.stats().queue_bytes
        assert {"stored": 2, "dropped": 1} == writes(tier)


# --- what does not answer any more


@pytest.mark.parametrize("flushed", [True, False], ids=["stored", "waiting"])
@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({}, []),
        ({"pipeline": "p"}, [3]),
        ({"pipeline": "none"}, [0, 1, 2, 3]),
        ({"key": key(1)}, [0, 2, 3]),
        ({"groups": ("a",)}, [2, 3]),
        ({"groups": ("b", "none")}, [0, 2]),
        ({"groups": ("b",), "pipeline": "p"}, [0, 2, 3]),
    ],
    ids=["all", "pipeline", "unknown pipeline", "key", "group", "groups", "group of a pipeline"],
)
def test_what_was_invalidated_does_not_answer_and_what_comes_after_does(
    tmp_path: Path, what: dict[str, Any], left: list[int], flushed: bool
) -> None:
    def held(tier: DiskTier) -> list[int]:
        return [number for number in range(4) if value_of(tier, number) == b"old"]

    with disk(tmp_path) as tier:
        for number, pipeline, groups in [(0, "p", ("a",)), (1, "p", ("a", "b")), (2, "p", ()), (3, "q", ("b",))]:
            tier.submit(entry(number, b"old", pipeline=pipeline, groups=groups))
        if flushed:
            assert tier.flush(TIME_LIMIT)
        invalidate(tier, **what)
        assert left == held(tier)
        assert tier.flush(TIME_LIMIT)
        assert left == held(tier)
        for number in set(range(4)) - set(left):
            tier.submit(entry(number, b"new", groups=("a", "b")))
    with disk(tmp_path) as tier:
        assert left == held(tier)
        assert [b"new"] * (4 - len(left)) == [value_of(tier, number) for number in range(4) if number not in left]


def test_what_was_purged_softly_has_expired_then(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        for number in range(3):
            tier.submit(entry(number, groups=("a",) if number < 2 else ()))
        assert tier.flush(TIME_LIMIT)
        invalidate(tier, groups=("a",), soft=True, at=AT + 5)
        tier.submit(entry(1, groups=("a",)))
    with disk(tmp_path) as tier:
        expiries = [held.expires_at for number in range(3) if (held := tier.get(key(number), "p")) is not None]
        assert [AT + 5, math.inf, math.inf] == expiries


def test_clearing_forgets_its_marks_once_all_is_gone(tmp_path: Path) -> None:
    """So they stay few, and the folder gets small again, files of large results included."""
    with disk(tmp_path, retry_seconds=0.01) as tier:
        for number in range(1200):
            tier.submit(entry(number, bytes(10), groups=(f"g{number}",)))
        tier.submit(entry(5000, os.urandom(LARGE_BYTES)))
        assert tier.flush(TIME_LIMIT)
        for number in range(300):
            invalidate(tier, groups=(f"g{number}",))
        wait_until(lambda: not len(tier._marks))
        assert 901 == tier.stats().entries
        invalidate(tier)
        wait_until(lambda: not len(tier._marks))
        assert 0 == tier.stats().entries == tier.stats().bytes
        assert [] == [path for path in (tmp_path / "large").rglob("*") if path.is_file()]


def test_what_has_expired_is_let_go(tmp_path: Path) -> None:
    now = AT
    with disk(tmp_path, wall_clock=lambda: now) as tier:
        tier.submit(entry(1, expires_at=AT + 10))
        tier.submit(entry(2, expires_at=AT + 10, keep_until=AT + 1000))
    now = AT + 11
    with disk(tmp_path, wall_clock=lambda: now) as tier:
        wait_until(lambda: tier.stats().entries == 1)
        held = tier.get(key(2), "p")
        assert held is not None
        assert AT + 10 == held.expires_at


# --- what it is made with


@pytest.mark.parametrize("options", [{"max_mb": 0}, {"max_mb": "1"}, {"queue_mb": -1}, {"max_mb": math.nan}], ids=str)
def test_an_option_out_of_its_bounds_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="_mb="):
        DiskTier(tmp_path, **options)


def test_a_tier_belongs_to_one_cache(tmp_path: Path) -> None:
    with disk(tmp_path) as tier, pytest.raises(ConfigurationError, match="another cache"):
        tier.open(checked_codec("bytes"))


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    with disk(tmp_path / "made" / "here") as tier:
        tier.submit(entry(1, os.urandom(LARGE_BYTES)))
        assert tier.flush(TIME_LIMIT)
        modes = {path.stat().st_mode & 0o077 for path in tier.path.rglob("*")}
        assert {0} == {*modes, tier.path.stat().st_mode & 0o077}


def test_after_its_end_it_takes_nothing_and_gives_nothing(tmp_path: Path) -> None:
    tier = disk(tmp_path)
    tier.submit(entry(1))
    assert tier.close(TIME_LIMIT)
    assert tier.close(TIME_LIMIT)
    tier.submit(entry(2))
    assert None is value_of(tier, 1)
    assert {"stored": 1, "skipped": 1} == writes(tier)
    assert not tier.stats().up


def test_a_value_that_the_codec_refuses_stays_out(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1, "text"))
        assert tier.flush(TIME_LIMIT)
        assert {"skipped": 1} == writes(tier)
        assert None is value_of(tier, 1)


def test_payloads_keep_headers_status_and_entity_tag(tmp_path: Path) -> None:
    class Whole:
        def to_payload(self, value: Any) -> Payload:
            return value  # type: ignore[no-any-return]

        def from_payload(self, payload: Payload) -> Any:
            return payload

    answer = Payload(b"body", "text/plain", ((b"x-a", b"1"), (b"x-a", b"2")), 404, '"tag"')
    with disk(tmp_path, Whole()) as tier:
        tier.submit(entry(1, answer))
        assert tier.flush(TIME_LIMIT)
        assert answer == value_of(tier, 1)
