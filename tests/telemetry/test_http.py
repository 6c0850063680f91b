"""Requests are counted exactly, under bounded labels."""

from __future__ import annotations

import threading
import tracemalloc

import pytest
from prometheus_client import CollectorRegistry

from recoup.telemetry import HttpCounter


def registry_of(http: HttpCounter) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(http)
    return registry


class TestCounts:
    def test_requests_add_up_by_route_method_and_status(self) -> None:
        http = HttpCounter()
        for status in (200, 200, 404):
            http.count("/api/cache/entries/<key>", "GET", status)

        labels = {"route": "/api/cache/entries/<key>", "method": "GET"}
        registry = registry_of(http)
        assert 2 == registry.get_sample_value("recoup_http_requests_total", {**labels, "status": "200"})
        assert 1 == registry.get_sample_value("recoup_http_requests_total", {**labels, "status": "404"})

    def test_a_second_scrape_counts_nothing_twice(self) -> None:
        http = HttpCounter()
        http.count("/metrics", "GET", 200)

        assert [{("/metrics", "GET", "200"): 1}] * 2 == [http.counts(), http.counts()]

    def test_known_series_are_there_as_zero_from_the_start(self) -> None:
        assert {("/healthz", "GET", "200"): 0} == HttpCounter([("/healthz", "GET", 200)]).counts()

    def test_what_waits_to_be_added_up_is_bounded(self) -> None:
        """A thousand times as many requests take no more memory: they are added up on the way."""
        http = HttpCounter()
        tracemalloc.start()
        try:
            for _ in range(10_000):
                http.count("/metrics", "GET", 200)
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(100_000):
                http.count("/metrics", "GET", 200)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

        assert grown < 2**20
        assert {("/metrics", "GET", "200"): 110_000} == http.counts()

    def test_counts_are_exact_with_sixteen_threads_and_a_scraper(self) -> None:
        http, ended = HttpCounter(), threading.Event()
        seen: list[float] = []
        threads = [threading.Thread(target=hammer, args=(http, number)) for number in range(16)]
        scraper = threading.Thread(target=scrape, args=(http, ended, seen))
        scraper.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        ended.set()
        scraper.join(60)

        assert {("/a", "GET", "200"): 8 * 5000, ("/b", "POST", "503"): 8 * 5000} == http.counts()
        assert sorted(seen) == seen


class TestLabels:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"])
    def test_the_methods_of_http_count_under_their_names(self, method: str) -> None:
        http = HttpCounter()
        http.count("/a", method, 200)

        assert [("/a", method, "200")] == list(http.counts())

    def test_other_methods_and_unserved_paths_count_together(self) -> None:
        http = HttpCounter()
        for number in range(100):
            http.count(None, f"METHOD{number}", 404)

        assert {("unmatched", "other", "404"): 100} == http.counts()


def hammer(http: HttpCounter, number: int) -> None:
    series = ("/a", "GET", 200) if number % 2 else ("/b", "POST", 503)
    for _ in range(5000):
        http.count(*series)


def scrape(http: HttpCounter, ended: threading.Event, seen: list[int]) -> None:
    while not ended.is_set():
        seen.append(sum(http.counts().values()))
