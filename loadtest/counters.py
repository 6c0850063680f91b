"""The service's counters, from the text of its `/metrics`: one flat mapping, for the journal."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families


def counters(text: str) -> dict[str, float]:
    """Every series of a text in Prometheus' format, but buckets, by its name and its labels as `series` has them."""
    return {
        series(sample.name, sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def series(name: str, labels: Mapping[str, str]) -> str:
    """A series as Prometheus' text has it, with labels in alphabetical order."""
    if not labels:
        return name
    inside = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
    return f"{name}{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
