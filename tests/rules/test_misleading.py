"""Scenarios in which rules could mislead: what is wrong is told once and soon, what is right raises nothing.

Series are made up, minute by minute; the committed rules are evaluated over them.
"""

from __future__ import annotations

import pytest

from .scenarios import DAY, Scenario, alive

HOURS = 60
SPENT = "recoup_spent_seconds_total"
RECOUPED = "recoup_recouped_seconds_total"
WAITED = "recoup_request_duration_seconds_sum"
FAILURES = "recoup_generation_failures_total"
GENERATIONS = "recoup_generation_duration_seconds_count"
GENERATION_SECONDS = "recoup_generation_duration_seconds_sum"
REQUESTS = "recoup_http_requests_total"
#: Whose alerts speak of too few hits, or too little gain.
HEADLINES = "RecoupHitRatioLow|RecoupInstanceHitRatioLow|RecoupSpeedupLow"
RELIEF = {"pipeline": "relief"}


def economy(scenario: Scenario, phases: list[tuple[int, float, float, float]], *, pipeline: str = "relief") -> Scenario:
    """What was spent on misses, what was recouped and what callers waited, by phase: steps, and seconds in each."""
    scenario.counter(SPENT, [(steps, spent) for steps, spent, _, _ in phases], pipeline=pipeline, purpose="miss")
    scenario.counter(RECOUPED, [(steps, saved) for steps, _, saved, _ in phases], pipeline=pipeline)
    return scenario.counter(
        WAITED, [(steps, waited) for steps, _, _, waited in phases], pipeline=pipeline, outcome="miss"
    )


class TestSpeedupAndBypasses:
    def test_bypasses_change_neither_the_speedup_nor_the_regret(self) -> None:
        """24 hits, 6 misses and 120 bypasses a minute, 10 s each: 5, not 1.19. Half of the misses are regretted."""
        scenario = economy(Scenario().lookups([(180, 24, 6, "cold")]), [(180, 60, 240, 60)])
        scenario.counter("recoup_lookups_total", [(180, 120)], outcome="bypass", **RELIEF)
        scenario.counter("recoup_bypasses_total", [(180, 0)], reason="request", **RELIEF)
        scenario.counter(SPENT, [(180, 1200)], purpose="bypass", **RELIEF)
        scenario.counter(WAITED, [(180, 1200)], outcome="bypass", **RELIEF)
        scenario.counter("recoup_regretted_seconds_total", [(180, 30)], **RELIEF)

        assert "5" in scenario.ask("pipeline:recoup_speedup:rate5m == 5", [170])[170]
        assert scenario.ask("pipeline:recoup_regret_ratio:rate1h == 0.5", [170])[170]
        assert {170: {"RecoupEvictionRegret"}} == scenario.firing([170])

    def test_a_pipeline_that_is_all_bypassed_is_told(self) -> None:
        scenario = Scenario()
        scenario.counter("recoup_lookups_total", [(180, 2)], outcome="bypass", **RELIEF)
        scenario.counter("recoup_bypasses_total", [(180, 2)], reason="credentials", **RELIEF)

        assert {170: {"RecoupMostlyBypassed"}} == scenario.firing([170])

    def test_a_speedup_below_one_is_told(self) -> None:
        scenario = economy(Scenario().lookups([(300, 30, 10, "cold")]), [(300, 100, 300, 500)])

        assert {200: {"RecoupSpeedupLow", "RecoupDoesNotPay"}} == scenario.firing([200])

    def test_the_waits_of_callers_whose_generation_failed_count(self) -> None:
        """24 hits of 10 s and 6 misses a minute, half of which time out after 60 s: (30 + 240) / (30 + 180) = 1.29."""
        scenario = economy(Scenario().lookups([(180, 24, 6, "cold")]), [(180, 30, 240, 210)])
        scenario.counter(FAILURES, [(180, 3)], error="timeout", **RELIEF)
        scenario.counter(GENERATIONS, [(180, 3)], **RELIEF)

        assert scenario.ask("abs(pipeline:recoup_speedup:rate1h - 9 / 7) < 1e-9", [170])[170]
        assert {"RecoupSpeedupLow", "RecoupGenerationFailures"} == scenario.firing([170])[170]

    def test_a_regret_of_a_small_pipeline_is_not_lost_beside_a_large_one(self) -> None:
        """60 % in one that spends 20 s a minute, none in one that spends 900."""
        scenario = Scenario()
        for pipeline, spent, regretted in (("small", 20, 12), ("large", 900, 0)):
            scenario.counter(SPENT, [(200, spent)], purpose="miss", pipeline=pipeline)
            scenario.counter("recoup_regretted_seconds_total", [(200, regretted)], pipeline=pipeline)

        assert {150: {"RecoupEvictionRegret"}} == scenario.firing([150])
        assert {150: set()} == scenario.firing([150], pipeline="large")


class TestGenerations:
    @pytest.mark.parametrize("minutes", [3, 6])
    def test_all_of_ten_or_twenty_an_hour_that_fail_are_told_once(self, minutes: int) -> None:
        one = [(minutes - 1, 0.0), (1, 1.0)]
        scenario = Scenario().counter(GENERATIONS, [*one * (240 // minutes), (180, 0)], **RELIEF)
        scenario.counter(FAILURES, [(240, 0), *one * (180 // minutes)], error="error", **RELIEF)

        assert {235: set(), 280: {"RecoupGenerationFailures"}} == scenario.firing([235, 280])
        assert 1 == scenario.changes("RecoupGenerationFailures", range(235, 420))

    def test_generations_that_take_ten_minutes_raise_nothing(self) -> None:
        """One in ten lookups is a miss; (60 + 540) / 60 = 10 times."""
        scenario = economy(Scenario(step=5).lookups([(400, 4.5, 0.5, "cold")]), [(400, 300, 2700, 300)])
        scenario.counter(GENERATIONS, [(400, 0.5)], **RELIEF).counter(GENERATION_SECONDS, [(400, 300)], **RELIEF)

        assert not set().union(*scenario.firing(range(30, 2000, 60)).values())

    @pytest.mark.parametrize(("factor", "alerts"), [(2, set()), (10, {"RecoupGenerationSlower"})])
    def test_generations_that_become_slower_are_told_from_three_times_on(self, factor: int, alerts: set[str]) -> None:
        """One a minute, of 2 s for a day."""
        scenario = Scenario(step=5).counter(GENERATIONS, [(400, 5)], **RELIEF)
        scenario.counter(GENERATION_SECONDS, [(300, 10), (100, 10 * factor)], **RELIEF)

        assert {1490: set(), 1600: alerts} == scenario.firing([1490, 1600])

    @pytest.mark.parametrize("status", ["400", "401", "404", "413", "422", "429"])
    @pytest.mark.parametrize("error", ["rejected", "refused", "cancelled"])
    def test_a_fault_of_the_callers_own_is_no_failure(self, status: str, error: str) -> None:
        """However many: nothing else is asked."""
        scenario = Scenario(step=2).counter(FAILURES, [(150, 10)], error=error, **RELIEF)
        scenario.counter(REQUESTS, [(150, 10)], route="/api/generate/<pipeline>", method="POST", status=status)

        assert {60: set(), 180: set(), 290: set()} == scenario.firing([60, 180, 290])

    def test_one_internal_error_is_no_matter(self) -> None:
        scenario = Scenario().gauge("recoup_internal_errors_total", "0x60 1x100", part="store")

        assert {61: set(), 65: set(), 90: set()} == scenario.firing([61, 65, 90])


class TestRefusals:
    @pytest.mark.parametrize(("status", "alert"), [("503", "RecoupRequestsRefused"), ("500", "RecoupServerErrors")])
    def test_a_share_of_answers_is_told_whatever_caused_it(self, status: str, alert: str) -> None:
        """72 of 520 callers an hour are refused, or fail, and no generation has failed."""
        scenario = Scenario()
        scenario.counter(REQUESTS, [(300, 7.5)], route="/api/generate/<pipeline>", method="POST", status="200")
        scenario.counter(
            REQUESTS, [(60, 0), (240, 1.2)], route="/api/generate/<pipeline>", method="POST", status=status
        )

        assert {59: set(), 140: {alert}, 200: {alert}} == scenario.firing([59, 140, 200])

    def test_nothing_but_errors_is_critical(self) -> None:
        scenario = Scenario().counter(
            REQUESTS, [(240, 2)], route="/api/generate/<pipeline>", method="POST", status="500"
        )

        assert {60: {"RecoupServerErrors"}, 230: {"RecoupServerErrors"}} == scenario.firing(
            [60, 230], severity="critical"
        )

    @pytest.mark.parametrize(("generated", "refused"), [(4, 1), (0.5, 0.5)])
    def test_a_share_of_misses_that_is_refused_at_an_even_pace_is_told_once(
        self, generated: float, refused: float
    ) -> None:
        scenario = Scenario().counter(GENERATIONS, [(600, generated)], **RELIEF)
        scenario.counter(FAILURES, [(600, refused)], error="queue_full", **RELIEF)

        assert 1 == scenario.changes("RecoupGenerationQueueFull", range(0, 600, 6))

    def test_a_burst_of_refusals_among_many_generations_is_no_matter(self) -> None:
        scenario = Scenario().counter(GENERATIONS, [(300, 50)], **RELIEF)
        scenario.counter(FAILURES, [(100, 0), (2, 10), (198, 0)], error="queue_full", **RELIEF)

        assert 0 == scenario.changes("RecoupGenerationQueueFull", range(0, 300, 3))


class TestRestarts:
    def test_a_crash_loop_silences_nothing_and_is_told_itself(self) -> None:
        """It is killed every ten minutes for eight hours: 21 % hits, all misses cold."""
        starts = " ".join(f"{600 * life}x9" for life in range(54))
        scenario = alive(Scenario(), "1x540", start=starts)
        for outcome, pace in (("hit", 21), ("miss", 79)):
            scenario.starting(10, 540, name="recoup_lookups_total", pace=pace, outcome=outcome, **RELIEF)
        scenario.starting(10, 540, name="recoup_misses_total", pace=79, reason="cold", **RELIEF)

        assert {"RecoupRestarting"} == scenario.firing([60])[60]
        assert {"RecoupRestarting", "RecoupHitRatioLow"} == scenario.firing([300])[300]

    def test_an_autoscaler_that_brings_new_instances_silences_nothing(self) -> None:
        """A new instance every twenty minutes, each there for forty: half of them are always young."""
        scenario = Scenario()
        for number in range(24):
            begin, instance = 20 * number, f"i{number}:8080"
            gap = f"_x{begin} " if begin else ""
            alive(scenario, f"{gap}1x39 stale", start=f"{gap}{begin * 60}x39 stale", instance=instance)
            for outcome, pace in (("hit", 3), ("miss", 7)):
                labels = {"outcome": outcome, "instance": instance, **RELIEF}
                scenario.gauge("recoup_lookups_total", f"{gap}0+{pace}x39 stale", **labels)

        assert {400: {"RecoupHitRatioLow"}} == scenario.firing([400], alert=HEADLINES)

    def test_a_clock_that_is_six_hours_ahead_silences_nothing(self) -> None:
        scenario = alive(Scenario(), "1x400", start="21600x400").lookups([(400, 10, 40, "cold")])

        assert {250: {"RecoupHitRatioLow"}} == scenario.firing([250])

    def test_a_rolling_restart_raises_nothing(self) -> None:
        """Four instances start one after the other, and fill again within twenty minutes."""
        scenario = Scenario()
        for number in range(4):
            at, instance = 120 + 5 * number, f"i{number}:8080"
            alive(scenario, "1x400", start=f"0x{at - 1} {at * 60}x{400 - at}", instance=instance)
            for outcome, before, filling in (("hit", 16, 6), ("miss", 4, 14)):
                after = filling * 20
                values = f"0+{before}x{at - 1} 0+{filling}x19 {after}+{before}x{380 - at}"
                scenario.gauge("recoup_lookups_total", values, outcome=outcome, instance=instance, **RELIEF)
                if outcome == "miss":
                    scenario.gauge("recoup_misses_total", values, reason="cold", instance=instance, **RELIEF)

        assert not set().union(*scenario.firing(range(0, 400, 5)).values())


class TestHitRatio:
    def test_a_collapse_that_slows_its_callers_does_not_mute_itself(self) -> None:
        """From 60 lookups a minute to 2."""
        scenario = Scenario().lookups([(120, 48, 12, "cold"), (360, 0.2, 1.8, "evicted")])

        assert {119: set(), 200: {"RecoupHitRatioLow"}, 470: {"RecoupHitRatioLow"}} == scenario.firing([119, 200, 470])

    def test_bursts_do_not_mute_it(self) -> None:
        """One minute of twenty has traffic."""
        paces = [pace for _ in range(30) for pace in ((1, 100.0), (19, 0.0))]
        scenario = Scenario()
        for outcome in ("hit", "miss"):
            share = 0.3 if outcome == "hit" else 0.7
            scenario.counter(
                "recoup_lookups_total", [(n, pace * share) for n, pace in paces], outcome=outcome, **RELIEF
            )

        assert 1 == scenario.changes("RecoupHitRatioLow", range(60, 600, 4))

    @pytest.mark.parametrize("period", [7, 13, 31])
    def test_a_ratio_just_below_its_target_is_told_once_a_day(self, period: int) -> None:
        """Half a lookup a second; 50 to 55 % hits, by times above the target within five minutes."""
        phases = []
        for number in range(DAY // period):
            hits = 0.52 + 0.13 * (1 if number % 2 else -1)
            phases.append((period, 30 * hits, 30 * (1 - hits), "expired"))
        scenario = Scenario().lookups(phases)

        assert 1 == scenario.changes("RecoupHitRatioLow", range(0, DAY - period, 5))

    def test_one_of_five_pipelines_collapses(self) -> None:
        scenario = Scenario()
        for number in range(5):
            later = (240, 5.0, 25.0, "evicted") if number == 3 else (240, 24.0, 6.0, "cold")
            scenario.lookups([(120, 24, 6, "cold"), later], pipeline=f"p{number}")

        assert {119: set(), 200: {"RecoupHitRatioLow"}} == scenario.firing([119, 200])
        assert {200: {"RecoupHitRatioLow"}} == scenario.firing([200], pipeline="p3")

    def test_a_slow_fall_is_caught(self) -> None:
        scenario = Scenario().lookups([(60, 80 - 5 * hour, 20 + 5 * hour, "evicted") for hour in range(10)])

        assert {230: set(), 420: {"RecoupHitRatioLow"}} == scenario.firing([230, 420])

    def test_keys_that_are_never_the_same_again_are_told_though_every_miss_is_cold(self) -> None:
        scenario = Scenario().lookups([(120, 48, 12, "cold"), (300, 3, 57, "cold")])

        assert {119: set(), 300: {"RecoupHitRatioLow"}} == scenario.firing([119, 300])

    @pytest.mark.parametrize(
        "phases",
        [
            pytest.param([(240, 48, 12, "cold")], id="quiet"),
            pytest.param([(30, 6, 54, "cold"), (300, 48, 12, "cold")], id="cold start"),
            pytest.param([(120, 48, 12, "cold"), (40, 48, 300, "cold"), (200, 48, 12, "cold")], id="scan"),
            pytest.param([(120, 48, 12, "cold"), (66, 20, 40, "cold"), (200, 48, 12, "cold")], id="slow refill"),
            pytest.param([(120, 48, 12, "cold"), (45, 20, 40, "invalidated"), (200, 48, 12, "cold")], id="clear"),
            pytest.param([(120, 48, 12, "expired"), (180, 0, 0, "cold"), (60, 0.1, 0.2, "expired")], id="quiet night"),
        ],
    )
    def test_what_is_no_collapse_raises_nothing(self, phases: list[tuple[int, float, float, str]]) -> None:
        scenario = alive(Scenario(), "1x500").lookups(phases)

        assert not set().union(*scenario.firing(range(0, sum(phase[0] for phase in phases), 5)).values())

    def test_a_new_pipeline_of_an_old_process_may_warm_up(self) -> None:
        scenario = alive(Scenario(), "1x500").lookups([(500, 48, 12, "cold")], pipeline="old")
        for outcome, filling, filled in (("hit", 6, 24), ("miss", 24, 6)):
            values = f"_x240 0+{filling}x44 {45 * filling}+{filled}x200"
            scenario.gauge("recoup_lookups_total", values, outcome=outcome, pipeline="new")
        scenario.gauge("recoup_misses_total", "_x240 0+24x44 1080+6x200", reason="cold", pipeline="new")

        assert not set().union(*scenario.firing(range(200, 480, 5)).values())

    def test_one_of_four_instances_without_hits_is_told(self) -> None:
        scenario = Scenario()
        for number in range(4):
            hits = 0.0 if number == 2 else 24.0
            scenario.lookups([(400, hits, 30 - hits, "cold")], instance=f"i{number}:8080")

        assert {300: {"RecoupInstanceHitRatioLow"}} == scenario.firing([300])
        assert {300: {"RecoupInstanceHitRatioLow"}} == scenario.firing([300], instance="i2:8080")
