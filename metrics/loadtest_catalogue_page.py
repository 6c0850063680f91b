"""The catalogue as a page in Markdown: `python -m metrics.loadtest_catalogue_page > metrics/loadtest-catalogue.md`."""

from __future__ import annotations

import sys

from metrics.loadtest_catalogue import METRICS
from recoup.telemetry.catalogue_page import tables

_HEAD = """\
# The metric catalogue of the load test

Every metric that a load test exports while it runs, beside [those of the service](catalogue.md). This page is generated
from the code; after a change there:

    python -m metrics.loadtest_catalogue_page > metrics/loadtest-catalogue.md

They are what Locust counts, as a client of the service. Counters count from the start of the run; series with the
label `scenario` begin, at 0, with the first phase that has their labels.

"""
_OPEN = {
    "scenario": "the names of the scenarios, such as `typical`",
    "part": "the names of a scenario's parts, such as `cached`",
}


def page() -> str:
    """The page."""
    return _HEAD + tables(METRICS, _OPEN)


if __name__ == "__main__":
    sys.stdout.write(page())
