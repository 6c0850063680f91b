"""What a generation costs in money, where its pipeline has a price."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from recoup.fields import Number, unknown
from recoup.pipelines.json_pointer import Path
from recoup.pipelines.pointer_options import by_pointer

if TYPE_CHECKING:
    from recoup.pipelines.definition import OptionTable

CURRENCY_RULE = "a currency, as letters, digits, '-' and '_', at most 16 in all: USD"
_CURRENCY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
_RATE = Number(0, 10**9, "of the currency")
_MEMBERS = ("currency", "per_second", "per_generation", "per_unit")
#: Of one generation. What a result says of itself may be any number, and sums are to stay exact.
_MOST = 1e9


class Price:
    """The price of a pipeline's generations. It never changes.

    Args:
        currency: What it is in; a label of metrics.
        per_second: Of each second that a generation takes.
        per_generation: Of each generation.
        per_unit: Of each unit, by the path of its number in the result.
    """

    def __init__(
        self,
        currency: str,
        *,
        per_second: float = 0.0,
        per_generation: float = 0.0,
        per_unit: Mapping[Path, float] | None = None,
    ) -> None:
        self.currency = currency
        self.per_second = per_second
        self.per_generation = per_generation
        self.per_unit = dict(per_unit or {})

    @property
    def counted(self) -> tuple[Path, ...]:
        """The paths of the numbers that are paid for."""
        return tuple(self.per_unit)

    def of_units(self, units: Iterable[float]) -> float:
        """What a generation costs beside its time; `units` are the numbers at `counted`."""
        rates = self.per_unit.values()
        return min(self.per_generation + sum(map(float.__mul__, units, map(float, rates))), _MOST)


def read_price(options: OptionTable) -> Price | None:
    """The price of a pipeline: its option `price`; None: it has none."""
    table = options.given("price", None)
    if table is None:
        return None
    if not isinstance(table, dict):
        options.mistakes.append(options.refused("price", "a table with a currency and what is paid for"))
        return None
    inner = options.within("price")
    for name in table:
        if name not in _MEMBERS:
            options.mistakes.append(options.fault("price", unknown("member", name, _MEMBERS)))
    currency = table.get("currency")
    if currency is None:
        options.mistakes.append(options.fault("price.currency", f"missing: expected {CURRENCY_RULE}"))
    elif not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        options.mistakes.append(options.wrong("price.currency", currency, CURRENCY_RULE))
    rates = {name: float(inner.take(name, _RATE, 0.0)) for name in ("per_second", "per_generation")}
    per_unit = by_pointer(inner, "per_unit", _rate, _RATE.expected, about="prices")
    return Price(str(currency), per_unit=per_unit, **rates)


def _rate(value: object) -> float:
    return float(_RATE.check(value))
