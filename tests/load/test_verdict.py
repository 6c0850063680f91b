"""The verdict: a run that went well passes, and each thing that goes wrong fails its own checks and no others."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from loadtest import __main__ as command
from loadtest import journal, thresholds, verdict, workload
from loadtest.journal import Action, Phase, Request, Run
from loadtest.result import Check, Result

from .breaking import (
    ANSWERS,
    HIT_RATIO,
    NO_PROMETHEUS,
    REPLAYED,
    Break,
    Failed,
    good,
    nothing,
    of,
    one_hit_in,
    phase,
    requests,
    reversed_order,
    said,
    shows,
    slower,
    source,
)
from .broken import BROKEN
from .recorded import SETTINGS, Recorded, always, good_run, phase_of


def check(result: Result, scenario: str, name: str) -> Check:
    (judged,) = (check for check in result.checks if (check.scenario, check.name) == (scenario, name))
    return judged


def test_a_run_that_went_well_passes() -> None:
    result = good().judge()
    assert [] == [check for check in result.checks if not check.passed]
    assert result.passed


def test_the_run_that_went_well_has_the_phases_of_the_workload() -> None:
    assert [f"{phase.scenario} {phase.part}" for phase in workload.phases(SETTINGS)] == [
        phase.name for phase in good_run().phases
    ]


@pytest.mark.parametrize("name", ["single first", "single cached", "duplicate without", "pair cached", "triple cached"])
def test_it_has_their_requests_past_the_cache_and_through_it(name: str) -> None:
    (planned,) = (phase for phase in workload.phases(SETTINGS) if f"{phase.scenario} {phase.part}" == name)
    calls = [call for batch in planned.lanes[0].batches() if isinstance(batch, tuple) for call in batch]
    expected = Counter((call.item, call.headers.get("Cache-Control") == "no-store") for call in calls)
    judged = phase_of(good_run(), name).requests
    assert expected == Counter((one.item, one.outcome == "bypass") for one in judged)


@pytest.mark.parametrize(("expected", "broken"), BROKEN.values(), ids=BROKEN.keys())
def test_what_goes_wrong_fails_its_own_checks_and_no_others(expected: Failed, broken: Break) -> None:
    result = broken(good()).judge()
    assert expected == {(check.scenario, check.name) for check in result.checks if not check.passed}
    assert not result.passed


def test_every_check_can_fail() -> None:
    failing = {name for expected, _ in BROKEN.values() for _, name in expected}
    assert {check.name for check in good().judge().checks} <= failing


def test_the_hit_ratio_alone_does_not_tell_a_reversed_order() -> None:
    result = reversed_order().judge()
    assert check(result, "typical", REPLAYED).passed
    assert not check(result, "typical", ANSWERS).passed


def swapped(swaps: int) -> Break:
    """So many times a miss and the hit after it have each other's outcome, as when two were under way at once."""

    def changed(judged: Phase) -> Phase:
        made, left, place = list(judged.requests), swaps, 1
        made.sort(key=lambda request: request.at)
        while left:
            one, other = made[place - 1 : place + 1]
            if (one.outcome, other.outcome) == ("miss", "hit"):
                made[place - 1] = replace(one, outcome="hit", reason=None)
                made[place] = replace(other, outcome="miss", reason=one.reason)
                left, place = left - 1, place + 1
            place += 1
        return replace(judged, requests=tuple(made))

    return phase("typical cached", changed)


@pytest.mark.parametrize(("expected", "swaps"), [(True, 16), (False, 17)])
def test_two_answers_in_a_hundred_may_be_others_than_those_of_an_lru(expected: bool, swaps: int) -> None:
    judged = check(swapped(swaps)(good()).judge(), "typical", ANSWERS)
    assert (expected, f"{2 * swaps} answers of 1,600") == (judged.passed, judged.detail)


def test_what_waited_for_another_s_generation_is_what_an_lru_has_by_then() -> None:
    result = requests("typical cached", said(outcome="coalesced"), one_hit_in(10))(good()).judge()
    assert "0 answers of 1,600" == check(result, "typical", ANSWERS).detail
    assert check(result, "typical", REPLAYED).passed


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(requests("single first", slower(10), of("bypass")), id="a worker's first generations"),
        pytest.param(requests("single cached", said(generation_seconds=0.01), of("bypass")), id="those of no miss"),
    ],
)
def test_what_is_no_measure_changes_no_figure(harmless: Break) -> None:
    result, usual = harmless(good()).judge(), good().judge()
    assert (usual.checks, usual.usages) == (result.checks, result.usages)


@pytest.mark.parametrize("part", ["warm", "without"])
def test_typical_usage_past_the_cache_is_measured_before_and_after(part: str) -> None:
    usual, other = (
        next(usage.without_seconds for usage in world.judge().usages if usage.name == "Typical usage")
        for world in (good(), requests(f"typical {part}", slower(1.2), of("bypass"))(good()))
    )
    # Half of the answers are a fifth slower.
    assert pytest.approx(1.1 * usual) == other


def test_nothing_at_all_fails() -> None:
    run = Run(good_run().settings, (), good_run().begin, None)
    result = verdict.judge(run, Recorded(run, {}, down=True), thresholds.load())
    assert not result.passed


def test_a_verdict_says_why_there_is_no_figure() -> None:
    for value, why in ((nothing, "Prometheus answered with nothing"), (math.nan, "it shows NaN, which is no figure")):
        result = shows(HIT_RATIO, "typical cached", value)(good()).judge()
        assert why == check(result, "typical", "Hit ratio").detail


def test_a_steady_state_that_is_shorter_than_the_window_says_both() -> None:
    result = source(window="5m")(good()).judge()
    said = check(result, "typical", "Hit ratio").detail
    assert said.startswith("the panels look back over 300 s, the steady state lasted 2")


def test_of_a_panel_with_two_jobs_neither_is_taken() -> None:
    world = good()
    shown = {**world.source.shows, HIT_RATIO: {**always(0.7), "another": lambda at: 0.7}}
    result = replace(world, source=replace(world.source, shows=shown)).judge()
    assert "one line was expected, and there are 2: another, recoup" == check(result, "typical", "Hit ratio").detail


def test_of_several_windows_the_worst_is_told() -> None:
    world = source(window="10s")(good())
    cached = phase_of(world.run, "typical cached")
    early = shows(HIT_RATIO, "typical cached", lambda at: 0.61 if at < cached.end - 5 else 0.7)(world)
    assert "61.0 %" == check(early.judge(), "typical", "Hit ratio").measured
    assert "the worst of 2 windows of 10 s" == check(early.judge(), "typical", "Hit ratio").detail


def test_what_prometheus_lacks_is_noted() -> None:
    notes = [note for note in good().judge().notes if note.startswith("Prometheus lacks")]
    assert ["prometheus-restart", "terminate"] == [note.split()[3] for note in notes]


@pytest.mark.parametrize(("expected", "seconds"), [(True, 9.0), (False, 11.0)])
def test_a_prometheus_that_has_just_begun_may_see_its_first_sample_late(expected: bool, seconds: float) -> None:
    world = good()
    gaps = (*world.source.unscraped, (0.0, phase_of(world.run, "single first").begin + seconds))
    result = source(unscraped=gaps)(world).judge()
    assert expected is check(result, "run", "Scrapes without a gap").passed


def test_the_table_has_the_limit_beside_the_gain_and_the_computed_columns() -> None:
    rows = {usage.name: usage for usage in good().judge().usages}
    assert [
        "Single request",
        "Duplicate request",
        "2-item pipeline",
        "3-item pipeline",
        "Typical usage",
        "Typical usage, generator elsewhere",
    ] == list(rows)
    pair = rows["2-item pipeline"]
    assert (60, 0.5, 2.0) == (pair.requests, pair.hit_ratio, pair.limit)
    assert pytest.approx(pair.without_seconds / pair.with_seconds) == pair.gain
    # Half of 124.6 s, its overhead of half a millisecond, and half a hit of a millisecond.
    assert pytest.approx(124.6005) == pair.scaled_without_seconds
    assert pytest.approx(124.6005 / 2 + 0.001 / 2) == pair.scaled_with_seconds
    assert pytest.approx(pair.scaled_without_seconds / pair.scaled_with_seconds) == pair.scaled_gain


def test_a_scenario_that_did_not_run_is_not_judged() -> None:
    world = good()
    kept = tuple(phase for phase in world.run.phases if phase.scenario in ("single", "pair"))
    result = replace(world, run=replace(world.run, phases=kept)).judge()
    assert {"run", "single", "pair"} == {check.scenario for check in result.checks}
    assert ["Single request", "2-item pipeline"] == [usage.name for usage in result.usages]


def test_a_result_goes_through_json_and_comes_back() -> None:
    result = good().judge()
    assert result == Result.from_json(result.to_json())


def test_the_text_marks_what_failed_and_says_why() -> None:
    text = verdict.as_text(shows(HIT_RATIO, "typical cached", nothing)(good()).judge())
    (line,) = (line for line in text.splitlines() if line.startswith("  FAIL  Hit ratio  "))
    assert "66.7 % to 72.0 %" in line
    assert "        Prometheus answered with nothing" in text.splitlines()
    assert text.endswith("Load test FAILED: 3 of 109 checks failed\n")


def test_the_headline_of_a_good_run() -> None:
    assert "Load test passed: 109 checks" == verdict.headline(good().judge())


def written(run: Run, path: Path) -> Path:
    """A journal that says what a run says."""
    lines: list[Mapping[str, object]] = [{"line": "run", "at": run.begin, "settings": run.settings}]
    for one in run.phases:
        name = {"scenario": one.scenario, "part": one.part}
        lines.append({"line": "begin", **name, "at": one.begin, "counters": one.before})
        lines += [{"line": "request", **fields(request)} for request in one.requests]
        lines += [{"line": "action", **name, **fields(action)} for action in one.actions]
        lines.append({"line": "end", **name, "at": one.end, "counters": one.after})
    counts = {
        phase.name: {"requests": phase.locust_requests, "failures": phase.locust_failures} for phase in run.phases
    }
    lines.append({"line": "done", "at": run.end, "locust": counts})
    lines += [{"line": "account", "lookups": phase.account} for phase in run.phases if phase.account is not None]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def fields(record: Request | Action) -> Mapping[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def test_a_journal_that_is_read_says_what_was_written(tmp_path: Path) -> None:
    path, run = written(good_run(), tmp_path / "journal.jsonl"), good_run()
    read = journal.read(journal.lines(path))
    assert (run.begin, run.end, run.phases) == (read.begin, read.end, read.phases)


def ran(arguments: Iterable[str], folder: Path) -> int:
    return command.main([*arguments, "--output", str(folder)])


def test_the_command_says_no_without_a_prometheus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(good_run(), tmp_path / "journal.jsonl")
    assert command.EXIT_FAILED == ran(
        ["--journal", str(path), "--prometheus", "http://127.0.0.1:1", "--json"], tmp_path
    )
    result = Result.from_json(capsys.readouterr().out)
    assert NO_PROMETHEUS <= {(check.scenario, check.name) for check in result.checks if not check.passed}


def test_the_command_says_what_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none.jsonl"
    assert command.EXIT_UNUSABLE == ran(["--journal", str(missing), "--prometheus", "http://127.0.0.1:1"], tmp_path)
    assert "none.jsonl" in capsys.readouterr().err
