"""The service's counters as the journal has them."""

from __future__ import annotations

import json

from loadtest.service import counters, series
from prometheus_client import CollectorRegistry, generate_latest

from recoup import LRUCache
from recoup.telemetry import CacheCollector


def served() -> dict[str, float]:
    """What a service with one miss and two hits serves."""
    cache = LRUCache()
    cache.fetch("key", lambda: b"result", pipeline="relief")
    for _ in range(2):
        cache.fetch("key", lambda: b"result", pipeline="relief")
    registry = CollectorRegistry()
    registry.register(CacheCollector(cache))
    return counters(generate_latest(registry).decode())


def test_a_series_is_named_with_its_labels_in_alphabetical_order() -> None:
    assert 2.0 == served()['recoup_lookups_total{outcome="hit",pipeline="relief"}']


def test_a_series_without_labels_is_its_name_alone() -> None:
    assert 1000.0 == served()["recoup_entries_limit"]


def test_of_a_histogram_count_and_sum_are_kept_and_buckets_are_not() -> None:
    counted = served()
    assert 1.0 == counted['recoup_generation_duration_seconds_count{pipeline="relief"}']
    assert 'recoup_generation_duration_seconds_sum{pipeline="relief"}' in counted
    assert [] == [name for name in counted if "_bucket" in name]


def test_it_can_be_written_into_the_journal_and_read_again() -> None:
    counted = served()
    assert counted == json.loads(json.dumps(counted))


def test_labels_are_escaped_as_prometheus_does() -> None:
    assert r'a{x="\\ \" \n"}' == series("a", {"x": '\\ " \n'})
    text = 'a{x="\\\\ \\" \\n"} 1\n'
    assert {r'a{x="\\ \" \n"}': 1.0} == counters(text)
