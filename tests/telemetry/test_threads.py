"""The number of threads, as the operating system counts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recoup.telemetry.threads import ThreadCollector

PROGRAM = """
import threading
from recoup.telemetry.threads import ThreadCollector

def counted():
    (family,) = ThreadCollector().collect()
    return family.samples[0].value

end = threading.Event()
before = counted()
threading.Thread(target=end.wait, args=(60,)).start()
print(counted() - before)
end.set()
"""


def test_a_thread_that_begins_is_counted() -> None:
    """In a process of its own: in the tests' own one, others begin and end."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert 1 == float(done.stdout)


def test_where_there_is_no_proc_nothing_is_exported(tmp_path: Path) -> None:
    assert [] == list(ThreadCollector(str(tmp_path / "missing")).collect())
