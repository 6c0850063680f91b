"""What a scraper gets: valid in the format that it asked for."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from recoup import LRUCache
from recoup.telemetry import CacheCollector, HttpCounter, build_registry, render
from tools import require_tool

from .scene import TRACE, a_full_life

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
#: What Prometheus 2.53 and 3.5 send.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    http = HttpCounter([("/healthz", "GET", 200)])
    http.count("/api/cache/entries/<key>", "DELETE", 404)
    http.count(None, "BREW", 404)
    return build_registry(a_full_life(), http)


class TestFormats:
    @pytest.mark.parametrize("accept", [None, "", "*/*", "text/html,*/*;q=0.8", "text/plain", "application/json"])
    def test_whoever_does_not_ask_for_openmetrics_gets_text(
        self, registry: CollectorRegistry, accept: str | None
    ) -> None:
        body, content_type = render(registry, accept)

        assert content_type == TEXT
        assert any(family.name == "recoup_lookups" for family in parse_text(body.decode()))

    @pytest.mark.parametrize("accept", ["application/openmetrics-text", PROMETHEUS_2, PROMETHEUS_3])
    def test_whoever_asks_for_openmetrics_gets_it(self, registry: CollectorRegistry, accept: str) -> None:
        body, content_type = render(registry, accept)

        assert content_type.startswith(OPENMETRICS)
        assert any(family.name == "recoup_lookups" for family in parse_openmetrics(body.decode()))

    @pytest.mark.parametrize("version", ["2.0.0", "9", "x", "1.0.x", "", "1.0.0.0.0"])
    def test_a_version_that_nobody_writes_is_not_promised(self, registry: CollectorRegistry, version: str) -> None:
        _, content_type = render(registry, f"application/openmetrics-text;version={version}")

        assert content_type in {TEXT, OPENMETRICS}

    @given(st.text(alphabet="application/openmetrics-text;version=1.0,*q ", max_size=80) | st.text(max_size=40))
    def test_no_accept_header_is_an_error(self, accept: str) -> None:
        body, content_type = render(CollectorRegistry(), accept)

        assert body in {b"", b"# EOF\n"}
        assert content_type.startswith(("text/plain", "application/openmetrics-text"))

    def test_openmetrics_has_the_units_and_the_exemplars(self, registry: CollectorRegistry) -> None:
        families = {family.name: family for family in parse_openmetrics(render(registry, PROMETHEUS_3)[0].decode())}

        assert families["recoup_recouped_seconds"].unit == "seconds"
        assert families["recoup_memory_bytes"].unit == "bytes"
        exemplars = [sample.exemplar for sample in families["recoup_request_duration_seconds"].samples]
        assert {TRACE} == {exemplar.labels["trace_id"] for exemplar in exemplars if exemplar}

    def test_both_formats_have_the_same_series(self, registry: CollectorRegistry) -> None:
        text = {sample[:2] for sample in series(parse_text(render(registry, None)[0].decode()))}
        openmetrics = {sample[:2] for sample in series(parse_openmetrics(render(registry, PROMETHEUS_3)[0].decode()))}

        assert text == openmetrics


class TestPromtool:
    @pytest.mark.parametrize("life", [LRUCache, a_full_life], ids=["a new cache", "a full life"])
    def test_it_finds_no_fault(self, life) -> None:
        registry = build_registry(life(), HttpCounter([("/healthz", "GET", 200)]))

        checked = subprocess.run(
            [require_tool("promtool"), "check", "metrics"],
            input=render(registry, None)[0],
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert (0, b"") == (checked.returncode, checked.stderr)

    def test_it_finds_the_fault_of_a_counter_without_total(self) -> None:
        checked = subprocess.run(
            [require_tool("promtool"), "check", "metrics"],
            input=b"# HELP x_count X.\n# TYPE x_count gauge\nx_count 1\n",
            capture_output=True,
            timeout=60,
            check=False,
        )

        assert checked.returncode != 0


class TestRegistries:
    def test_the_global_registry_stays_as_it_is(self) -> None:
        before = {family.name for family in REGISTRY.collect()}
        build_registry(LRUCache(), HttpCounter())

        assert before == {family.name for family in REGISTRY.collect()}

    def test_each_registry_is_one_of_its_own(self) -> None:
        cache, http = LRUCache(), HttpCounter()

        assert build_registry(cache, http) is not build_registry(cache, http)

    def test_without_a_counter_of_requests_there_are_none(self) -> None:
        assert b"recoup_http_requests" not in render(build_registry(LRUCache()), None)[0]

    def test_a_registry_of_somebody_s_own_takes_the_collector(self) -> None:
        own = CollectorRegistry(auto_describe=True)
        own.register(CacheCollector(LRUCache()))

        assert b"recoup_enabled 1.0" in render(own, None)[0]


def series(families):
    for family in families:
        for sample in family.samples:
            # The formats write a bucket's bound alike only as a number.
            labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
            yield sample.name, frozenset(labels.items())
