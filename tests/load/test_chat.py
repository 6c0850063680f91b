"""The chat of the load test: its upstream, its requests, and that each of its checks notices what it is there for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from loadtest import chat as upstream
from loadtest import thresholds, workload
from loadtest.checks import SCENARIOS
from loadtest.checks.case import Case, Scope
from loadtest.journal import Phase, Request, Run
from loadtest.panels import Panels
from loadtest.plan import Call
from loadtest.service import UPSTREAM_REQUESTS, series

from .chatted import SETTINGS, good_run

Lie = Callable[[Run], Run]
COMPLETE = series("recoup_streams_total", {"pipeline": "chat", "end": "complete"})
CUT = series("recoup_streams_total", {"pipeline": "chat", "end": "cut"})
SPENT, RECOUPED = (
    series(f"recoup_{what}_cost_total", {"pipeline": "chat", "currency": "USD"}) for what in ("generated", "recouped")
)
SPARED, HELD = (series(name, {"pipeline": "chat"}) for name in ("recoup_recouped_seconds_total", "recoup_entries"))
HITS = series("recoup_lookups_total", {"pipeline": "chat", "outcome": "hit"})


def failed(run: Run) -> set[str]:
    # None of its checks asks Prometheus.
    case = Case(run, Panels(None, 1.0), thresholds.load(), 20.0)  # type: ignore[arg-type]
    return {check.name for check in SCENARIOS["chat"].on(Scope(case, "chat")) if not check.passed}


def changed(part: str, change: Callable[[Phase], Phase]) -> Lie:
    return lambda run: replace(
        run, phases=tuple(change(phase) if phase.part == part else phase for phase in run.phases)
    )


def requests(part: str, which: Callable[[Request], bool], one: bool = True, **changes: Any) -> Lie:
    """Change the first request of a phase that fits, or all."""

    def change(phase: Phase) -> Phase:
        fitting = [place for place, request in enumerate(phase.requests) if which(request)]
        chosen = set(fitting[:1] if one else fitting)
        assert chosen
        made = (replace(each, **changes) if place in chosen else each for place, each in enumerate(phase.requests))
        return replace(phase, requests=tuple(made))

    return changed(part, change)


def counted(part: str, text: str, more: float) -> Lie:
    """Let the service, or the upstream, count something else in a phase."""
    return changed(
        part, lambda phase: replace(phase, after={**(phase.after or {}), text: (phase.after or {})[text] + more})
    )


def stream(outcome: str) -> Callable[[Request], bool]:
    return lambda request: request.content_type == upstream.EVENTS and request.outcome == outcome


def _dead() -> Phase:
    return next(phase for phase in good_run().phases if phase.part == "dead")


NOISE, RATIO, STREAMS = "Requests that differ in noise", "Hit ratio", "Streams, against the first of each"
FOLLOWERS, FIRST, REFUSALS = "Followers in mid-stream", "First byte of a stream", "Refusals, as the upstream said them"
KEPT, COUNT = "Refusals are never stored", "Generations, by the upstream's own count"
DEAD, MEANWHILE, OTHERS = "The upstream is dead", "Held results meanwhile", "All others meanwhile"
SECONDS, MONEY = "Recouped seconds", "Money recouped"
STALE = "Stale results meanwhile"

LIES: dict[str, tuple[set[str], Lie]] = {
    "too little traffic": (
        {"Traffic", RATIO, MONEY},
        changed("mixed", lambda p: replace(p, requests=p.requests[:300])),
    ),
    "noise that makes a key": (
        {NOISE, COUNT, "Money spent", MONEY},
        requests("mixed", lambda one: one.outcome == "hit" and one.content_type != upstream.EVENTS, outcome="miss"),
    ),
    "a hit more is counted": ({RATIO}, counted("mixed", HITS, 3)),
    "a replay lacks its end": ({STREAMS}, requests("mixed", stream("hit"), bytes=10, digest="1")),
    "a follower lacks the beginning": ({STREAMS}, requests("followers", stream("coalesced"), bytes=10, digest="1")),
    "a follower generates for itself": (
        {FOLLOWERS, COUNT, "Streams counted", "Money spent", MONEY},
        requests("followers", stream("coalesced"), outcome="miss"),
    ),
    "nobody comes in mid-stream": (
        {FOLLOWERS},
        changed(
            "followers",
            lambda phase: replace(
                phase,
                requests=tuple(
                    replace(one, at=phase.end + 1) if one.outcome != "miss" else one for one in phase.requests
                ),
            ),
        ),
    ),
    "streams that are kept until they are whole": ({FIRST}, requests("followers", stream("miss"), first_seconds=1.5)),
    "no first byte is known": ({FIRST}, requests("followers", lambda one: True, one=False, first_seconds=None)),
    "a refusal with another body": ({REFUSALS}, requests("refused", lambda one: True, digest="1")),
    "a failure as another status": ({REFUSALS, COUNT}, requests("refused", lambda one: one.status == 500, status=503)),
    "a refusal that does not say when to come again": (
        {REFUSALS},
        requests("refused", lambda one: one.status == 429, retry_after=None),
    ),
    "a refusal that is answered from the cache": ({KEPT, COUNT}, counted("refused", UPSTREAM_REQUESTS, -1)),
    "a refusal that is stored": ({KEPT}, counted("refused", HELD, 1)),
    "a generation that nobody asked for": ({COUNT}, counted("mixed", UPSTREAM_REQUESTS, 1)),
    "a miss that the upstream did not see": ({COUNT}, counted("mixed", UPSTREAM_REQUESTS, -1)),
    "an upstream that cannot be asked": (
        {COUNT, KEPT},
        changed(
            "refused",
            lambda phase: replace(
                phase, after={key: value for key, value in (phase.after or {}).items() if key != UPSTREAM_REQUESTS}
            ),
        ),
    ),
    "an upstream that does not die": (
        {DEAD, MEANWHILE, OTHERS},
        changed("dead", lambda phase: replace(phase, actions=())),
    ),
    "a held result fails meanwhile": (
        {MEANWHILE, MONEY},
        requests(
            "dead",
            lambda one: "-mixed-" in one.item and one.at > _dead().begin + 2,
            status=504,
            outcome=None,
        ),
    ),
    "what is not held is answered meanwhile": (
        {OTHERS, COUNT, "Money spent", "Streams counted"},
        requests(
            "dead",
            lambda one: one.status == 502 and "-1" in one.item,
            status=200,
            outcome="miss",
            content_type=upstream.EVENTS,
            digest="1",
        ),
    ),
    "what has expired is not answered": (
        {STALE, MONEY},
        requests("dead", lambda one: one.outcome == "stale", status=502, outcome=None),
    ),
    "what has expired is told as a hit": ({STALE}, requests("dead", lambda one: one.outcome == "stale", outcome="hit")),
    "nothing expires meanwhile": (
        {STALE, MONEY},
        changed("dead", lambda p: replace(p, requests=tuple(one for one in p.requests if one.outcome != "stale"))),
    ),
    "another result stands in": (
        {STALE},
        requests("dead", lambda one: one.outcome == "stale" and one.content_type != upstream.EVENTS, digest="1"),
    ),
    "a failure afterwards": (
        {"Requests afterwards", MONEY},
        requests("recovery", lambda one: one.outcome == "hit", status=502, outcome=None),
    ),
    "an upstream that is used again after half a minute": (
        {"Recovery"},
        changed("recovery", lambda p: replace(p, requests=tuple(replace(one, at=one.at + 30) for one in p.requests))),
    ),
    "a stream that broke off": ({"Streams counted"}, counted("mixed", CUT, 1)),
    "a stream that is counted twice": ({"Streams counted"}, counted("mixed", COMPLETE, 1)),
    "followers recoup nothing": (
        {SECONDS, MONEY},
        lambda run: counted("followers", SPARED, -60)(counted("followers", RECOUPED, -1)(run)),
    ),
    "too much is recouped": ({SECONDS}, counted("mixed", SPARED, 40)),
    "a cent too much is spent": ({"Money spent"}, counted("mixed", SPENT, 0.01)),
    "a cent too much is recouped": ({MONEY}, counted("mixed", RECOUPED, 0.01)),
}


def test_a_chat_that_went_well_passes() -> None:
    assert set() == failed(good_run())


@pytest.mark.parametrize("name", LIES)
def test_what_goes_wrong_fails_the_check_that_is_there_for_it(name: str) -> None:
    expected, lie = LIES[name]
    assert expected == failed(lie(good_run()))


def test_every_check_of_the_chat_has_a_lie() -> None:
    case = Case(good_run(), Panels(None, 1.0), thresholds.load(), 20.0)  # type: ignore[arg-type]
    checks = {check.name for check in SCENARIOS["chat"].on(Scope(case, "chat"))}
    assert checks == {name for names, _ in LIES.values() for name in names}


def calls() -> list[Call]:
    return [
        batch[0]
        for phase in workload.phases(SETTINGS)
        for lane in phase.lanes
        for batch in lane.batches()
        if isinstance(batch, tuple)
    ]


def test_requests_for_one_item_differ_in_noise_alone() -> None:
    ignored = {pointer[1:] for pointer in (*upstream.IGNORED, *upstream.DEFAULTS)}
    asked: dict[str, set[str]] = {}
    for call in calls():
        members = {name: value for name, value in json.loads(call.body).items() if name not in ignored}
        asked.setdefault(call.item, set()).add(json.dumps(members, sort_keys=True))
    assert {1} == {len(different) for different in asked.values()}
    assert len(asked) == len(set.union(*asked.values()))


def test_no_two_requests_have_the_same_body() -> None:
    bodies = [call.body for call in calls()]
    assert len(bodies) == len(set(bodies)) > 800


def test_the_noise_of_a_request_changes_no_byte_of_its_answer() -> None:
    answers: dict[str, set[bytes]] = {}
    for call in calls():
        answers.setdefault(call.item, set()).add(upstream.answer(call.body).body)
    assert {1} == {len(different) for different in answers.values()}


def ask(**members: Any) -> upstream.Answer:
    asked = {"model": upstream.ANSWERS, "messages": [], "seconds": 0.7, **members}
    return upstream.answer(json.dumps(asked).encode())


def test_a_stream_ends_as_the_protocol_has_it_and_says_what_was_used() -> None:
    events = [piece.decode().removeprefix("data: ").strip() for piece in ask(stream=True).pieces]
    assert "[DONE]" == events.pop()
    chunks = [json.loads(event) for event in events]
    assert [upstream.WORDS] == [chunk["usage"]["completion_tokens"] for chunk in chunks if "usage" in chunk]
    words = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"])
    assert upstream.WORDS == len(set(words.split()))


@pytest.mark.parametrize(
    ("expected", "model"), [(200, upstream.ANSWERS), (429, upstream.LIMITED), (500, upstream.BROKEN)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_model_says_how_it_is_answered(expected: int, model: str, stream: bool) -> None:
    answer = ask(model=model, stream=stream)
    assert (expected, expected == 200) == (answer.status, b'"error"' not in answer.body)


def test_streamed_and_whole_take_the_same_time() -> None:
    whole, streamed = ask(), ask(stream=True)
    assert (
        pytest.approx(0.7) == whole.pause_seconds * len(whole.pieces) == streamed.pause_seconds * len(streamed.pieces)
    )


def test_what_was_under_way_when_the_upstream_died_may_have_reached_it() -> None:
    """It counts a request when it comes in; if it dies before its answer, nobody else knows of a generation."""

    def dying(request: Request) -> bool:
        return request.status == 502

    under_way = requests("dead", dying, at=_dead().begin)(good_run())
    assert set() == failed(counted("dead", UPSTREAM_REQUESTS, 1)(under_way))
    assert {COUNT} == failed(counted("dead", UPSTREAM_REQUESTS, 2)(under_way))
