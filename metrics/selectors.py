"""Selectors of series, made of the catalogues' metrics: an unknown label or value is an error."""

from __future__ import annotations

from dataclasses import dataclass

from recoup.telemetry.catalogue import Metric


@dataclass(frozen=True)
class Not:
    """Any value but this one."""

    value: str


@dataclass(frozen=True)
class Pattern:
    """A regular expression that some of a label's values match, or none of them where `matches` is false."""

    expression: str
    matches: bool = True


#: What a label has to be: one value, one of several, any but one, or what a pattern matches.
Matcher = str | tuple[str, ...] | Not | Pattern


def select(metric: Metric, suffix: str = "", **labels: Matcher) -> str:
    """The series of a metric, such as `recoup_lookups_total{outcome="hit"}`.

    Args:
        metric: One of a catalogue.
        suffix: `_bucket`, `_count` or `_sum` of a histogram.
        labels: By label, what it has to be.

    Raises:
        ValueError: The metric exports no such series.
    """
    name = metric.name + suffix
    if name not in metric.series:
        raise ValueError(f"{metric.name} is exported as {', '.join(metric.series)}, not as {name}")
    matchers = ", ".join(matcher(metric, label, value) for label, value in labels.items())
    return f"{name}{{{matchers}}}" if matchers else name


def matcher(metric: Metric, label: str, value: Matcher) -> str:
    """One matcher, such as `outcome=~"hit|stale"`.

    Raises:
        ValueError: The metric has no such label, or the label never has such a value.
    """
    if label not in metric.labels and not (label == "le" and metric.buckets):
        raise ValueError(f"{metric.name} has no label {label!r}; it has {', '.join(metric.labels) or 'none'}")
    known = tuple(str(bound) for bound in metric.buckets) if label == "le" else metric.values.get(label, ())
    values = (value.value,) if isinstance(value, Not) else (value,) if isinstance(value, str) else value
    if known and not isinstance(values, Pattern):
        unknown = set(values) - set(known)
        if unknown:
            raise ValueError(f"{metric.name}: {label} is never {', '.join(sorted(unknown))}; it is {', '.join(known)}")
    return f"{label}{_condition(value)}"


def _condition(value: Matcher) -> str:
    if isinstance(value, Not):
        return f'!="{value.value}"'
    if isinstance(value, Pattern):
        return f'{"=" if value.matches else "!"}~"{value.expression}"'
    return f'="{value}"' if isinstance(value, str) else f'=~"{"|".join(value)}"'
