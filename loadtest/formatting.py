"""Numbers as people read them, in the verdict's text and in the report."""

from __future__ import annotations

import re
import time

from grafana.charts import figure

#: Where there is no value.
NOTHING = "–"
_MEBIBYTE = 2**20


def percent(share: float | None) -> str:
    """A ratio such as `70.3 %`; with two decimals where it would else look like all."""
    if share is None:
        return NOTHING
    return f"{100 * share:.{2 if 0.9995 <= share < 1 else 1}f} %"


def points(share: float) -> str:
    """A difference of two shares, such as `0.52 points`."""
    return f"{100 * share:.2f} points"


def times(factor: float | None) -> str:
    """A factor such as `3.31x`; None: it has no bound."""
    return "no bound" if factor is None else f"{factor:.2f}x" if factor < 10 else f"{figure(factor)}x"


def seconds(value: float) -> str:
    """Such as `0.84 ms`, `124 ms` or `12.4 s`."""
    if value < 0.01:
        return f"{1000 * value:.2f} ms"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:,.1f} s"


def megabytes(value: float) -> str:
    """Bytes, such as `112.4 MiB`."""
    return f"{value / _MEBIBYTE:.1f} MiB"


def count(number: float, what: str) -> str:
    """Such as `1 request`, `4,210 requests` or `2 entries`."""
    if number != 1:
        what = re.sub(r"(?<![aeiou])y$", "ie", re.sub(r"s$", "sse", what)) + "s"
    return f"{number:,.0f} {what}"


def clock(value: float) -> str:
    """Time since the beginning: `m:ss`, and hours where there are any."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: float) -> str:
    """A moment, in the time zone of the machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def unbroken(text: str) -> str:
    """A text in which no line breaks between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|[mµ]?s|[KMG]?i?B|points?)(?!\w))", "\N{NO-BREAK SPACE}", text)


def setting(value: object) -> str:
    """The value of a setting."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
