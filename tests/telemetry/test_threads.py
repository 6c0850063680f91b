"""The number of threads, as the operating system counts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recoup.telemetry.threads import ThreadCollector

#: In a process of its own: here, threads of the test runner come and go.
PROGRAM = """
import threading
from recoup.telemetry.threads import ThreadCollector

def counted():
    (family,) = ThreadCollector().collect()
    return int(family.samples[0].value)

before = counted()
end = threading.Event()
threads = [threading.Thread(target=end.wait) for _ in range(3)]
for thread in threads:
    thread.start()
print(counted() - before)
end.set()
"""


def test_threads_that_begin_are_counted() -> None:
    counted = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert "3\n" == counted.stdout


def test_where_there_is_no_proc_nothing_is_exported(tmp_path: Path) -> None:
    assert [] == list(ThreadCollector(str(tmp_path / "missing")).collect())
