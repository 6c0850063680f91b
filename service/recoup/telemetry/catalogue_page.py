"""The catalogue as a page in Markdown: `python -m recoup.telemetry.catalogue_page > metrics/catalogue.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from recoup.telemetry.catalogue import METHODS, METRICS, Metric

_HEAD = """\
# The metric catalogue

Every metric that `GET /metrics` exports under `recoup_`. This page is generated from the code; after a change there:

    python -m recoup.telemetry.catalogue_page > metrics/catalogue.md

Standard process and Python metrics (`process_*`, `python_*`) are exported beside them. Counters count from the start
of the process or the last reset of the statistics. Label values that are known at start are exported as 0 from the
start; series with the label `pipeline` begin when the pipeline is known, which for configured pipelines is the start.

"""
_LABELS = """
## Labels

| label | of | values |
|---|---|---|
"""
_BUCKETS = """
## Buckets

Upper bounds, in the metric's unit; the last one, `+Inf`, is implied.

| metric | bounds | exemplars |
|---|---|---|
"""
_FEW = 3
_OPEN = {
    "pipeline": "the names of the pipelines",
    "tier": "the tiers beyond memory that there are: `disk`, `shared`",
    "currency": "the currencies of the pipelines' prices; `XXX` for a price without one",
    "route": "the templates of the routes; `unmatched` for a path that none serves",
    "method": ", ".join(f"`{method}`" for method in METHODS),
    "status": "HTTP status codes",
    "version": "the version of Recoup",
    "python": "the version of Python",
}


def page() -> str:
    """The page."""
    return _HEAD + tables(METRICS, _OPEN)


def tables(metrics: Sequence[Metric], meanings: Mapping[str, str]) -> str:
    """Metrics, their labels and their buckets, for the page of any catalogue.

    Args:
        metrics: In their order.
        meanings: By label, what its values are where they are not known at start.
    """
    rows = ["| metric | kind | labels | unit | meaning |", "|---|---|---|---|---|", *map(_row, metrics)]
    return "\n".join(rows) + "\n" + _LABELS + _labels(metrics, meanings) + _BUCKETS + _buckets(metrics)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit or 'none'} | {metric.help} |"


def _labels(metrics: Sequence[Metric], meanings: Mapping[str, str]) -> str:
    rows: dict[tuple[str, str], list[str]] = {}
    for metric in metrics:
        for label in metric.labels:
            words = metric.values.get(label)
            meaning = ", ".join(f"`{word}`" for word in words) if words else meanings[label]
            rows.setdefault((label, meaning), []).append(f"`{metric.name}`")
    return "".join(f"| `{label}` | {_of(names)} | {meaning} |\n" for (label, meaning), names in rows.items())


def _of(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else "as above"


def _buckets(metrics: Sequence[Metric]) -> str:
    histograms = [metric for metric in metrics if metric.buckets]
    return "".join(
        f"| `{metric.name}` | {', '.join(f'{bound:.10g}' for bound in metric.buckets)} |"
        f" {'trace id' if metric.exemplars else 'none'} |\n"
        for metric in histograms
    )


if __name__ == "__main__":
    sys.stdout.write(page())
