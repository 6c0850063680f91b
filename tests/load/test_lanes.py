"""How the batches of a phase are handed to its users."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from loadtest.lanes import OpenLane, PhaseRunner
from loadtest.plan import Batch, Call, Lane, Phase, Rendezvous

#: Seconds that anything may take on a busy machine.
PATIENCE = 20.0


def batch(name: str, calls: int = 1) -> Batch:
    return (Call(name, "/"),) * calls


def stream(*items: Batch | Rendezvous) -> Callable[[], Iterator[Batch | Rendezvous]]:
    return lambda: iter(items)


def name(taken: Batch | None) -> str | None:
    return None if taken is None else taken[0].item


@pytest.fixture
def offered() -> list[int]:
    return []


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def open_lane(lane: Lane, offered: list[int] | None = None) -> OpenLane:
    opened = OpenLane(lane, ([] if offered is None else offered).append)
    opened.start()
    return opened


def test_batches_come_in_their_order_and_then_none() -> None:
    lane = open_lane(Lane(stream(batch("a"), batch("b"))))
    assert ["a", "b", None, None] == [name(lane.take()) for _ in range(4)]


def test_an_unpaced_lane_offers_what_is_taken(offered: list[int]) -> None:
    lane = open_lane(Lane(stream(batch("a", calls=3), batch("b"))), offered)
    lane.take()
    assert [3] == offered


def test_a_lane_is_over_when_all_is_taken_and_answered() -> None:
    lane = open_lane(Lane(stream(batch("a"))))
    lane.take()
    lane.take()
    assert not lane.wait_until_over(0)
    lane.answered()
    assert lane.wait_until_over(0)


def test_a_closed_lane_begins_nothing_more_and_is_over_when_the_rest_is_answered() -> None:
    lane = open_lane(Lane(stream(batch("a"), batch("b"))))
    lane.take()
    lane.close()
    assert (None, False, 1) == (lane.take(), lane.wait_until_over(0), lane.under_way)
    lane.answered()
    assert lane.wait_until_over(0)


def test_after_a_rendezvous_nothing_is_sent_before_all_is_answered(pool: ThreadPoolExecutor) -> None:
    lane = open_lane(Lane(stream(batch("a"), batch("b"), Rendezvous(), batch("c")), users=3))
    assert ["a", "b"] == [name(lane.take()), name(lane.take())]
    third: Future[Batch | None] = pool.submit(lane.take)
    lane.answered()
    assert lane.under_way == 1
    assert not third.done()
    lane.answered()
    assert "c" == name(third.result(PATIENCE))


def test_a_rendezvous_at_the_beginning_and_at_the_end_holds_nobody_up() -> None:
    lane = open_lane(Lane(stream(Rendezvous(), batch("a"), Rendezvous())))
    assert "a" == name(lane.take())
    lane.answered()
    assert None is lane.take()
    assert lane.wait_until_over(0)


def test_closing_wakes_whoever_waits_at_a_rendezvous(pool: ThreadPoolExecutor) -> None:
    lane = open_lane(Lane(stream(batch("a"), Rendezvous(), batch("b")), users=2))
    lane.take()
    waiting: Future[Batch | None] = pool.submit(lane.take)
    lane.close()
    assert None is waiting.result(PATIENCE)


def test_a_paced_lane_offers_on_time_although_nobody_takes(offered: list[int]) -> None:
    """The schedule goes on when all users are held up: that is how offered and achieved come apart."""
    begun = time.monotonic()
    lane = open_lane(Lane(stream(*[batch("a", calls=2)] * 4), rate=100.0), offered)
    while sum(offered) < 8:
        assert time.monotonic() < begun + PATIENCE
        time.sleep(0.001)
    # Four at 100 a second: the last one is due after 30 ms, and none earlier than that.
    assert time.monotonic() - begun >= 0.03
    assert [2, 2, 2, 2] == offered
    assert not lane.wait_until_over(0)


def test_a_paced_lane_hands_out_what_is_due_and_ends(offered: list[int]) -> None:
    lane = open_lane(Lane(stream(batch("a"), batch("b")), rate=1000.0), offered)
    assert ["a", "b", None] == [name(lane.take()) for _ in range(3)]
    lane.answered()
    lane.answered()
    assert lane.wait_until_over(0)


def test_a_paced_lane_keeps_its_rendezvous(pool: ThreadPoolExecutor) -> None:
    lane = open_lane(Lane(stream(batch("a"), Rendezvous(), batch("b")), rate=1000.0, users=2))
    assert "a" == name(lane.take())
    second: Future[Batch | None] = pool.submit(lane.take)
    assert not second.done()
    lane.answered()
    assert "b" == name(second.result(PATIENCE))


def test_what_is_due_and_not_begun_when_the_lane_closes_is_left(offered: list[int]) -> None:
    lane = open_lane(Lane(stream(batch("a"), batch("b")), rate=1000.0), offered)
    assert "a" == name(lane.take())
    lane.close()
    lane.answered()
    assert None is lane.take()
    assert lane.wait_until_over(0)


def test_a_pause_ends_with_its_lane(pool: ThreadPoolExecutor) -> None:
    lane = open_lane(Lane(stream(batch("a")), pause_seconds=10 * PATIENCE))
    pausing = pool.submit(lane.pause)
    lane.close()
    assert None is pausing.result(PATIENCE)


def phase(*lanes: Lane) -> Phase:
    return Phase("scenario", "part", lanes)


def started(planned: Phase) -> PhaseRunner:
    runner = PhaseRunner()
    runner.start(planned, [].append)  # type: ignore[arg-type]
    return runner


def test_a_phase_hands_out_each_lane_as_often_as_it_may_have_users() -> None:
    planned = phase(Lane(stream(), users=2), Lane(stream(), users=1))
    runner = started(planned)
    assert 3 == planned.users
    assert [*[runner.lanes[0]] * 2, runner.lanes[1]] == [runner.next_lane()[1] for _ in range(3)]


def test_a_phase_is_over_when_each_of_its_lanes_is() -> None:
    runner = started(phase(Lane(stream()), Lane(stream(batch("a")))))
    assert None is runner.lanes[0].take()
    runner.lanes[1].take()
    assert not runner.wait_until_over(0)
    runner.lanes[1].answered()
    assert None is runner.lanes[1].take()
    assert runner.wait_until_over(0)


def test_what_is_under_way_after_the_wait_is_told() -> None:
    runner = started(phase(Lane(stream(batch("a"), batch("b")))))
    runner.lanes[0].take()
    runner.close()
    assert (False, 1) == (runner.wait_until_over(0), runner.under_way())
    runner.lanes[0].answered()
    assert (True, 0) == (runner.wait_until_over(0), runner.under_way())


def test_users_wait_for_a_lane_and_nobody_gets_a_place_twice(pool: ThreadPoolExecutor) -> None:
    runner, planned = PhaseRunner(), phase(Lane(stream(), users=2))
    waiting = [pool.submit(runner.next_lane) for _ in range(2)]
    assert not any(one.done() for one in waiting)
    runner.start(planned, [].append)  # type: ignore[arg-type]
    assert [(planned, runner.lanes[0])] * 2 == [one.result(PATIENCE) for one in waiting]
    late = pool.submit(runner.next_lane)
    runner.close()
    assert not late.done()
    runner.start(planned, [].append)  # type: ignore[arg-type]
    assert planned == late.result(PATIENCE)[0]


def test_many_users_share_a_stream_without_losing_or_repeating_a_batch(pool: ThreadPoolExecutor) -> None:
    lane = open_lane(Lane(stream(*(batch(str(number)) for number in range(500))), users=8))
    taken: list[str] = []
    lock = threading.Lock()

    def work() -> None:
        while (batch_taken := lane.take()) is not None:
            with lock:
                taken.append(batch_taken[0].item)
            lane.answered()

    for done in [pool.submit(work) for _ in range(8)]:
        done.result(PATIENCE)
    assert sorted(map(str, range(500))) == sorted(taken)
    assert lane.wait_until_over(0)
