"""The catalogue of the load test: every metric that the locustfile exports, defined once.

The exporter, the dashboards and the tests use only what stands here.
"""

from __future__ import annotations

from recoup.cache.buckets import REQUEST_SECONDS
from recoup.cache.records import OUTCOMES
from recoup.telemetry.catalogue import Metric

#: The value of the label `outcome` for an answer that names none, and for no answer.
NO_OUTCOME = "none"
#: The values of the label `outcome`.
ANSWER_OUTCOMES = (*OUTCOMES, NO_OUTCOME)

USERS = Metric("recoup_loadtest_users", "gauge", (), "", "Users that are running now.")
PHASE = Metric(
    "recoup_loadtest_phase",
    "gauge",
    ("scenario", "part"),
    "",
    "1 while the phase runs, 0 afterwards.",
)
OFFERED_REQUESTS = Metric(
    "recoup_loadtest_offered_requests_total",
    "counter",
    ("scenario", "part"),
    "",
    "Requests that were due: at their pace, where they have one, and those that were sent, where they have none.",
)
REQUESTS = Metric(
    "recoup_loadtest_requests_total",
    "counter",
    ("scenario", "part", "outcome"),
    "",
    "Requests that ended, by the outcome that their answers name; none: an answer without one, or no answer.",
    {"outcome": ANSWER_OUTCOMES},
)
FAILURES = Metric(
    "recoup_loadtest_failures_total",
    "counter",
    ("scenario", "part"),
    "",
    "Requests without an answer, with a broken one, or with one that the contract does not have there.",
)
RESPONSE_DURATION = Metric(
    "recoup_loadtest_response_duration_seconds",
    "histogram",
    ("scenario", "outcome"),
    "seconds",
    "Time from before a request was sent until all of its answer was there.",
    {"outcome": ANSWER_OUTCOMES},
    buckets=REQUEST_SECONDS,
)

#: Every metric, in the order in which they are exported.
METRICS: tuple[Metric, ...] = (USERS, PHASE, OFFERED_REQUESTS, REQUESTS, FAILURES, RESPONSE_DURATION)
