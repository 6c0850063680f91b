"""The limit of memory holds, by a control group or by watching from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from benchmarks.hostile.memory_group import ControlGroup, Watched, memory_group, proportional_bytes

MIB = 1 << 20
#: Fills so many MiB, says so, and waits until its standard input ends.
FILL = "import sys; data = b'x' * (int(sys.argv[1]) << 20); print('full', flush=True); sys.stdin.read()"
_SECONDS = 60


def fill(mebibytes: int) -> list[str]:
    return [sys.executable, "-c", FILL, str(mebibytes)]


def test_the_group_measures_what_its_processes_held() -> None:
    """It may be a control group or not: the figure is the same, but for what the interpreter takes."""
    with memory_group(400 * MIB) as group:
        process = subprocess.Popen(group.wrap(fill(100)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        group.watch(lambda: [process.pid], process.kill)
        assert process.stdout is not None
        assert b"full\n" == process.stdout.readline()
        if isinstance(group, Watched):
            wait_until_seen(group)
        process.communicate(timeout=_SECONDS)
        assert 100 * MIB <= group.peak_bytes() <= 150 * MIB
        assert (0, 0) == (process.returncode, group.killed())


def test_what_is_over_the_limit_is_ended() -> None:
    with memory_group(100 * MIB) as group:
        process = subprocess.Popen(group.wrap(fill(300)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        group.watch(lambda: [process.pid], process.kill)
        assert process.stdin is not None
        process.wait(_SECONDS)
        process.communicate()
        assert (-9, 1) == (process.returncode, group.killed())


def test_a_watch_from_outside_ends_what_is_over_the_limit() -> None:
    """Where no control group can be made."""
    watched, ended = Watched(MIB, "a test"), threading.Event()
    watched.watch(lambda: [os.getpid()], ended.set)
    try:
        assert ended.wait(_SECONDS)
        assert watched.killed() == 1
        assert watched.peak_bytes() > MIB
    finally:
        watched.stop()


def test_a_process_that_has_ended_holds_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(_SECONDS)
    assert 0 == proportional_bytes(process.pid)


def test_a_group_is_removed_when_its_block_ends() -> None:
    with memory_group(100 * MIB) as group:
        folder = group._folder if isinstance(group, ControlGroup) else None
    assert folder is None or not folder.exists()


@pytest.mark.parametrize("files", ["memory.max", "memory.limit_in_bytes"], ids=["version 2", "version 1"])
def test_both_versions_of_control_groups_are_spoken_to_by_their_own_files(tmp_path: Path, files: str) -> None:
    from benchmarks.hostile.memory_group import _VERSION_1, _VERSION_2

    version = _VERSION_2 if files == "memory.max" else _VERSION_1
    (tmp_path / version.peak).write_text("123456\n")
    (tmp_path / version.events).write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    group = ControlGroup(tmp_path, version, 7 * MIB)
    assert (str(7 * MIB), 123456, 3) == ((tmp_path / files).read_text(), group.peak_bytes(), group.killed())


def wait_until_seen(group: Watched) -> None:
    """Until the watch has looked once while the process is full."""
    seen = threading.Event()
    for _ in range(600):
        if group.peak_bytes() >= 100 * MIB:
            return
        seen.wait(0.1)
    pytest.fail("the watch has not looked for a minute")
