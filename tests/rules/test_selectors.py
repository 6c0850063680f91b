"""A selector names only what a catalogue has."""

from __future__ import annotations

import pytest
from metrics.selectors import Matcher, Not, Pattern, select

from recoup.telemetry.catalogue import HTTP_REQUESTS, LOOKUPS, REQUEST_DURATION, Metric


@pytest.mark.parametrize(
    ("expected", "metric", "suffix", "labels"),
    [
        ("recoup_lookups_total", LOOKUPS, "", {}),
        ('recoup_lookups_total{outcome="hit"}', LOOKUPS, "", {"outcome": "hit"}),
        ('recoup_lookups_total{outcome=~"hit|stale"}', LOOKUPS, "", {"outcome": ("hit", "stale")}),
        ('recoup_lookups_total{outcome!="bypass"}', LOOKUPS, "", {"outcome": Not("bypass")}),
        ('recoup_http_requests_total{status=~"5.."}', HTTP_REQUESTS, "", {"status": Pattern("5..")}),
        ('recoup_request_duration_seconds_bucket{le="0.05"}', REQUEST_DURATION, "_bucket", {"le": "0.05"}),
    ],
)
def test_it_selects(expected: str, metric: Metric, suffix: str, labels: dict[str, Matcher]) -> None:
    assert expected == select(metric, suffix, **labels)


@pytest.mark.parametrize(
    ("message", "metric", "suffix", "labels"),
    [
        ("not as recoup_lookups_total_sum", LOOKUPS, "_sum", {}),
        ("not as recoup_request_duration_seconds", REQUEST_DURATION, "", {}),
        ("no label 'reason'", LOOKUPS, "", {"reason": "cold"}),
        ("no label 'le'", LOOKUPS, "", {"le": "1"}),
        ("outcome is never hits", LOOKUPS, "", {"outcome": ("hits", "stale")}),
        ("outcome is never bypassed", LOOKUPS, "", {"outcome": Not("bypassed")}),
        ("le is never 0.06", REQUEST_DURATION, "_bucket", {"le": "0.06"}),
    ],
)
def test_what_none_exports_is_refused(message: str, metric: Metric, suffix: str, labels: dict[str, Matcher]) -> None:
    with pytest.raises(ValueError, match=message):
        select(metric, suffix, **labels)
