"""Items: what is asked for, and the calls for it.

A photograph (a seeded crop of the one that the repository has) and the parameters of a relief, or a prompt.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist

from PIL import Image

from loadtest.plan import Batch, Call
from loadtest.settings import NAMES, Settings

_PHOTOGRAPH = Path(__file__).resolve().parents[1] / "examples" / "photo.jpg"
#: Pixels: about as many as `preview` samples, so that a body is a few kilobytes.
WIDTH, HEIGHT = 240, 160
_JPEG_QUALITY = 85
#: Different photographs, which all scenarios share.
SAMPLE_IMAGES = 24
#: Of one scenario, at most.
MOST_ITEMS = 1_000_000
OK = frozenset({200})
#: What the paced upstream takes: the mean, and the standard deviation of the logarithm.
SECONDS_MEAN, SECONDS_SIGMA = 0.5, 0.3
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Item:
    """What is asked for.

    Attributes:
        name: Short, such as `typical-17`.
        path: Of the pipeline, with its query.
        body: A photograph, or a prompt.
        content_type: Of the body.
        seconds: What its generation takes, where the load test sets that; else 0.
    """

    name: str
    path: str
    body: bytes
    content_type: str = "image/jpeg"
    seconds: float = 0.0

    def call(self, *, bypass: bool = False, allowed: frozenset[int] = OK) -> Call:
        """The call for it; with `bypass` one that the cache does not answer and does not keep."""
        headers = {"Content-Type": self.content_type}
        if bypass:
            headers["Cache-Control"] = "no-store"
        return Call(self.name, self.path, self.body, headers, allowed=allowed)


@lru_cache(maxsize=64)
def items(seed: int, scenario: str, count: int) -> tuple[Item, ...]:
    """So many different items of a scenario; no other scenario has any of them.

    The plate's thickness tells scenarios apart and the relief's depth items, neither by so much that generation would
    take longer for some. A larger count begins with the same items.
    """
    if scenario == "typical-remote":
        return tuple(_prompt(seed, scenario, number) for number in range(count))
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
            f"/api/generate/relief?quality=preview&base_mm={base:.1f}&depth_mm={2.5 + depth / MOST_ITEMS:.6f}",
            pictures[number % SAMPLE_IMAGES],
        )
        for number, depth in enumerate(depths)
    )


def _prompt(seed: int, scenario: str, number: int) -> Item:
    """A request to the paced upstream, which takes as long as it says: log-normal, the same each time.

    Items of like popularity have durations from all over the distribution (multiples of the golden ratio fill an
    interval evenly), so that hits recoup what misses cost in the mean, whatever the few most popular items take.
    """
    share = (0.5 + number * _GOLDEN) % 1
    spread = SECONDS_SIGMA * NormalDist().inv_cdf(share) - SECONDS_SIGMA**2 / 2
    seconds = round(SECONDS_MEAN * math.exp(spread), 4)
    body = json.dumps({"prompt": f"{scenario} {seed} {number}", "seconds": seconds}).encode()
    return Item(f"{scenario}-{number}", "/api/generate/remote", body, "application/json", seconds)


def of(settings: Settings, scenario: str, count: int) -> tuple[Item, ...]:
    """The items of a scenario with these settings."""
    return items(settings.seed, scenario, count)


def singly(found: Sequence[Item], *, bypass: bool = False, allowed: frozenset[int] = OK) -> tuple[Batch, ...]:
    """One call for each item, in their order."""
    return tuple((item.call(bypass=bypass, allowed=allowed),) for item in found)


@lru_cache(maxsize=8)
def sample_images(seed: int, count: int) -> tuple[bytes, ...]:
    """So many JPEG files, each another part of the photograph. The same seed gives the same bytes.

    Raises:
        ValueError: The photograph has not so many parts.
    """
    with Image.open(_PHOTOGRAPH) as opened:
        whole = opened.convert("RGB")
    across, down = whole.width - WIDTH + 1, whole.height - HEIGHT + 1
    places = random.Random(f"photographs {seed}").sample(range(across * down), count)  # noqa: S311
    return tuple(_crop(whole, *divmod(place, down)) for place in places)


def _crop(whole: Image.Image, left: int, top: int) -> bytes:
    file = io.BytesIO()
    whole.crop((left, top, left + WIDTH, top + HEIGHT)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
