"""From the catalogue's definitions to the metric families that prometheus-client exposes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate

from prometheus_client import samples
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

from recoup.cache.stats import Exemplar, HistogramSnapshot
from recoup.telemetry.catalogue import Metric

#: One series: its label values in the order of the metric's labels, and its value.
Value = tuple[Sequence[str], float]
Distribution = tuple[Sequence[str], HistogramSnapshot]

#: OpenMetrics allows an exemplar's labels 128 characters, the names included.
_EXEMPLAR_LABEL = "trace_id"
_EXEMPLAR_ROOM = 128 - len(_EXEMPLAR_LABEL)


def family(metric: Metric) -> Family:
    """The family of a metric, without any series."""
    if metric.kind == "counter":
        return _counter(metric)
    return _gauge(metric) if metric.kind == "gauge" else _histogram(metric)


def values(metric: Metric, series: Iterable[Value]) -> Family:
    """The family of a counter or a gauge, with its series."""
    result = _counter(metric) if metric.kind == "counter" else _gauge(metric)
    for labels, value in series:
        result.add_metric(labels, value)
    return result


def distributions(metric: Metric, series: Iterable[Distribution]) -> Family:
    """The family of a histogram, with its series; exemplars stand on its buckets and nowhere else."""
    result = _histogram(metric)
    for labels, snapshot in series:
        result.add_metric(labels, _buckets(snapshot), snapshot.total)
    return result


def empty(metric: Metric) -> HistogramSnapshot:
    """A histogram without any observation."""
    return HistogramSnapshot(metric.buckets, (0,) * (len(metric.buckets) + 1), 0.0, {})


def _counter(metric: Metric) -> CounterMetricFamily:
    return CounterMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)


def _gauge(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)


def _histogram(metric: Metric) -> HistogramMetricFamily:
    return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)


def _buckets(
    snapshot: HistogramSnapshot,
) -> list[tuple[str, float] | tuple[str, float, samples.Exemplar]]:
    result: list[tuple[str, float] | tuple[str, float, samples.Exemplar]] = []
    for index, (bound, count) in enumerate(zip(_bounds(snapshot.bounds), accumulate(snapshot.counts), strict=True)):
        exemplar = snapshot.exemplars.get(index)
        if exemplar is None or len(exemplar.trace_id) > _EXEMPLAR_ROOM:
            result.append((bound, count))
        else:
            result.append((bound, count, _exemplar(exemplar)))
    return result


def _exemplar(exemplar: Exemplar) -> samples.Exemplar:
    return samples.Exemplar({_EXEMPLAR_LABEL: exemplar.trace_id}, exemplar.value, exemplar.timestamp)


@lru_cache(maxsize=16)
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")
