"""What the points say in a sentence, and what the next gigabyte is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from recoup.insight.simulation import Point

_HOURS_A_DAY: Final = 24
_MB_PER_GB: Final = 1024
#: Less than this share of what is recouped today, or this many points of the hit ratio, is called nothing.
_NOTABLE: Final = 0.01


def advice(points: Sequence[Point], policy: str) -> str:
    """What to change, computed from the points.

    Args:
        points: Of every policy and scale.
        policy: Today's.
    """
    at = {(point.policy, point.scale): point for point in points}
    today = at[policy, 1.0]
    if today.hit_ratio is None:
        return "No lookup has been sampled yet."
    others = [point for point in points if point.scale == 1.0 and point.policy != policy]
    best = max(others, key=_worth)
    parts = []
    double, half = at[policy, 2.0], at[policy, 0.5]
    if _is_notable(today, double):
        parts.append(f"twice the memory would {_gain(today, double)}")
    if _is_notable(today, best):
        subject = f"`{best.policy}` at today's size"
        parts.append(f"{subject} {_amount(today, best)}" if parts else f"{subject} would {_gain(today, best)}")
    if parts:
        return _sentence("; ".join(parts))
    if _is_notable(today, half):
        return "Twice the memory would bring next to nothing, and so would another policy."
    loss = "do as well" if _difference(today, half) >= 0 else _gain(today, half)
    return f"Today's size and policy are enough: half the memory would {loss}."


def next_gigabyte(points: Sequence[Point], policy: str) -> float | None:
    """Seconds an hour that one more gigabyte (2^30 bytes) would recoup; None where no time has passed.

    It is the slope from today's limits to twice these, of entries as of bytes.
    """
    at = {point.scale: point for point in points if point.policy == policy}
    today, double = at[1.0], at[2.0]
    if today.recouped_seconds_per_hour is None or double.recouped_seconds_per_hour is None:
        return None
    gigabytes = (double.max_memory_mb - today.max_memory_mb) / _MB_PER_GB
    return (double.recouped_seconds_per_hour - today.recouped_seconds_per_hour) / gigabytes


def duration(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `12 min`, `3.1 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _worth(point: Point) -> tuple[float, float]:
    return point.recouped_seconds_per_hour or 0.0, point.hit_ratio or 0.0


def _counts_seconds(today: Point, other: Point) -> bool:
    return bool(today.recouped_seconds_per_hour or other.recouped_seconds_per_hour)


def _difference(today: Point, other: Point) -> float:
    """Seconds a day where it is known what is recouped; else points of the hit ratio."""
    if _counts_seconds(today, other):
        return _HOURS_A_DAY * ((other.recouped_seconds_per_hour or 0.0) - (today.recouped_seconds_per_hour or 0.0))
    return 100 * ((other.hit_ratio or 0.0) - (today.hit_ratio or 0.0))


def _is_notable(today: Point, other: Point) -> bool:
    """Whether it is more than next to nothing; of less, whether that would be missed."""
    difference = _difference(today, other)
    if other.scale < today.scale:
        difference = -difference
    most = _HOURS_A_DAY * (today.recouped_seconds_per_hour or 0.0) if _counts_seconds(today, other) else 100.0
    return difference > _NOTABLE * most


def _amount(today: Point, other: Point) -> str:
    difference = abs(_difference(today, other))
    return duration(difference) if _counts_seconds(today, other) else f"{difference:.1f} points"


def _gain(today: Point, other: Point) -> str:
    difference = _difference(today, other)
    amount = _amount(today, other)
    if _counts_seconds(today, other):
        if difference >= 0:
            return f"recoup {amount} more a day"
        return f"lose {amount} a day"
    return f"raise the hit ratio by {amount}" if difference >= 0 else f"lower the hit ratio by {amount}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
