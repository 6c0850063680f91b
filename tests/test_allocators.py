"""Memory that results leave goes back to the system; what the operator says about it goes first."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys

import pytest

from recoup.allocators import return_large_blocks, share_answers_memory

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

_HOLES = """
import sys
from recoup.allocators import return_large_blocks
if sys.argv[1] == "told":
    assert return_large_blocks()
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024
bytes(range(256)) * 8000  # a large block is freed: glibc takes those of its size from the heap from now on
blocks = [bytes(range(256)) * 4000 for _ in range(60)]
full = resident()
del blocks[::2]
print(full - resident())
"""

_ORDER = """
import os, sys
from recoup.__main__ import main
seen = []
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "granian":
            seen.append(os.environ["_RJEM_MALLOC_CONF"])
sys.meta_path.insert(0, Finder)
status = main(["serve", "--port", sys.argv[1]])
print(status, *seen)
"""


def output(program: str, argument: str) -> str:
    own = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program, argument], capture_output=True, text=True, check=True, env=own
    )
    return done.stdout


@GLIBC
def test_what_large_blocks_leave_between_others_goes_back_to_the_system() -> None:
    """Thirty holes of a megabyte, which glibc by itself would keep."""
    assert pytest.approx(30, abs=3) == float(output(_HOLES, "told"))
    assert 3 > float(output(_HOLES, "as it is"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "1000000"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=1000000")],
    ids=["by its variable", "by a tunable"],
)
def test_a_threshold_of_the_operators_own_stays(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert return_large_blocks() is False


def test_granian_finds_what_its_allocator_is_told_before_it_is_imported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "2 narenas:1" == output(_ORDER, str(taken.getsockname()[1])).strip()


def test_what_the_operator_tells_granians_allocator_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "narenas:8")
    share_answers_memory()
    assert "narenas:8" == os.environ["_RJEM_MALLOC_CONF"]
