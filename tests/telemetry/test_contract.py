"""The catalogue, the contract and `/metrics` agree, name by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recoup.in_flight import InFlight
from recoup.telemetry import METRICS, HttpCounter, Metric, build_registry, render
from recoup.telemetry.catalogue import METHODS
from recoup.telemetry.catalogue_page import page

from .scene import a_full_life

PAGE = Path(__file__).parents[2] / "metrics" / "catalogue.md"

#: The contract's table.
CONTRACT = {
    "recoup_lookups_total": ("counter", ("pipeline", "outcome")),
    "recoup_misses_total": ("counter", ("pipeline", "reason")),
    "recoup_bypasses_total": ("counter", ("pipeline", "reason")),
    "recoup_evictions_total": ("counter", ("pipeline", "cause")),
    "recoup_invalidations_total": ("counter", ("pipeline", "cause")),
    "recoup_unused_evictions_total": ("counter", ("pipeline",)),
    "recoup_entries": ("gauge", ("pipeline",)),
    "recoup_entries_limit": ("gauge", ()),
    "recoup_memory_bytes": ("gauge", ("pipeline",)),
    "recoup_memory_limit_bytes": ("gauge", ()),
    "recoup_enabled": ("gauge", ()),
    "recoup_ttl_seconds": ("gauge", ()),
    "recoup_recouped_seconds_total": ("counter", ("pipeline",)),
    "recoup_regretted_seconds_total": ("counter", ("pipeline",)),
    "recoup_generated_cost_total": ("counter", ("pipeline", "currency")),
    "recoup_recouped_cost_total": ("counter", ("pipeline", "currency")),
    "recoup_regretted_cost_total": ("counter", ("pipeline", "currency")),
    "recoup_spent_seconds_total": ("counter", ("pipeline", "purpose")),
    "recoup_generation_duration_seconds": ("histogram", ("pipeline",)),
    "recoup_generation_failures_total": ("counter", ("pipeline", "error")),
    "recoup_generations_in_progress": ("gauge", ("pipeline",)),
    "recoup_generations_waiting": ("gauge", ("pipeline",)),
    "recoup_request_duration_seconds": ("histogram", ("pipeline", "outcome")),
    "recoup_first_byte_seconds": ("histogram", ("pipeline", "outcome")),
    "recoup_streams_total": ("counter", ("pipeline", "end")),
    "recoup_refreshes_total": ("counter", ("pipeline", "cause", "result")),
    "recoup_http_requests_total": ("counter", ("route", "method", "status")),
    "recoup_entry_size_bytes": ("histogram", ("pipeline",)),
    "recoup_hit_age_seconds": ("histogram", ("pipeline",)),
    "recoup_eviction_age_seconds": ("histogram", ("pipeline",)),
    "recoup_tier_lookups_total": ("counter", ("tier", "pipeline", "result")),
    "recoup_tier_writes_total": ("counter", ("tier", "pipeline", "result")),
    "recoup_tier_operation_seconds": ("histogram", ("tier", "operation")),
    "recoup_tier_entries": ("gauge", ("tier",)),
    "recoup_tier_bytes": ("gauge", ("tier",)),
    "recoup_tier_limit_bytes": ("gauge", ("tier",)),
    "recoup_tier_up": ("gauge", ("tier",)),
    "recoup_tier_evictions_total": ("counter", ("tier",)),
    "recoup_tier_corrupt_total": ("counter", ("tier",)),
    "recoup_tier_queue_bytes": ("gauge", ("tier",)),
    "recoup_invalidation_lag_seconds": ("histogram", ()),
    "recoup_in_flight_bytes": ("gauge", ("part",)),
    "recoup_in_flight_limit_bytes": ("gauge", ()),
    "recoup_log_lines_dropped_total": ("counter", ()),
    "recoup_config_changes_total": ("counter", ("setting",)),
    "recoup_internal_errors_total": ("counter", ("part",)),
    "recoup_build_info": ("gauge", ("version", "python")),
}


@pytest.fixture(scope="module")
def exported() -> dict[str, tuple[str, set[tuple[str, ...]]]]:
    """Kind and label names of each exported metric; a counter's name with its `_total`, a bucket's `le` left out."""
    registry = build_registry(a_full_life(), HttpCounter([("/metrics", "GET", 200)]), InFlight(2**20))
    families = text_string_to_metric_families(render(registry, None)[0].decode())
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {tuple(sorted(set(sample.labels) - {"le"})) for sample in family.samples},
        )
        for family in families
    }


class TestTheCatalogue:
    def test_it_is_the_contract_s_table(self) -> None:
        assert CONTRACT == {metric.name: (metric.kind, metric.labels) for metric in METRICS}

    def test_each_name_stands_once(self) -> None:
        assert len(CONTRACT) == len(METRICS)

    def test_only_request_durations_carry_exemplars(self) -> None:
        assert ["recoup_request_duration_seconds"] == [metric.name for metric in METRICS if metric.exemplars]

    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_each_metric_follows_the_habits_of_prometheus(self, metric: Metric) -> None:
        assert re.fullmatch(r"recoup_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.kind == "histogram") == bool(metric.buckets)
        assert metric.name.removesuffix("_total").endswith(metric.unit)
        assert metric.help.endswith(".")
        assert set(metric.values) <= set(metric.labels)

    @pytest.mark.parametrize("unit", ["seconds", "bytes"])
    def test_a_metric_that_is_named_after_a_unit_has_it(self, unit: str) -> None:
        named = {metric.name for metric in METRICS if f"_{unit}" in metric.name}

        assert named == {metric.name for metric in METRICS if metric.unit == unit}

    @pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.buckets], ids=lambda metric: metric.name)
    def test_buckets_ascend(self, metric: Metric) -> None:
        assert sorted(set(metric.buckets)) == list(metric.buckets)

    @pytest.mark.parametrize(
        ("name", "first", "last"),
        [
            ("recoup_request_duration_seconds", 0.00005, 300.0),
            ("recoup_generation_duration_seconds", 0.01, 300.0),
        ],
    )
    def test_buckets_reach_from_below_a_hit_to_the_longest_generation(
        self, name: str, first: float, last: float
    ) -> None:
        buckets = next(metric.buckets for metric in METRICS if metric.name == name)

        assert (first, last) == (buckets[0], buckets[-1])


class TestMetricsAsExported:
    def test_exactly_the_catalogue_is_exported_beside_the_process_and_its_python(self, exported: dict) -> None:
        assert set(CONTRACT) == {name for name in exported if not name.startswith(("process_", "python_"))}

    @pytest.mark.parametrize("name", CONTRACT)
    def test_each_has_the_catalogue_s_kind_and_labels(self, exported: dict, name: str) -> None:
        kind, labels = CONTRACT[name]

        assert (kind, {tuple(sorted(labels))}) == exported[name]

    @pytest.mark.parametrize(
        "name",
        [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_open_fds",
            "process_threads",
            "python_info",
            "python_gc_collections_total",
        ],
    )
    def test_the_standard_metrics_are_exported_too(self, exported: dict, name: str) -> None:
        assert name in exported

    def test_no_series_tells_when_it_was_created(self, exported: dict) -> None:
        assert [] == [name for name in exported if name.endswith("_created")]


class TestThePage:
    def test_it_is_what_the_code_says(self) -> None:
        """After a change: python -m recoup.telemetry.catalogue_page > metrics/catalogue.md."""
        assert page() == PAGE.read_text(encoding="utf-8")

    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
    def test_each_metric_is_there_with_its_help(self, metric: Metric) -> None:
        rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(f"| `{metric.name}` |")]

        assert metric.help in rows[0]

    def test_the_methods_are_bounded(self) -> None:
        assert ", ".join(f"`{method}`" for method in METHODS) in PAGE.read_text("utf-8")
