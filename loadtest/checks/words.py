"""How figures are written."""

from __future__ import annotations

_MEBIBYTE = 2**20


def percent(share: float) -> str:
    """Such as `70.3 %`."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of two shares, such as `0.52 points`."""
    return f"{100 * share:.2f} points"


def times(factor: float) -> str:
    """Such as `3.31x`."""
    return f"{factor:.2f}x"


def seconds(value: float) -> str:
    """Such as `0.84 ms`, `124 ms` or `12.4 s`."""
    if value < 0.01:
        return f"{1000 * value:.2f} ms"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def megabytes(value: float) -> str:
    """Bytes, such as `112.4 MiB`."""
    return f"{value / _MEBIBYTE:.1f} MiB"


def count(number: float, what: str) -> str:
    """Such as `1 request` or `4,210 requests`."""
    return f"{number:,.0f} {what if number == 1 else f'{what}s'}"
