"""The figures of the probe: percentiles of hits, and how long it took until they were as fast as before."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time

import pytest
from benchmarks.hostile.probe import Hit, Latency, Probe, read, recovery_seconds

BEFORE = Latency(100, 0, 0.001, 0.02)


def hits(*seconds: float, rate: float = 10.0) -> list[Hit]:
    """Hits that were due at a rate from 0 on, and took so long."""
    return [Hit(number / rate, taken, "200") for number, taken in enumerate(seconds)]


def test_the_percentiles_are_those_of_the_hits() -> None:
    latency = Latency.of(hits(*(number / 1000 for number in range(1, 101))))
    assert (100, 0, 0.05, 0.099) == (latency.count, latency.failed, latency.p50, latency.p99)


def test_a_hit_that_failed_took_for_ever() -> None:
    latency = Latency.of(hits(0.001, 0.001, math.inf))
    assert (1, 0.001, math.inf) == (latency.failed, latency.p50, latency.p99)


def test_a_phase_without_hits_answered_nothing() -> None:
    assert Latency(0, 0, math.inf, math.inf) == Latency.of([])


@pytest.mark.parametrize(
    ("slow", "expected"), [(0, 0.0), (1, 0.1), (15, 1.5)], ids=["never slow", "for one hit", "for 1.5 s"]
)
def test_recovery_ends_with_the_last_slow_hit(slow: int, expected: float) -> None:
    taken = [*([1.0] * slow), *([0.002] * 40)]
    assert expected == pytest.approx(recovery_seconds(hits(*taken), 0.0, BEFORE))


def test_hits_that_stay_slow_never_recover() -> None:
    assert math.inf == recovery_seconds(hits(*[1.0] * 40), 0.0, BEFORE)


def test_a_second_has_to_have_been_watched() -> None:
    """Half a second of fast hits at the end of the watch is not enough."""
    assert math.inf == recovery_seconds(hits(*[1.0] * 20, *[0.001] * 5), 0.0, BEFORE)


def test_hits_before_the_end_of_the_attack_do_not_count() -> None:
    assert 0.0 == pytest.approx(recovery_seconds(hits(*[1.0] * 10, *[0.001] * 20), 1.0, BEFORE))


def test_what_a_probe_prints_is_read_by_when_it_was_due() -> None:
    lines = ["2.5 inf no answer", "1.5 0.001 200"]
    assert [Hit(1.5, 0.001, "200"), Hit(2.5, math.inf, "no answer")] == read(lines)


def test_what_a_probe_has_measured_is_read_while_it_goes_on() -> None:
    program = "import sys; print('1.5 0.1 200', flush=True); sys.stdin.read(); print('2.5 0.1 200')"
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=output) as process,
    ):
        probe = Probe(process, output)
        deadline = time.monotonic() + 60
        while not probe.so_far():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert [1.5] == [hit.due for hit in probe.so_far()]
        assert [1.5, 2.5] == [hit.due for hit in probe.finish()]
