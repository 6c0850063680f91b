"""Items: what is asked for. A photograph and the parameters of a relief, and the calls for it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from loadtest.plan import Batch, Call
from loadtest.sample_images import sample_images
from loadtest.settings import NAMES, Settings

#: Different photographs, which all scenarios share.
SAMPLE_IMAGES = 24
#: Of one scenario, at most.
MOST_ITEMS = 1_000_000
OK = frozenset({200})
_HEADERS = {"Content-Type": "image/jpeg"}
_BYPASS_HEADERS = {**_HEADERS, "Cache-Control": "no-store"}


@dataclass(frozen=True)
class Item:
    """What is asked for.

    Attributes:
        name: Short, such as `typical-17`.
        query: The parameters of the relief.
        body: The photograph.
    """

    name: str
    query: str
    body: bytes

    def call(self, *, bypass: bool = False, allowed: frozenset[int] = OK) -> Call:
        """The call for it; with `bypass` one that the cache does not answer and does not keep."""
        headers = _BYPASS_HEADERS if bypass else _HEADERS
        return Call(self.name, f"/api/generate/relief?{self.query}", self.body, headers, allowed=allowed)


@lru_cache(maxsize=64)
def items(seed: int, scenario: str, count: int) -> tuple[Item, ...]:
    """So many different items of a scenario; no other scenario has any of them.

    The plate's thickness tells scenarios apart and the relief's depth items, neither by so much that generation would
    take longer for some. A larger count begins with the same items.
    """
    draw = random.Random(f"items {seed} {scenario}")  # noqa: S311
    pictures = sample_images(seed, SAMPLE_IMAGES)
    base = 1 + NAMES.index(scenario) / 10
    # One step of the draw after another, so that a count does not change what comes before it.
    depths: dict[int, None] = {}
    while len(depths) < min(count, MOST_ITEMS):
        depths.setdefault(draw.randrange(MOST_ITEMS))
    return tuple(
        Item(
            f"{scenario}-{number}",
            f"quality=preview&base_mm={base:.1f}&depth_mm={2.5 + depth / MOST_ITEMS:.6f}",
            pictures[number % SAMPLE_IMAGES],
        )
        for number, depth in enumerate(depths)
    )


def of(settings: Settings, scenario: str, count: int) -> tuple[Item, ...]:
    """The items of a scenario with these settings."""
    return items(settings.seed, scenario, count)


def singly(found: Sequence[Item], *, bypass: bool = False, allowed: frozenset[int] = OK) -> tuple[Batch, ...]:
    """One call for each item, in their order."""
    return tuple((item.call(bypass=bypass, allowed=allowed),) for item in found)
