"""The number of threads, as the operating system counts them."""

from __future__ import annotations

import threading
from pathlib import Path

from recoup.telemetry.threads import ThreadCollector


def counted() -> float:
    (family,) = ThreadCollector().collect()
    return float(family.samples[0].value)


def test_a_thread_that_begins_is_counted() -> None:
    end = threading.Event()
    before = counted()
    thread = threading.Thread(target=end.wait, args=(60,))
    thread.start()
    try:
        assert before + 1 == counted()
    finally:
        end.set()
        thread.join(60)


def test_where_there_is_no_proc_nothing_is_exported(tmp_path: Path) -> None:
    assert [] == list(ThreadCollector(str(tmp_path / "missing")).collect())
