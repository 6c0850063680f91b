"""Whether the cache pays: the time that it spares less the time that it costs, and money where there is a price."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from metrics import signals
from metrics.rulebook.alert import Alert, place
from metrics.rulebook.promql import number, rate
from metrics.selectors import Not, select
from metrics.signals import Signal
from metrics.thresholds import Thresholds
from recoup.telemetry import catalogue
from recoup.telemetry.catalogue import Metric

#: Money is never added over currencies.
CURRENCY = "currency"
#: What is recorded of each counter of money.
_COSTS = (
    (signals.GENERATED_COST, catalogue.GENERATED_COST),
    (signals.RECOUPED_COST, catalogue.RECOUPED_COST),
    (signals.REGRETTED_COST, catalogue.REGRETTED_COST),
)


def net_seconds(level: str, window: str) -> str:
    """What callers were spared less what the cache itself made them wait, in seconds a second. It can be negative.

    Without the cache, callers would have waited for the recouped generations and for those of the misses; with it, they
    waited as long as they did. Bypasses are on neither side.
    """
    recouped = rate(level, select(catalogue.RECOUPED), window)
    spent = rate(level, select(catalogue.SPENT, purpose="miss"), window)
    waited = rate(level, select(catalogue.REQUEST_DURATION, "_sum", outcome=Not("bypass")), window)
    return f"{recouped}\n+\n{spent}\n-\n{waited}"


def cost(metric: Metric, level: str, window: str) -> str:
    """Money a second, by currency; absent where there is no price."""
    return rate(level, select(metric), window, CURRENCY)


def recorded() -> dict[str, str]:
    """The recorded series by name."""
    ways: list[tuple[Signal, Callable[[str, str], str]]] = [(signals.NET_SECONDS, net_seconds)]
    ways += [(signal, partial(cost, metric)) for signal, metric in _COSTS]
    return {
        signal.at(level, window): way(level, window)
        for signal, way in ways
        for level, windows in signal.windows.items()
        for window in windows
    }


def does_not_pay(thresholds: Thresholds) -> Alert:
    """Callers wait longer with the cache than they would without it."""
    net = signals.NET_SECONDS.at("pipeline", "1h")
    pipeline = f"pipeline {{{{ $labels.pipeline }}}} of {place()}"
    return Alert(
        name="RecoupDoesNotPay",
        expression=f"{net} < 0\nand {signals.LOOKUPS_OF_HOUR.at('pipeline')} > {number(thresholds.lookups)}",
        hold="30m",
        severity="warning",
        summary=f"The cache costs more time than it spares: {pipeline}",
        description=(
            f'Per second, the callers of {pipeline} were spared {{{{ $value | printf "%.3f" }}}} seconds by the cache '
            "over the last 1h (threshold 0): they waited longer than the generations would have taken without it."
        ),
        dashboard="overview",
        keeps=("job", "pipeline"),
    )
