"""How a run is led through its phases, and that nothing it waits for holds it up for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from loadtest import answers, conductor, journal
from loadtest.actions import clear, configure, list_entries
from loadtest.conductor import Conductor
from loadtest.exporter import Exporter
from loadtest.journal import Run
from loadtest.lanes import PhaseRunner
from loadtest.plan import Batch, Call, Lane, Moment, Phase
from loadtest.recorder import Recorder
from loadtest.service import ServiceClient

from recoup import LRUCache

from .managed import PATIENCE, managed

ONE: Batch = (Call("item", "/"),)


class Threads:
    """Users as threads: each call is answered at once, or when it is let go."""

    def __init__(self, runner: PhaseRunner, held: bool) -> None:
        self.recorder: Recorder
        self.let_go = threading.Event()
        self.stuck = False
        self.wrong = 0
        self.counted: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stage = runner
        self._count = 0
        if not held:
            self.let_go.set()

    def want(self, count: int) -> None:
        while not self.stuck and self._count < count:
            self._count += 1
            threading.Thread(target=self._work, daemon=True).start()
        self._count = self._count if self.stuck else count

    def count(self) -> int:
        return self._count

    def _work(self) -> None:
        while True:
            phase, lane = self._stage.next_lane()
            while (batch := lane.take()) is not None:
                for call in batch:
                    self.let_go.wait(PATIENCE)
                    self.send(phase, call)
                lane.answered()

    def send(self, phase: Phase, call: Call) -> tuple[int, bytes]:
        with self._lock:
            self.counted[phase.name] += 1
        self.recorder.request(phase, answers.answered(call, (0.0, 0.0), 200, {}.get, []))  # type: ignore[arg-type]
        return 200, b'{"entries": []}'

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        return {name: {"requests": count + self.wrong, "failures": 0} for name, count in self.counted.items()}


class Scene:
    """One run, with a real cache behind it."""

    def __init__(self, url: str, cache: LRUCache, folder: Path) -> None:
        self.cache = cache
        self.runner = PhaseRunner()
        self.users = Threads(self.runner, held=False)
        self._url = url
        self._path = folder / "journal.jsonl"
        self.conductor: Conductor

    def prepare(self, *phases: Phase) -> Conductor:
        self.users.recorder = Recorder(self._path, Exporter(self.users.count))
        self.conductor = Conductor(
            phases,
            {"seed": 1},
            0.0,
            runner=self.runner,
            users=self.users,
            recorder=self.users.recorder,
            service=ServiceClient(self._url, None),
            send=self.users.send,
            locust=self.users.counts,
        )
        return self.conductor

    def play(self, *phases: Phase) -> Run:
        running = threading.Thread(target=self.prepare(*phases).run, daemon=True)
        running.start()
        running.join(PATIENCE)
        assert not running.is_alive()
        return self.run()

    def run(self) -> Run:
        return journal.read(journal.lines(self._path))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    cache = LRUCache()
    with managed(cache) as url:
        made = Scene(url, cache, tmp_path)
        yield made
        made.users.let_go.set()


def phase(part: str, *lanes: Lane, **fields: Any) -> Phase:
    return Phase("scenario", part, lanes, **fields)


def lane(*batches: Batch, **fields: Any) -> Lane:
    return Lane(lambda: iter(batches), **fields)


def errors(run: Run) -> list[tuple[str, str]]:
    return [(action.action, action.error) for phase in run.phases for action in phase.actions if action.error]


def test_phases_are_played_in_their_order_with_the_counters_around_them(scene: Scene) -> None:
    run = scene.play(phase("one", lane(ONE, ONE), lane(ONE)), phase("two", lane(ONE)))
    assert [("one", 3, 3), ("two", 1, 1)] == [
        (phase.part, len(phase.requests), phase.locust_requests) for phase in run.phases
    ]
    assert all(phase.after is not None and "recoup_entries_limit" in {**phase.before} for phase in run.phases)
    assert ({"seed": 1}, True, []) == (run.settings, run.end is not None, errors(run))
    assert scene.conductor.went_well


def test_what_comes_before_a_phase_is_done_without_being_counted(scene: Scene) -> None:
    scene.cache.set("key", b"result")
    run = scene.play(phase("one", before=(clear(),)))
    assert (["Clear"], ()) == ([action.action for action in run.phases[0].actions], run.phases[0].requests)
    assert 0.0 == run.phases[0].before['recoup_entries{pipeline="default"}']


def test_what_happens_meanwhile_is_counted_and_the_phase_waits_for_it(scene: Scene) -> None:
    run = scene.play(phase("one", lane(ONE), during=(Moment(0.05, list_entries()), Moment(0.0, list_entries()))))
    assert ["ListEntries"] * 2 == [action.action for action in run.phases[0].actions]
    assert Counter({"manage": 2, "generate": 1}) == Counter(request.kind for request in run.phases[0].requests)


def test_a_phase_with_a_limit_ends_an_endless_lane(scene: Scene) -> None:
    run = scene.play(phase("one", Lane(lambda: repeat(ONE), rate=100.0), seconds=0.1))
    assert 0.1 <= run.phases[0].end - run.phases[0].begin
    assert [] == errors(run)


def test_a_phase_goes_on_until_it_has_the_requests_that_its_checks_need(scene: Scene) -> None:
    run = scene.play(phase("one", Lane(lambda: repeat(ONE), rate=200.0), seconds=0.0, requests=40))
    assert 40 <= len(run.phases[0].requests) < 400
    assert [] == errors(run)


def test_a_phase_whose_lanes_are_over_before_ends_with_them(scene: Scene) -> None:
    assert 1 == len(scene.play(phase("one", lane(ONE), seconds=0.0, requests=40)).phases[0].requests)


def test_what_happens_meanwhile_waits_for_requests_since_the_moment_before(scene: Scene) -> None:
    during = (Moment(0.0, clear(), 20), Moment(0.0, clear(), 20))
    endless = Lane(lambda: repeat(ONE), rate=200.0)
    (one,) = scene.play(phase("one", endless, seconds=0.0, during=during)).phases
    answered = [sum(request.kind == "generate" for request in one.requests[: place + 1]) for place in managed_at(one)]
    assert answered[0] >= 20
    assert answered[1] >= 39  # the first of them is counted, too


def managed_at(played: journal.Phase) -> list[int]:
    """The places of the management calls among the requests."""
    return [place for place, request in enumerate(played.requests) if request.kind == "manage"]


def test_the_configuration_is_put_back(scene: Scene) -> None:
    before = scene.cache.config()
    run = scene.play(phase("one", lane(ONE), before=(configure({"max_size": 3, "ttl_seconds": 5, "enabled": False}),)))
    assert (before, 3.0) == (scene.cache.config(), run.phases[0].before["recoup_entries_limit"])


def test_a_phase_has_the_statistics_at_its_end_and_a_rest_after_it(scene: Scene) -> None:
    conductor = scene.prepare(phase("one", lane(ONE)), phase("two", lane(ONE)))
    conductor.settle_seconds = 0.2
    conductor.run()
    run = scene.run()
    assert [True, True] == [phase.stats is not None and "pipelines" in phase.stats for phase in run.phases]
    one, two = run.phases
    assert one.rested is not None
    assert one.end + 0.75 * 0.2 <= one.rested <= two.begin


def test_the_counters_before_anything_is_done_are_known(scene: Scene) -> None:
    run = scene.play(phase("one", lane(ONE)))
    assert run.counters is not None
    assert run.counters.keys() <= run.phases[0].before.keys()


def test_an_interrupted_phase_has_no_counters_at_its_end(scene: Scene) -> None:
    assert None is scene.play(phase("one", lane(ONE), interrupted=True)).phases[0].after


def test_an_action_that_fails_is_an_error_and_the_run_goes_on(scene: Scene) -> None:
    run = scene.play(phase("one", lane(ONE), before=(configure({"max_size": 0}),)), phase("two", lane(ONE)))
    ((action, error),) = errors(run)
    assert 'Configure {"max_size": 0}' == action
    assert "was answered with 400" in error
    assert (2, False) == (len(run.phases), scene.conductor.went_well)


def test_a_run_whose_counts_disagree_did_not_go_well(scene: Scene) -> None:
    scene.users.wrong = 1
    scene.play(phase("one", lane(ONE)))
    assert not scene.conductor.went_well


def test_calls_that_hang_are_an_error_and_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "REQUEST_SECONDS", -10.0)
    scene.users.let_go.clear()
    run = scene.play(phase("one", lane(ONE, ONE, users=2), seconds=1.0))
    assert [("wait for the last answers", "2 batches are under way")] == errors(run)
    assert not scene.conductor.went_well


def test_lanes_without_an_end_are_an_error_and_are_ended(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "PHASE_SECONDS", 0.1)
    run = scene.play(phase("one", Lane(lambda: repeat(ONE), rate=100.0)))
    assert [("wait for the lanes' end", "they go on after 0.1 s")] == errors(run)


def test_users_who_do_not_come_are_an_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "_USERS_SECONDS", 0.0)
    scene.users.stuck = True
    run = scene.play(phase("one"))
    assert [("gather users", "0 of 1 users after 0 s")] == errors(run)


def test_a_run_that_is_broken_off_puts_the_configuration_back_and_has_no_end(scene: Scene) -> None:
    before = scene.cache.config()
    begun = threading.Event()

    def endless() -> Iterator[Batch]:
        for batch in repeat(ONE):
            begun.set()
            yield batch

    planned = phase("one", Lane(endless, rate=100.0), before=(configure({"max_size": 3}),))
    running = threading.Thread(target=scene.prepare(planned, phase("two")).run, daemon=True)
    running.start()
    assert begun.wait(PATIENCE)
    scene.conductor.stop(PATIENCE)
    run = scene.run()
    assert (before, None, ["one"]) == (scene.cache.config(), run.end, [phase.part for phase in run.phases])
    assert not scene.conductor.went_well


def test_a_service_that_is_not_there_ends_the_run(scene: Scene) -> None:
    scene._url = "http://127.0.0.1:9"
    assert () == scene.play(phase("one", lane(ONE))).phases
    assert not scene.conductor.went_well
