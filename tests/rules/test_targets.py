"""What is there and what is not: instances that are down, lost, scaled away, and a Prometheus that was away itself."""

from __future__ import annotations

import pytest

from .scenarios import DAY, Scenario, alive

#: Minutes until an instance goes, in every scenario.
BEFORE = 100


def targets(**histories: str) -> Scenario:
    """Instances by name, each with the course of its `up`; nobody exports anything while it is down."""
    scenario = Scenario(job="shop")
    for instance, up in histories.items():
        exports = up.partition(" 0x")[0] + (" stale" if " 0x" in up else "")
        alive(scenario, up, exports=exports, instance=f"{instance}:8080")
    return scenario


class TestTargetsThatGo:
    def test_scaling_down_raises_nothing(self) -> None:
        scenario = targets(a="1x700", b="1x700", c=f"1x{BEFORE} stale")

        assert not set().union(*scenario.firing(range(BEFORE, 700, 5)).values())

    def test_one_that_was_down_before_it_went_is_told_for_hours(self) -> None:
        """Not only for fifty minutes after it was down: until the median of a day is without it."""
        scenario = Scenario(job="shop", step=5)
        alive(scenario, f"1x{2 * DAY // 5}", instance="a:8080")
        alive(scenario, f"1x{DAY // 5} 0x1 stale", exports=f"1x{DAY // 5} stale", instance="b:8080")

        minutes = [DAY + after for after in (30, 60, 120, 300, 660)]
        assert {minute: {"RecoupTargetVanished"} for minute in minutes} == scenario.firing(minutes, severity="warning")

    def test_one_that_is_down_and_then_gone_is_told_by_one_alert_after_the_other(self) -> None:
        scenario = targets(a="1x700", b=f"1x{BEFORE} 0x9 stale")

        assert {108: {"RecoupDown"}, 130: {"RecoupTargetVanished"}} == scenario.firing([108, 130])

    def test_one_whose_place_another_took_is_told_no_more(self) -> None:
        scenario = targets(a="1x700", b=f"1x{BEFORE} 0x9 stale", c="_x112 1x500")

        assert {130: set(), 200: set(), 350: set()} == scenario.firing([130, 200, 350])

    def test_a_rollout_raises_nothing(self) -> None:
        """Each is there until its successor answers."""
        scenario = targets(a=f"1x{BEFORE} stale", b="1x105 stale", c="_x98 1x400", d="_x103 1x400")

        assert not set().union(*scenario.firing(range(90, 480, 5)).values())

    def test_a_namespace_that_is_torn_down_is_told_for_two_hours(self) -> None:
        """Not for a day: whoever did it knows."""
        scenario = targets(a=f"1x{BEFORE} stale", b=f"1x{BEFORE} stale")

        told = scenario.firing([115, 210, 235, 500])
        assert told == {115: {"RecoupTargetVanished"}, 210: {"RecoupTargetVanished"}, 235: set(), 500: set()}
        assert {115: {"RecoupTargetVanished"}} == scenario.firing([115], severity="critical")

    def test_a_job_of_one_name_in_another_cluster_does_not_stand_in(self) -> None:
        scenario = Scenario()
        for cluster, up in (("east", "1x300"), ("west", f"1x{BEFORE} stale")):
            scenario.gauge("up", up, cluster=cluster)

        assert {120: {"RecoupTargetVanished"}} == scenario.firing([120], cluster="west")
        assert {120: set()} == scenario.firing([120], cluster="east")


class TestTargetsThatAreDown:
    def test_three_minutes_out_of_reach_raise_nothing(self) -> None:
        scenario = targets(a=f"1x{BEFORE} 0x2 1x100")

        assert not set().union(*scenario.firing(range(BEFORE, BEFORE + 30)).values())

    def test_a_job_of_another_name_is_not_forgotten_while_it_is_down(self) -> None:
        """For three days, though it has exported nothing since."""
        scenario = Scenario(job="shop", step=5)
        alive(scenario, "1x20 0x900", exports="1x20 stale")

        minutes = [115, DAY, 2 * DAY, 3 * DAY]
        assert {minute: {"RecoupDown"} for minute in minutes} == scenario.firing(minutes, severity="critical")


class TestAPrometheusThatWasAway:
    """For an hour nothing was scraped and nothing evaluated; series end without a mark, and go on as if nothing was."""

    GAP = range(BEFORE + 1, BEFORE + 61)

    def service(self) -> Scenario:
        scenario = Scenario()
        gap = f"_x{len(self.GAP)}"
        for instance in ("a:8080", "b:8080"):
            alive(scenario, f"1x{BEFORE} {gap} 1x300", start=f"0x{BEFORE} {gap} 0x300", instance=instance)
            for name, pace, labels in (
                ("recoup_lookups_total", 48, {"outcome": "hit"}),
                ("recoup_lookups_total", 12, {"outcome": "miss"}),
                ("recoup_misses_total", 12, {"reason": "expired"}),
                ("recoup_spent_seconds_total", 60, {"purpose": "miss"}),
                ("recoup_recouped_seconds_total", 240, {}),
                ("recoup_request_duration_seconds_sum", 60, {"outcome": "miss"}),
                ("recoup_generation_duration_seconds_count", 12, {}),
                ("recoup_generation_duration_seconds_sum", 60, {}),
                ("recoup_streams_total", 12, {"end": "complete"}),
            ):
                after = pace * (BEFORE + len(self.GAP) + 1)
                values = f"0+{pace}x{BEFORE} {gap} {after}+{pace}x300"
                scenario.gauge(name, values, instance=instance, pipeline="relief", **labels)
            scenario.gauge("process_resident_memory_bytes", f"3e8x{BEFORE} {gap} 3e8x300", instance=instance)
            memory = f"1e8x{BEFORE} {gap} 1e8x300"
            scenario.gauge("recoup_memory_bytes", memory, instance=instance, pipeline="relief")
            scenario.gauge("recoup_memory_limit_bytes", f"5e8x{BEFORE} {gap} 5e8x300", instance=instance)
        return scenario

    def test_nothing_is_raised_when_it_is_back(self) -> None:
        """Nobody evaluates within the gap; promtool does, so only what comes after it is looked at."""
        back = self.GAP.stop

        assert not set().union(*self.service().firing(range(back, back + 240, 2)).values())

    @pytest.mark.parametrize(
        "figure", ["pipeline:recoup_hit_ratio:rate1h == 0.8", "pipeline:recoup_speedup:rate1h == 5"]
    )
    def test_its_figures_are_those_from_before(self, figure: str) -> None:
        assert self.service().ask(figure, [self.GAP.stop + 30])[self.GAP.stop + 30]
