"""Memory: what the process takes beyond what its cache accounts for, and a cache that lets go of the young."""

from __future__ import annotations

import pytest

from .scenarios import DAY, Scenario

MIB = 2**20
LIMIT = 512 * MIB
HOUR = 60
DRIFT = "RecoupMemoryDrift|RecoupMemoryLeak"


def growing(paces: list[tuple[int, float, float]]) -> Scenario:
    """A process that begins with 100 MiB: steps of five minutes, and bytes that it, and its cache, grow by in each."""
    scenario = Scenario(step=5)
    resident, held = 100.0 * MIB, 0.0
    process, cache = [f"{resident:.0f}"], ["0"]
    for steps, growth, accounted in paces:
        process.append(f"{resident + growth:.0f}{growth:+.0f}x{steps - 1}")
        cache.append(f"{held + accounted:.0f}{accounted:+.0f}x{steps - 1}")
        resident, held = resident + growth * steps, held + accounted * steps
    scenario.gauge("process_resident_memory_bytes", " ".join(process))
    scenario.gauge("recoup_memory_bytes", " ".join(cache), pipeline="relief")
    return scenario.gauge("recoup_memory_limit_bytes", f"{LIMIT}x{sum(steps for steps, _, _ in paces)}")


class TestDrift:
    def test_a_full_cache_whose_process_grows_by_thirty_percent_within_an_hour_is_told_within_two(self) -> None:
        """154 MiB in twelve steps. 25 % of 512 MiB, 128 MiB, are passed in the tenth, at 170m; held for 30m."""
        filled, growth = LIMIT / 24, 0.3 * LIMIT / 12
        scenario = growing([(24, filled, filled), (12, growth, 0), (48, 0, 0)])

        assert {120: set(), 190: set()} == scenario.firing([120, 190], alert=DRIFT)
        assert {205: {"RecoupMemoryDrift"}, 400: {"RecoupMemoryDrift"}} == scenario.firing([205, 400], alert=DRIFT)

    def test_a_process_that_takes_thirty_percent_more_than_it_accounts_for_is_told_while_it_fills(self) -> None:
        """In 22 hours to 512 MiB. From 160 MiB on the drift is above 48 MiB: 160 / 512 of 22 h are 413m; then 30m."""
        steps = 22 * HOUR // 5
        scenario = growing([(steps, 1.3 * LIMIT / steps, LIMIT / steps)])

        assert {360: set(), 410: set()} == scenario.firing([360, 410], alert=DRIFT)
        assert {450: {"RecoupMemoryDrift"}, 1300: {"RecoupMemoryDrift"}} == scenario.firing([450, 1300], alert=DRIFT)

    def test_ten_percent_are_what_the_cache_promises(self) -> None:
        steps = 22 * HOUR // 5
        scenario = growing([(steps, 1.1 * LIMIT / steps, LIMIT / steps)])

        assert not set().union(*scenario.firing(range(0, 22 * HOUR, 60), alert=DRIFT).values())

    def test_forty_megabytes_a_day_are_told_though_no_day_is_remarkable(self) -> None:
        growth = 40e6 / (DAY // 5)
        scenario = growing([(5 * DAY // 5, growth, 0)])

        assert {2 * DAY: set()} == scenario.firing([2 * DAY], alert=DRIFT)
        assert {"RecoupMemoryLeak"} == scenario.firing([5 * DAY - 60], alert="RecoupMemoryLeak")[5 * DAY - 60]


def evicting(*, cause: str, entries: float, held: float, age: int, ttl: int = 86400, pace: float = 0.1) -> Scenario:
    """Entries that leave at one age: so many a minute, of so many that are held in so many bytes."""
    scenario = Scenario(step=2).gauge("recoup_ttl_seconds", f"{ttl}x150")
    own = {"pipeline": "relief"}
    for bound in ("60.0", "300.0", "900.0", "3600.0", "86400.0", "+Inf"):
        grown = 2 * pace if float(bound) >= age else 0
        scenario.counter("recoup_eviction_age_seconds_bucket", [(150, grown)], le=bound, **own)
    scenario.counter("recoup_evictions_total", [(150, 2 * pace)], cause=cause, **own)
    scenario.gauge("recoup_entries", f"{entries}x150", **own)
    scenario.gauge("recoup_memory_bytes", f"{held:.0f}x150", **own)
    return scenario.gauge("recoup_memory_limit_bytes", f"{LIMIT}x150")


class TestYoungEvictions:
    @pytest.mark.parametrize("cause", ["memory", "size", "quota"])
    def test_entries_of_150_megabytes_that_leave_young_are_told(self, cause: str) -> None:
        """Three are held, 84 % of the limit, and six leave within an hour."""
        scenario = evicting(cause=cause, entries=3, held=450e6, age=200)

        assert {200: {"RecoupYoungEvictions"}, 290: {"RecoupYoungEvictions"}} == scenario.firing([200, 290])

    def test_a_limit_of_entries_that_evicts_the_young_is_told_though_there_is_memory(self) -> None:
        scenario = evicting(cause="size", entries=20, held=0.1 * LIMIT, age=200, pace=1)

        assert {200: {"RecoupYoungEvictions"}} == scenario.firing([200])

    @pytest.mark.parametrize(
        "scenario",
        [
            pytest.param(
                evicting(cause="size", entries=20, held=1e6, age=301, ttl=600, pace=1), id="half of a short TTL"
            ),
            pytest.param(evicting(cause="memory", entries=20, held=5e8, age=3000, pace=1), id="old"),
            pytest.param(evicting(cause="expired", entries=20, held=5e8, age=200, pace=1), id="by age"),
            pytest.param(evicting(cause="memory", entries=2000, held=5e8, age=200, pace=1), id="few of many"),
        ],
    )
    def test_what_leaves_as_it_may_raises_nothing(self, scenario: Scenario) -> None:
        assert {200: set(), 290: set()} == scenario.firing([200, 290])
