"""One line for one request; hits are limited, misses and errors are not."""

from __future__ import annotations

import threading
import time

import pytest
from structlog.testing import capture_logs

from clock import FakeClock
from recoup.telemetry import RequestLog
from recoup.telemetry.request_log import RateLimit

REQUEST = {
    "request_id": "r-1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "route": "/api/generate/<pipeline>",
    "method": "POST",
    "path": "/api/generate/relief",
    "status": 200,
    "duration_seconds": 0.0012,
    "bytes": 2048,
    "pipeline": "relief",
    "key": "0" * 32,
    "outcome": "hit",
    "cost_seconds": 1.5,
}


def lines(*requests: dict, log: RequestLog | None = None) -> list[dict]:
    log = log or RequestLog()
    with capture_logs() as written:
        for request in requests:
            log.log_request(**{**REQUEST, **request})
    return [dict(line) for line in written]


class TestTheLine:
    def test_it_has_what_is_known_of_the_request(self) -> None:
        expected = {**REQUEST, "event": "request", "log_level": "info"}

        assert [expected] == lines({})

    def test_a_miss_tells_its_reason(self) -> None:
        assert "evicted" == lines({"outcome": "miss", "reason": "evicted"})[0]["miss_reason"]

    @pytest.mark.parametrize("member", ["trace_id", "route", "bytes", "pipeline", "key", "outcome", "cost_seconds"])
    def test_what_is_not_known_is_left_out(self, member: str) -> None:
        assert member not in lines({member: None})[0]

    def test_zeros_are_known(self) -> None:
        assert 0 == lines({"bytes": 0})[0]["bytes"]

    @pytest.mark.parametrize(("member", "length"), [("path", 256), ("method", 256)])
    def test_what_callers_write_is_cut(self, member: str, length: int) -> None:
        assert length == len(lines({member: "x" * 100_000})[0][member])

    @pytest.mark.parametrize(
        ("status", "level"),
        [(200, "info"), (304, "info"), (404, "info"), (500, "error"), (502, "warning"), (503, "warning")],
    )
    def test_its_level_follows_the_status(self, status: int, level: str) -> None:
        assert level == lines({"status": status})[0]["log_level"]

    @pytest.mark.parametrize("route", ["/metrics", "/healthz", "/readyz"])
    @pytest.mark.parametrize(("status", "level"), [(200, "debug"), (503, "warning")])
    def test_what_machines_ask_all_day_is_quiet_while_it_succeeds(self, route: str, status: int, level: str) -> None:
        assert level == lines({"route": route, "status": status, "outcome": None})[0]["log_level"]


class TestLimits:
    def test_hits_past_the_limit_are_counted_on_the_next_line(self) -> None:
        clock = FakeClock()
        log = RequestLog(2, clock)
        first = lines(*[{}] * 10, log=log)
        clock.now += 0.5
        second = lines({}, log=log)
        clock.now += 0.5
        third = lines({}, log=log)

        assert [None, None, 8, None] == [line.get("hits_not_logged") for line in first + second + third]

    def test_after_a_quiet_time_no_more_than_a_second_s_lines_come_at_once(self) -> None:
        clock = FakeClock()
        log = RequestLog(3, clock)
        clock.now += 3600

        assert 3 == len(lines(*[{}] * 10, log=log))

    @pytest.mark.parametrize("rate", [0.3, 1, 7, 10, 1000])
    def test_over_a_minute_of_steady_hits_the_rate_is_kept(self, rate: float) -> None:
        clock = FakeClock()
        limit = RateLimit(rate, clock)
        passes = 0
        for _ in range(60 * 2000):
            passes += limit.take() is not None
            clock.now += 1 / 2000

        assert 60 * rate == pytest.approx(passes, abs=rate + 1)

    def test_less_than_one_a_second_is_possible(self) -> None:
        clock = FakeClock()
        log = RequestLog(0.5, clock)
        counts = [len(lines({}, log=log))]
        for _ in range(4):
            clock.now += 1
            counts.append(len(lines({}, log=log)))

        assert [1, 0, 1, 0, 1] == counts

    @pytest.mark.parametrize("outcome", ["hit", "stale"])
    def test_a_limit_of_zero_logs_no_hit(self, outcome: str) -> None:
        assert [] == lines({"outcome": outcome}, log=RequestLog(0))

    @pytest.mark.parametrize(
        "request_",
        [
            {"outcome": "miss", "reason": "cold"},
            {"outcome": "coalesced"},
            {"outcome": "bypass"},
            {"outcome": None},
            {"outcome": "hit", "status": 500},
            {"outcome": "hit", "status": 406},
        ],
        ids=["miss", "coalesced", "bypass", "management", "error", "refusal"],
    )
    def test_everything_else_is_always_logged(self, request_: dict) -> None:
        assert 100 == len(lines(*[request_] * 100, log=RequestLog(0)))

    def test_no_hit_is_lost_under_threads(self) -> None:
        clock = FakeClock()
        limit = RateLimit(1, clock)
        passes: list[int] = []
        threads = [threading.Thread(target=knock, args=(limit, 2000, passes)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        clock.now += 1
        last = limit.take()

        assert [0] == passes
        assert 8 * 2000 - 1 == last

    @pytest.mark.load
    def test_a_hit_that_is_not_logged_costs_about_a_microsecond_at_most(self) -> None:
        """The bound is ten times what it takes, so that a busy machine does not fail it."""
        log, best = RequestLog(1, FakeClock()), float("inf")
        log.log_request(**{**REQUEST, "outcome": "hit"})  # type: ignore[arg-type]
        for _ in range(5):
            start = time.thread_time()
            for _ in range(2000):
                log.log_request(**REQUEST)  # type: ignore[arg-type]
            best = min(best, (time.thread_time() - start) / 2000)

        assert best < 10e-6


def knock(limit: RateLimit, times: int, passes: list[int]) -> None:
    for _ in range(times):
        passed = limit.take()
        if passed is not None:
            passes.append(passed)
