"""The workload: what is asked for, in which order, and that it is the same every time."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from statistics import fmean, pstdev
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from loadtest import theory, traffic, workload
from loadtest.actions import clear, configure, is_fault, scale_memory, settle
from loadtest.items import of
from loadtest.plan import Call, Lane, Moment, Phase, Rendezvous
from loadtest.scenarios import behaviour, faults, usage
from loadtest.scenarios.garbage import GENERATED, garbage_calls
from loadtest.settings import remote
from loadtest.workload import NAMES, SCENARIOS, Settings

from recoup.pipelines.canonical import canonical_body
from recoup.pipelines.relief.parameters import canonical, read

DEFAULTS = Settings(users=2)
EVERYTHING = replace(DEFAULTS, scenarios=NAMES)
#: Of an endless stream, as much as tells it from another.
MOST_BATCHES = 2_000


def calls(lane: Lane, most: int = MOST_BATCHES) -> Iterator[Call]:
    """The calls of a lane's first batches."""
    for batch in islice(lane.batches(), most):
        if not isinstance(batch, Rendezvous):
            yield from batch


def phases(*names: str, **changes: Any) -> dict[str, Phase]:
    """The phases of scenarios, by part; of several scenarios, by both."""
    planned = workload.phases(replace(DEFAULTS, scenarios=names, **changes))
    return {phase.part if len(names) == 1 else f"{phase.scenario} {phase.part}": phase for phase in planned}


def asked(phase: Phase, lane: int = 0, most: int = MOST_BATCHES) -> list[str]:
    return [call.item for call in calls(phase.lanes[lane], most)]


def past(call: Call) -> bool:
    """Whether a call goes past the cache."""
    return call.headers.get("Cache-Control") == "no-store"


def through(phase: Phase) -> list[str]:
    """What is asked for through the cache."""
    return [call.item for call in calls(phase.lanes[0]) if not past(call)]


def digest(settings: Settings) -> str:
    """One text for everything that a run with these settings sends."""
    planned = hashlib.blake2b()
    for phase in workload.phases(settings):
        planned.update(repr((phase.scenario, phase.part, phase.seconds, phase.before, phase.during)).encode())
        for lane in phase.lanes:
            for call in calls(lane):
                planned.update(repr((call.item, call.path, call.headers, call.method, sorted(call.allowed))).encode())
                planned.update(call.body)
    return planned.hexdigest()


@pytest.fixture(params=NAMES)
def scenario(request: pytest.FixtureRequest) -> tuple[Phase, ...]:
    """The phases of each scenario in turn."""
    return SCENARIOS[request.param].phases(DEFAULTS)


def test_there_is_a_description_and_an_expectation_of_every_scenario_in_the_order_of_a_run() -> None:
    assert tuple(SCENARIOS) == NAMES
    assert all(one.description.endswith(".") and one.expectation.endswith(".") for one in SCENARIOS.values())


def test_another_process_makes_the_same_requests_from_the_same_settings() -> None:
    code = (
        "import json, sys; from tests.load.test_workload import digest; from loadtest.workload import Settings;"
        "print(digest(Settings.from_mapping(json.loads(sys.argv[1]))))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, json.dumps(EVERYTHING.to_mapping())],
        env={**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert digest(EVERYTHING) == other.stdout.strip()


def test_another_seed_makes_other_requests() -> None:
    other = replace(DEFAULTS, seed=DEFAULTS.seed + 1)
    for name in set(NAMES):
        before, after = (replace(one, scenarios=(name,)) for one in (DEFAULTS, other))
        assert digest(before) != digest(after)


def test_another_seed_asks_in_another_order() -> None:
    first, other = (list(islice(traffic.steady(replace(DEFAULTS, seed=seed), "typical"), 200)) for seed in (1, 2))
    assert first != other


def test_every_stream_begins_anew_each_time(scenario: tuple[Phase, ...]) -> None:
    for phase in scenario:
        for lane in phase.lanes:
            assert list(islice(lane.batches(), 300)) == list(islice(lane.batches(), 300))


def test_every_phase_comes_to_its_end(scenario: tuple[Phase, ...]) -> None:
    for phase in scenario:
        assert phase.lanes, f"nothing holds {phase.part} open"
        finite = all(len(list(islice(lane.batches(), 10_000))) < 10_000 for lane in phase.lanes)
        assert finite or phase.seconds, f"{phase.part} has no end"


def test_every_action_has_its_time_within_its_phase(scenario: tuple[Phase, ...]) -> None:
    for phase in scenario:
        moments = [moment.after_seconds for moment in phase.during]
        assert moments == sorted(moments)
        assert all(0 < moment < (phase.seconds or 0) for moment in moments)


def test_every_call_has_an_answer_that_is_allowed_and_is_named_after_its_scenario(scenario: tuple[Phase, ...]) -> None:
    for phase in scenario:
        for lane in phase.lanes:
            for call in calls(lane):
                assert call.allowed
                assert call.item.startswith(phase.scenario)


def test_no_scenario_has_two_parts_of_one_name(scenario: tuple[Phase, ...]) -> None:
    parts = [phase.part for phase in scenario]
    assert len(set(parts)) == len(parts)


def test_every_scenario_begins_with_an_empty_cache_of_the_wanted_size(scenario: tuple[Phase, ...]) -> None:
    configured, cleared = scenario[0].before
    entries = {"typical-remote": 1000, "audit": 20}.get(scenario[0].scenario, 100)
    assert configure({"max_size": entries, "ttl_seconds": 86400, "enabled": True}) == configured
    assert clear() == cleared


def test_an_item_has_one_key_and_no_other_item_has_it() -> None:
    names: dict[tuple[str, object], str] = {}
    keys: dict[str, tuple[str, bytes]] = {}
    for phase in workload.phases(EVERYTHING):
        for lane in phase.lanes:
            for call in calls(lane):
                if call.kind != "generate":
                    continue
                if call.path == "/api/generate/remote":
                    body = repr(canonical_body(call.body, "application/json"))
                    assert call.item == names.setdefault((call.path, body), call.item)
                    continue
                query = {name: tuple(values) for name, values in parse_qs(urlsplit(call.path).query).items()}
                key = (canonical(read(query)), call.body)
                assert key == keys.setdefault(call.item, key)
                assert call.item == names.setdefault(key, call.item)
    assert len(names) > 5_000


def test_every_item_is_a_preview() -> None:
    assert all("quality=preview" in item.path for item in of(DEFAULTS, "typical", 500))


def test_more_items_begin_with_the_same_ones() -> None:
    assert of(DEFAULTS, "churn", 10) == of(DEFAULTS, "churn", 40)[:10]


# What each scenario asks for


def test_single_asks_for_each_item_once_past_the_cache_and_once_through_it() -> None:
    sent = Counter((call.item, past(call)) for call in calls(phases("single")["cached"].lanes[0]))
    items = {item for item, _ in sent}
    assert 40 == len(items)
    assert Counter({(item, bypass): 1 for item in items for bypass in (True, False)}) == sent


def test_workers_begin_before_anything_is_measured_and_store_nothing() -> None:
    planned = phases("single", users=3)
    assert ["first", "cached"] == list(planned)
    assert {True} == {past(call) for call in calls(planned["first"].lanes[0])}
    assert set(asked(planned["first"])).isdisjoint(asked(planned["cached"]))
    # For each user, so that no worker is left out.
    assert usage.FIRST_REQUESTS * 3 == len(set(asked(planned["first"])))


@pytest.mark.parametrize("name", ["duplicate", "typical"])
def test_what_is_measured_without_the_cache_in_its_own_time_is_not_stored(name: str) -> None:
    planned = phases(name)
    for part in ("cached", "without"):
        assert {part == "without"} == {past(call) for call in calls(planned[part].lanes[0])}


@pytest.mark.parametrize(("name", "size"), [("single", 1), ("pair", 2), ("triple", 3)])
def test_one_user_asks_past_the_cache_and_through_it_right_after_one_another(name: str, size: int) -> None:
    for batch in phases(name)["cached"].lanes[0].batches():
        assert isinstance(batch, tuple)
        first, second = batch[:size], batch[size:]
        assert len(first) == len(second) == size
        # The same, in one batch, which one user sends; each half is of one kind.
        assert {(call.path, call.body) for call in first} == {(call.path, call.body) for call in second}
        assert 1 == len({call.item for call in batch})
        assert {(False,), (True,)} == {tuple({past(call) for call in half}) for half in (first, second)}


@pytest.mark.parametrize("name", ["single", "pair", "triple"])
def test_which_of_the_two_is_first_changes_each_time(name: str) -> None:
    batches = phases(name)["cached"].lanes[0].batches()
    firsts = [past(batch[0]) for batch in batches if isinstance(batch, tuple)]
    assert all(one is not other for one, other in pairwise(firsts))
    assert len(firsts) == 2 * sum(firsts) > 20


@pytest.mark.parametrize("name", ["single", "duplicate", "pair", "triple", "typical", "soak"])
def test_nothing_queues_where_response_times_are_compared(name: str) -> None:
    assert {3} == {lane.users for phase in phases(name, users=3).values() for lane in phase.lanes}


def test_duplicate_asks_alone_first_and_then_two_hundred_times() -> None:
    first, meeting, *rest = phases("duplicate")["cached"].lanes[0].batches()
    assert Rendezvous() == meeting
    assert [first] * 200 == rest


@pytest.mark.parametrize(("name", "size", "expected"), [("pair", 2, 1 / 2), ("triple", 3, 2 / 3)])
def test_batches_of_equal_requests_have_their_hit_ratio(name: str, size: int, expected: float) -> None:
    items = through(phases(name)["cached"])
    assert {size} == set(Counter(items).values())
    assert expected == pytest.approx(fmean(theory.replay(items, 100)))


@pytest.mark.parametrize("name", ["typical", "soak"])
def test_the_warm_up_leads_an_lru_to_the_state_of_an_endless_run(name: str) -> None:
    cache: theory.LRU[int] = theory.LRU(100)
    for rank in traffic.burn_in(DEFAULTS, name):
        cache.ask(rank)
    warm = through(phases(name)["warm"])
    assert [f"{name}-{rank}" for rank in cache.state()] == warm
    assert 100 == len(set(warm))


def test_typical_asks_the_same_with_and_without_the_cache() -> None:
    planned = phases("typical")
    assert asked(planned["without"]) == asked(planned["cached"])
    assert asked(planned["cached"])[:100] == [call.item for call in calls(planned["warm"].lanes[0]) if past(call)]
    assert len(set(asked(planned["cached"]))) > 100


def test_typical_goes_on_where_the_burn_in_ended() -> None:
    count = traffic.BURN_IN * DEFAULTS.catalogue
    steady = islice(traffic.steady(DEFAULTS, "typical"), 100)
    whole = list(islice(traffic._ranks(DEFAULTS, "typical"), count + 100))
    assert whole == [*traffic.burn_in(DEFAULTS, "typical"), *steady]


def test_the_steady_state_lies_between_two_times_without_the_cache() -> None:
    assert ["warm", "cached", "without"] == list(phases("typical"))
    assert [True, False] * 100 == [past(call) for call in calls(phases("typical")["warm"].lanes[0])]
    assert ["warm", "cached"] == list(phases("soak"))


@pytest.mark.parametrize(("duration", "expected"), [(20.0, 5.0), (75.0, 18.75), (600.0, 20.0)])
def test_the_time_without_the_cache_is_a_quarter_of_that_with_it_and_bounded(duration: float, expected: float) -> None:
    planned = phases("typical", duration_seconds=duration)
    assert [duration, expected] == [planned[part].seconds for part in ("cached", "without")]


def test_the_expected_hit_ratio_is_within_both_targets() -> None:
    expected = workload.expected_hit_ratio(DEFAULTS)
    assert 0.705 == pytest.approx(expected, abs=0.0005)
    assert theory.limit(expected) > 3.3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_typical_traffic_has_the_hit_ratio_of_theory_over_a_long_time(seed: int) -> None:
    settings = replace(DEFAULTS, seed=seed)
    assert workload.expected_hit_ratio(settings) == pytest.approx(_replayed(settings, 100_000), abs=0.01)


@pytest.mark.parametrize("requests", [1_000, 2_000, 3_000, 4_000, 5_000, 8_000])
def test_with_the_default_seed_it_has_it_for_as_long_as_a_run_takes(requests: int) -> None:
    assert workload.expected_hit_ratio(DEFAULTS) == pytest.approx(_replayed(DEFAULTS, requests), abs=0.01)


def _replayed(settings: Settings, requests: int) -> float:
    planned = SCENARIOS["typical"].phases(settings)
    warm, cached = through(planned[0]), asked(planned[1], most=requests)
    assert "cached" == planned[1].part
    return fmean(theory.replay(cached, settings.cache_entries, warm=warm))


def test_prometheus_scrapes_in_peace_before_and_after_the_steady_state() -> None:
    planned = phases("typical", "stampede", "soak", "kill-worker")
    assert ["typical cached", "soak cached"] == [name for name, phase in planned.items() if workload.is_steady(phase)]
    before = {"typical cached": -1, "typical without": 0, "soak cached": -1, "kill-worker warm": 0}
    assert set(before) == {name for name, phase in planned.items() if settle() in phase.before}
    assert {settle()} == {planned[name].before[place] for name, place in before.items()}


def test_stampede_sends_all_callers_after_one_cold_key_at_once() -> None:
    (lane,) = phases("stampede", callers=50)["cached"].lanes
    batches = list(lane.batches())
    rounds = [batches[start : start + 51] for start in range(0, len(batches), 51)]
    assert 50 == lane.users
    assert 5 == len(rounds)
    assert all(Rendezvous() == one.pop() and 1 == len({call.item for (call,) in one}) for one in rounds)
    assert 5 == len({call.item for call in calls(lane)})


def test_churn_pushes_popular_items_out_and_lets_them_come_back() -> None:
    planned = phases("churn")
    cache: theory.LRU[str] = theory.LRU(100)
    for item in asked(planned["warm"]):
        cache.ask(item)
    popular = set(asked(planned["warm"]))
    answered = {
        part: [(item, cache.ask(item)) for item in asked(planned[part])] for part in ("before", "scan", "after")
    }
    hits = {part: [hit for item, hit in one if item in popular] for part, one in answered.items()}
    late = hits["after"][len(hits["after"]) // 2 :]
    before, scan, after = (sum(one) / len(one) for one in (hits["before"], hits["scan"], late))
    assert before == 1
    assert scan < 0.85
    assert after > 0.9


def test_the_scan_asks_for_nothing_twice_and_for_nothing_popular() -> None:
    planned = phases("churn")
    popular, scan = set(asked(planned["warm"])), Counter(asked(planned["scan"]))
    cold = {item: times for item, times in scan.items() if item not in popular}
    assert behaviour.SCAN_ITEMS == len(cold) == sum(cold.values())
    assert 2 * behaviour.SCAN_ITEMS == scan.total() - len(cold)


def test_every_popular_item_is_asked_for_before_the_scan() -> None:
    planned = phases("churn")
    assert set(asked(planned["warm"])) == set(asked(planned["before"]))


def test_the_flood_is_of_distinct_requests_and_the_hits_beside_it_are_held() -> None:
    planned = phases("saturation")
    hits, flood = (asked(planned["flood"], lane=lane, most=10_000) for lane in (0, 1))
    assert set(asked(planned["warm"])) == set(hits)
    assert behaviour.FLOOD_ITEMS == len(set(flood)) == len(flood)
    assert set(flood).isdisjoint(hits)
    assert set(asked(planned["recovery"])).isdisjoint([*hits, *flood])


def test_only_the_flood_may_be_told_that_there_is_no_room() -> None:
    planned = phases("saturation")
    assert {frozenset({200, 503})} == {call.allowed for call in calls(planned["flood"].lanes[1])}
    others = (planned["warm"].lanes[0], planned["flood"].lanes[0], planned["recovery"].lanes[0])
    assert {frozenset({200})} == {call.allowed for lane in others for call in calls(lane)}


def test_hits_are_paced_so_that_they_last_as_long_as_the_flood() -> None:
    lane = phases("saturation")["flood"].lanes[0]
    assert lane.rate is not None
    assert behaviour.FLOOD_SECONDS == pytest.approx(len(list(lane.batches())) / lane.rate, abs=0.5)


def test_management_leaves_the_configuration_as_it_was() -> None:
    phase = phases("management")["cached"]
    changes: dict[str, Any] = {}
    for moment in phase.during:
        if moment.action.name.startswith("Configure "):
            changes.update(json.loads(moment.action.name.removeprefix("Configure ")))
    (before, _) = phase.before
    assert before == configure({name: changes[name] for name in ("max_size", "ttl_seconds", "enabled")})
    assert {"max_size", "ttl_seconds", "enabled"} == changes.keys()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("kill-worker", frozenset({200, 502})),
        ("prometheus-restart", frozenset({200})),
        ("terminate", frozenset({200, 503})),
        ("shrink", frozenset({200})),
    ],
)
def test_a_fault_may_fail_what_the_contract_says_and_nothing_before_or_after_it(
    name: str, allowed: frozenset[int]
) -> None:
    planned = phases(name)
    fault = planned.pop("fault")
    assert {allowed} == {call.allowed for lane in fault.lanes for call in calls(lane)}
    rest = [lane for phase in planned.values() for lane in phase.lanes]
    assert {frozenset({200})} == {call.allowed for lane in rest for call in calls(lane)}


@pytest.mark.parametrize("name", ["kill-worker", "terminate"])
def test_a_fault_finds_generations_and_hits_under_way(name: str) -> None:
    planned = phases(name)
    distinct, held = (asked(planned["fault"], lane=lane, most=10_000) for lane in (0, 1))
    assert len(set(distinct)) == len(distinct)
    assert set(held) == set(asked(planned["warm"]))
    assert set(held).isdisjoint(distinct)
    assert set(asked(planned.get("recovery", planned.get("restarted", planned["fault"])))).isdisjoint(
        [*held, *distinct]
    )


def test_whatever_is_stopped_is_started_again() -> None:
    done = [
        action.name.removeprefix("Fault ")
        for phase in workload.phases(EVERYTHING)
        for action in phase.actions
        if is_fault(action)
    ]
    assert ["kill-worker", "stop-prometheus", "start-prometheus", "terminate-service", "start-service"] == done


def test_the_scenarios_that_need_the_owner_of_the_processes_are_told() -> None:
    expected = ("typical-remote", "kill-worker", "prometheus-restart", "terminate", "audit")
    assert expected == workload.needs_owner(workload.phases(EVERYTHING))


def test_only_the_phase_in_which_the_service_ends_is_interrupted() -> None:
    assert ["terminate fault"] == [f"{p.scenario} {p.part}" for p in workload.phases(EVERYTHING) if p.interrupted]


def test_the_memory_limit_is_restored_after_it_shrank() -> None:
    during = phases("shrink")["fault"].during
    assert (Moment(3.0, scale_memory(0.1), 60), Moment(7.0, scale_memory(None), 60)) == during


def test_all_garbage_is_refused_and_the_good_requests_between_are_held() -> None:
    planned = phases("garbage")
    warm = set(asked(planned["warm"]))
    sent = Counter(call.item for call in calls(planned["fault"].lanes[0]))
    for call in garbage_calls(DEFAULTS):
        assert all(400 <= status < 500 for status in call.allowed)
        assert faults.GARBAGE_ROUNDS == sent.pop(call.item)
    # And one past the cache, which is nobody else's.
    (bypass,) = set(sent) - warm
    assert faults.GARBAGE_ROUNDS == sent.pop(bypass)
    assert sent


def test_slow_callers_of_each_manner_are_there_at_once_beside_usual_ones() -> None:
    odd, usual = phases("garbage")["slow"].lanes
    manners = Counter(call.raw.manner for call in calls(odd) if call.raw is not None)
    assert {"stall": 10, "read slowly": 10, "leave": 10} == manners
    assert manners.total() == odd.users
    assert {"generate"} == {call.kind for call in calls(usual)}


def test_what_is_not_http_is_sent_as_it_is() -> None:
    sent = {call.item: call.raw.message for call in garbage_calls(DEFAULTS) if call.raw is not None}
    assert b"\r\nContent-Length: -5\r\n" in sent["garbage negative length"]
    assert b"Host" not in sent["garbage no host"]
    assert 2 == sent["garbage two hosts"].count(b"\r\nHost: ")
    assert sent["garbage chunk with bare line feeds"].endswith(b"\r\n\r\n5\nabcde\n0\n\n")


def test_remote_usage_waits_for_half_a_second_in_the_mean_however_popular() -> None:
    """What hits recoup costs as much as what misses cost: within a hundredth."""
    chosen = remote(DEFAULTS)
    popularity = theory.zipf(chosen.catalogue, chosen.alpha)
    seconds = [item.seconds for item in of(chosen, "typical-remote", chosen.catalogue)]
    weighted = sum(share * one for share, one in zip(popularity, seconds, strict=True))
    assert (0.5, 0.5) == (pytest.approx(weighted, rel=0.01), pytest.approx(sum(seconds) / len(seconds), rel=0.01))
    logarithms = [math.log(one) for one in seconds]
    assert 0.3 == pytest.approx(pstdev(logarithms), rel=0.02)


def test_remote_usage_is_as_even_without_the_cache_as_with_it() -> None:
    planned, chosen = phases("typical-remote"), remote(DEFAULTS)
    seconds = {item.name: item.seconds for item in of(chosen, "typical-remote", chosen.catalogue)}
    whole = [seconds[name] for name in asked(planned["cached"], most=6000)]
    without = [seconds[name] for name in asked(planned["without"])]
    assert usage.REQUESTS_WITHOUT == len(without)
    assert fmean(whole) == pytest.approx(fmean(without), rel=0.01)


@pytest.mark.parametrize("requests", [1_500, 3_000, 6_000])
def test_remote_usage_has_the_hit_ratio_of_theory_for_as_long_as_a_run_takes(requests: int) -> None:
    planned, chosen = phases("typical-remote"), remote(DEFAULTS)
    steady = asked(planned["cached"], most=requests)
    hit_ratio = fmean(theory.replay(steady, chosen.cache_entries, warm=asked(planned["warm"])))
    # Some of the callers find their generation under way, which theory does not know.
    assert -0.004 < hit_ratio - workload.expected_hit_ratio(chosen) < 0.0095


def test_the_garbage_that_only_the_generator_can_refuse_is_among_it() -> None:
    assert GENERATED < {call.item for call in garbage_calls(DEFAULTS)}


# Settings


def test_settings_come_back_from_json_as_they_were() -> None:
    settings = Settings(seed=3, users=4, alpha=0.9, duration_seconds=20, scenarios=("typical", "soak"))
    assert settings == Settings.from_mapping(json.loads(json.dumps(settings.to_mapping())))


def test_what_is_left_out_has_its_default() -> None:
    assert Settings() == Settings.from_mapping({})


def test_a_run_plays_everything_but_the_soak_unless_told() -> None:
    assert set(NAMES) - {"soak"} == set(Settings().scenarios)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"scenarios": ("typcial",)}, "unknown scenario typcial; did you mean typical", id="unknown"),
        pytest.param({"scenarios": ()}, "scenarios=.* at least one", id="no scenario"),
        pytest.param({"scenarios": ("pair", "pair")}, "scenarios=.* each once", id="twice"),
        pytest.param(
            {"catalogue": 100}, "catalogue=100: expected .*more than cache_entries, which is 100", id="all fits"
        ),
        pytest.param({"cache_entries": 0}, "cache_entries=0: expected a whole number from 1", id="no entries"),
        pytest.param({"users": 0}, "users=0: expected a whole number from 1", id="no users"),
        pytest.param({"users": 1.5}, "users=1.5: expected a whole number", id="half a user"),
        pytest.param({"users": True}, "users=True: expected a whole number", id="no number of users"),
        pytest.param({"seed": "1"}, "seed='1': expected a whole number", id="seed as text"),
        pytest.param({"alpha": 0}, "alpha=0: expected a number above 0", id="alpha"),
        pytest.param({"duration_seconds": float("nan")}, "duration_seconds=nan: expected .*above 0", id="no duration"),
        pytest.param({"duration_seconds": "75"}, "duration_seconds='75': expected .*a number", id="duration as text"),
        pytest.param({"scrape_seconds": -1}, "scrape_seconds=-1: expected .*above 0", id="scrapes before now"),
        pytest.param(
            {"scaled_generation_seconds": 0}, "scaled_generation_seconds=0: expected .*above 0", id="no generation"
        ),
        pytest.param(
            {"callers": 401}, "callers=401: expected .*from 1 to 400", id="more than the service has room for"
        ),
        pytest.param({"speed": 3}, "unknown setting speed; ", id="unknown setting"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings.from_mapping(changes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", workload.DEFAULT_NAMES),
        ("typical", ("typical",)),
        ("typical, single", ("single", "typical")),
        ("all,soak", NAMES),
    ],
)
def test_scenarios_are_named_in_one_text(text: str, expected: tuple[str, ...]) -> None:
    assert expected == workload.scenarios(text)


@pytest.mark.parametrize("text", ["", " , ", "everything", "typical;single"])
def test_a_text_that_names_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected all, or any of single|unknown scenario"):
        workload.scenarios(text)
