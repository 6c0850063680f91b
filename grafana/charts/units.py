"""Values in Grafana's units, as a person reads them. `charts.js` has the same for axes; a test compares the two."""

from __future__ import annotations

import math
from decimal import Decimal

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_SECONDS = ((86400, "days"), (3600, "hours"), (60, "mins"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SUFFIXES = {"reqps": " req/s", "cps": " /s", "suffix:x": "x"}


def text(value: float, unit: str, decimals: int | None = None) -> str:
    """A value in its unit.

    Args:
        value: The value, in the unit that the dashboards have: a share from 0 to 1, seconds, bytes.
        unit: Grafana's name of the unit: `percentunit`, `s`, `bytes`, `reqps`, `cps`, `suffix:x`; else a plain number.
        decimals: Digits after the point; three significant figures where it is left out.
    """
    if unit == "percentunit":
        return f"{figure(100 * value)}%" if decimals is None else f"{100 * value:.{decimals}f}%"
    if unit == "s":
        return _seconds(value)
    if unit == "bytes":
        power = min(int(math.log(value, 1024)), len(_BYTES) - 1) if value >= 1 else 0
        return f"{figure(value / 1024**power)} {_BYTES[power]}"
    return (f"{value:.{decimals}f}" if decimals is not None else figure(value)) + _SUFFIXES.get(unit, "")


def figure(value: float) -> str:
    """Three significant figures, and every digit before the point."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{Decimal(f'{value:.3g}'):f}"


def _seconds(value: float) -> str:
    size, name = next(((size, name) for size, name in _SECONDS if abs(value) >= size), (1, "s"))
    return f"{figure(value / size)} {name}"
