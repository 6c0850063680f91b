"""What befalls a disk: it is counted, logged once, and no caller notices more than a miss."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recoup.tiers import DiskTier
from recoup.tiers.disk_writer import LARGE_BYTES
from recoup.tiers.folder import Folder

from .support import TIME_LIMIT, disk, entry, invalidate, lookups, value_of, wait_until, writes


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def large_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "large").rglob("*") if path.is_file()]


# --- somebody else's folder


def test_a_folder_has_one_owner_and_the_next_takes_over_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with disk(tmp_path) as first:
        first.submit(entry(1))
        second = disk(tmp_path)
        assert not second.stats().up
        second.submit(entry(2))
        assert None is value_of(second, 1)
        assert {"skipped": 1} == writes(second) == lookups(second)
        assert b"value" == value_of(first, 1)
    wait_until(lambda: second.stats().up)
    assert b"value" == value_of(second, 1)
    assert second.close(TIME_LIMIT)
    assert ["disk_folder_taken"] == warnings(caplog)


def test_what_was_invalidated_while_another_owned_the_folder_does_not_answer_afterwards(tmp_path: Path) -> None:
    with disk(tmp_path) as first:
        second = disk(tmp_path)
        for number in range(50):
            first.submit(entry(number, groups=("a",) if number % 2 else ()))
        invalidate(second, groups=("a",))
    wait_until(lambda: second.stats().up)
    assert [0, 2, 4] == [number for number in range(6) if value_of(second, number) is not None]
    assert second.close(TIME_LIMIT)
    with disk(tmp_path) as third:
        assert [0, 2, 4] == [number for number in range(6) if value_of(third, number) is not None]


def test_another_process_owns_it_until_it_dies(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from recoup.tiers.folder import Folder;"
        "Folder(Path(sys.argv[1])).acquire(); print('owned', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert "owned\n" == other.stdout.readline()
        with disk(tmp_path) as tier:
            assert not tier.stats().up
            other.kill()
            wait_until(lambda: tier.stats().up)


def test_a_child_that_was_forked_does_not_use_its_parents_folder(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1))
        assert tier.flush(TIME_LIMIT)
        child = os.fork()
        if not child:
            tier.submit(entry(2))
            invalidate(tier)
            skipped = value_of(tier, 1) is None and writes(tier).get("skipped") == 1 and tier.close(1.0)
            os._exit(0 if skipped and not tier.stats().up else 1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert tier.stats().up
        tier.submit(entry(3))
        assert tier.flush(TIME_LIMIT)
        assert [b"value", None, b"value"] == [value_of(tier, number) for number in (1, 2, 3)]
        # The child's end did not let go of the lock.
        other = subprocess.run(
            [sys.executable, "-c", "import sys; from pathlib import Path; from recoup.tiers.folder import Folder;"
             "Folder(Path(sys.argv[1])).acquire()", str(tmp_path)], capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert "FolderTakenError" in other.stderr


# --- a disk that cannot be written to


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    if os.geteuid():
        pytest.skip("only root can mount a small file system; the test with RLIMIT_FSIZE covers the rest")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "recoup", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine allows no mounts")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(path: Path) -> None:
    """Leave no room."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        all(file.write(bytes(4096)) for _ in itertools.count())


@pytest.mark.parametrize("size", [10_000, LARGE_BYTES], ids=["small", "large"])
def test_a_full_disk_is_counted_logged_once_and_used_again_when_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    filler = small_disk / "filler"
    with disk(small_disk / "tier") as tier:
        tier.submit(entry(0, os.urandom(size)))
        assert tier.flush(TIME_LIMIT)
        _fill(filler)
        for number in range(1, 60):
            tier.submit(entry(number, os.urandom(size)))
            assert tier.flush(TIME_LIMIT)
        counted = writes(tier)
        assert counted["error"] > 20
        assert 60 == sum(counted.values())
        assert tier.stats().up
        assert value_of(tier, 0) is not None
        assert ["disk_writes_fail"] == warnings(caplog)
        filler.unlink()
        tier.submit(entry(100, os.urandom(size)))
        assert tier.flush(TIME_LIMIT)
        assert counted["error"] == writes(tier)["error"]
        assert value_of(tier, 100) is not None
        for number in range(101):  # what failed left nothing behind
            value_of(tier, number)
        assert 0 == tier.stats().corrupt
        assert len(large_files(small_disk / "tier")) == (0 if size < LARGE_BYTES else tier.stats().entries)


def test_what_is_purged_on_a_full_disk_does_not_answer(small_disk: Path) -> None:
    with disk(small_disk / "tier") as tier:
        tier.submit(entry(0, groups=("a",)))
        assert tier.flush(TIME_LIMIT)
        _fill(small_disk / "filler")
        invalidate(tier, groups=("a",))
        assert None is value_of(tier, 0)
        (small_disk / "filler").unlink()
        wait_until(lambda: not len(tier._marks))
    with disk(small_disk / "tier") as tier:
        assert None is value_of(tier, 0)


def test_a_limit_of_the_size_of_files_is_a_full_disk_too(tmp_path: Path) -> None:
    """In a process of its own: the limit holds for all of it."""
    program = f"""
import os, resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
from tiers.support import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({LARGE_BYTES * 2}, {LARGE_BYTES * 2}))
tier = disk(Path({str(tmp_path)!r}))
for number in range(40):
    tier.submit(entry(number, os.urandom((20_000, {LARGE_BYTES * 3})[number % 2])))
    assert tier.flush(TIME_LIMIT)
counted = writes(tier)
assert counted['error'] >= 20 and sum(counted.values()) == 40, counted
assert value_of(tier, 0) is not None and tier.stats().up
assert tier.close(TIME_LIMIT)
"""
    assert hasattr(resource, "RLIMIT_FSIZE")
    assert hasattr(signal, "SIGXFSZ")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=TIME_LIMIT)
    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("disk_writes_fail")


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    tier = disk(blocker / "tier")
    tier.submit(entry(1))
    assert None is value_of(tier, 1)
    assert (False, {"skipped": 1}) == (tier.stats().up, writes(tier))
    blocker.unlink()
    wait_until(lambda: tier.stats().up)
    tier.submit(entry(1))
    assert b"value" == value_of(tier, 1)
    assert tier.close(TIME_LIMIT)
    assert ["disk_unusable"] == warnings(caplog)


def test_a_disk_that_becomes_read_only_still_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As SQLite says it: root may write wherever it likes."""
    with disk(tmp_path) as tier:
        tier.submit(entry(1))
        assert tier.flush(TIME_LIMIT)
        tier._writer.database._writer.execute("PRAGMA query_only = 1")
        for number in (2, 3):
            tier.submit(entry(number))
            assert tier.flush(TIME_LIMIT)
        assert {"stored": 1, "error": 2} == writes(tier)
        assert b"value" == value_of(tier, 1)
        assert ["disk_writes_fail"] == warnings(caplog)
        tier._writer.database._writer.execute("PRAGMA query_only = 0")


# --- what is broken


def _damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_record_is_counted_removed_and_a_miss(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with disk(tmp_path) as tier:
        for number in range(3):
            tier.submit(entry(number, os.urandom(LARGE_BYTES)))
    for path in large_files(tmp_path)[:2]:
        _damage(path, 200)
    with disk(tmp_path) as tier:
        assert 2 == [value_of(tier, number) for number in range(3)].count(None)
        assert (2, 1) == (tier.stats().corrupt, tier.stats().entries)
        assert {"miss": 2, "hit": 1} == lookups(tier)
        assert 1 == len(large_files(tmp_path))
        assert ["disk_record_corrupt"] == warnings(caplog)


def test_a_damaged_small_record_too(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1, b"A needle that is looked for."))
    database = sqlite3.connect(tmp_path / "results.db")
    database.execute("UPDATE records SET record = CAST(replace(record, x'6e', x'6d') AS BLOB)")
    database.commit()
    database.close()
    with disk(tmp_path) as tier:
        assert None is value_of(tier, 1)
        assert (1, 0) == (tier.stats().corrupt, tier.stats().entries)


def test_a_file_that_is_lost_is_a_miss_and_forgotten(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1, os.urandom(LARGE_BYTES)))
        assert tier.flush(TIME_LIMIT)
        large_files(tmp_path)[0].unlink()
        assert None is value_of(tier, 1)
        assert 0 == tier.stats().entries


def test_files_that_a_killed_process_left_behind_are_removed(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1, os.urandom(LARGE_BYTES)))
        for number in range(300):
            tier.submit(entry(number + 10))
    left = Folder(tmp_path).large_file(200)
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"torn")
    with disk(tmp_path) as tier:
        wait_until(lambda: not left.exists())
        assert value_of(tier, 1) is not None


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000, bytes(65536)], ids=["empty", "text", "zeros"])
def test_a_database_that_is_none_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1))
    (tmp_path / "results.db").write_bytes(content)
    with disk(tmp_path) as tier:
        wait_until(lambda: tier.stats().up)
        assert None is value_of(tier, 1)
        tier.submit(entry(2))
        assert tier.flush(TIME_LIMIT)
        assert b"value" == value_of(tier, 2)


def test_a_database_of_another_form_is_begun_anew(tmp_path: Path) -> None:
    with disk(tmp_path) as tier:
        tier.submit(entry(1))
    database = sqlite3.connect(tmp_path / "results.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with disk(tmp_path) as tier:
        assert tier.stats().up
        assert None is value_of(tier, 1)
        assert 1 == tier.stats().corrupt


def test_a_database_that_breaks_while_it_is_used_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with disk(tmp_path) as tier:
        for number in range(500):
            tier.submit(entry(number, os.urandom(2000)))
        assert tier.flush(TIME_LIMIT)
    data = bytearray((tmp_path / "results.db").read_bytes())
    data[16384:] = os.urandom(len(data) - 16384)
    (tmp_path / "results.db").write_bytes(data)
    with disk(tmp_path) as tier:

        def works() -> bool:
            tier.submit(entry(1000))
            assert tier.flush(TIME_LIMIT)
            return "stored" in writes(tier) and value_of(tier, 1000) == b"value"

        wait_until(works)
        assert 1 <= tier.stats().corrupt
        assert len(warnings(caplog)) == len(set(warnings(caplog)))


def test_an_error_of_the_codec_is_a_corrupt_record(tmp_path: Path) -> None:
    class Picky:
        def encode(self, value: bytes) -> bytes:
            return value

        def decode(self, data: bytes) -> Any:
            raise KeyError(data)

    from recoup.cache.codecs import checked_codec

    with disk(tmp_path, checked_codec(Picky())) as tier:
        tier.submit(entry(1))
        assert tier.flush(TIME_LIMIT)
        assert None is value_of(tier, 1)
        assert 1 == tier.stats().corrupt


def test_the_end_of_the_program_stores_what_waits(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from pathlib import Path
from tiers.support import *
tier = disk(Path({str(tmp_path)!r}), queue_mb=500)
for number in range(300):
    tier.submit(entry(number, os.urandom(100_000)))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=TIME_LIMIT)
    with disk(tmp_path) as tier:
        assert 300 == tier.stats().entries


def test_a_start_does_not_read_all_of_it(tmp_path: Path) -> None:
    """10^5 results: the start takes well under the two seconds that it may take."""
    from time import perf_counter

    with disk(tmp_path, queue_mb=1000) as tier:
        for number in range(100_000):
            tier.submit(entry(number, b"%d" % number))
        assert tier.flush(TIME_LIMIT * 4)
    started = perf_counter()
    with disk(tmp_path) as tier:
        assert (True, 100_000) == (tier.stats().up, tier.stats().entries)
        assert b"77777" == value_of(tier, 77777)
        assert perf_counter() - started < 2.0
        assert isinstance(tier, DiskTier)
