"""Numbers as people read them."""

from __future__ import annotations

import re
import time

from grafana.charts import figure, text

NOTHING = "–"


def seconds(value: float) -> str:
    """A duration; from a second on in seconds, since the product's figures are."""
    return f"{value:,.1f} s" if value >= 1 else text(value, "s")


def clock(value: float) -> str:
    """Time since the beginning: `m:ss`, and hours where there are any."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(at: float) -> str:
    """A moment, in the time zone of the machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def share(value: float | None) -> str:
    """A ratio, as a percentage with one decimal; with more where it would else look like all."""
    if value is None:
        return NOTHING
    return f"{100 * value:.{2 if 0.9995 <= value < 1 else 1}f} %"


def times(value: float | None) -> str:
    """A factor."""
    return "no bound" if value is None else f"{value:.2f}x" if value < 10 else f"{figure(value)}x"


def count(value: int) -> str:
    """A number of things."""
    return f"{value:,}"


def tight(said: str) -> str:
    """A text in which no line breaks between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|[mµ]?s|[KMG]?i?B|points?)(?!\w))", "\N{NO-BREAK SPACE}", said)


def plain(value: object) -> str:
    """A setting."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
