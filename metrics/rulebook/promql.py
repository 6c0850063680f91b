"""The few shapes that every expression is made of. Valid for Prometheus 2.42 and 3."""

from __future__ import annotations

from metrics.signals import LEVELS

__all__ = ["by", "increase", "number", "rate", "ratio"]


def by(level: str, *extra: str) -> str:
    """The labels that a level keeps, and some more, as an aggregation names them."""
    return ", ".join((*LEVELS[level], *extra))


def number(value: float) -> str:
    """A number as it stands in an expression: `3`, `0.6`, `67108864`."""
    return str(int(value)) if value == int(value) else repr(value)


def rate(level: str, selector: str, window: str, *extra: str) -> str:
    """What a counter grew by a second: summed over all that the level, and some labels more, do not tell apart."""
    return f"sum by ({by(level, *extra)}) (rate({selector}[{window}]))"


def increase(level: str, selector: str, window: str, *extra: str) -> str:
    """What a counter grew by in a window, summed likewise."""
    return f"sum by ({by(level, *extra)}) (increase({selector}[{window}]))"


def ratio(numerator: str, denominator: str) -> str:
    """Sums, then the division. Absent, not NaN, where there was nothing to divide by."""
    return f"{_grouped(numerator)}\n/\n({_grouped(denominator)} > 0)"


def _grouped(expression: str) -> str:
    return f"(\n  {expression.replace(chr(10), chr(10) + '  ')}\n)" if "\n" in expression else expression
