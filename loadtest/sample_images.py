"""Photographs for the load test: seeded crops of the one that the repository has."""

from __future__ import annotations

import io
import random
from functools import lru_cache
from pathlib import Path

from PIL import Image

SOURCE = Path(__file__).resolve().parents[1] / "examples" / "photo.jpg"
#: Pixels: about as many as `preview` samples, so that a body is a few kilobytes.
WIDTH, HEIGHT = 240, 160
_JPEG_QUALITY = 85


@lru_cache(maxsize=8)
def sample_images(seed: int, count: int) -> tuple[bytes, ...]:
    """So many JPEG files, each another part of the photograph. The same seed gives the same bytes.

    Raises:
        ValueError: The photograph has not so many parts.
    """
    with Image.open(SOURCE) as opened:
        whole = opened.convert("RGB")
    across, down = whole.width - WIDTH + 1, whole.height - HEIGHT + 1
    places = random.Random(f"photographs {seed}").sample(range(across * down), count)  # noqa: S311
    return tuple(_crop(whole, *divmod(place, down)) for place in places)


def _crop(whole: Image.Image, left: int, top: int) -> bytes:
    file = io.BytesIO()
    whole.crop((left, top, left + WIDTH, top + HEIGHT)).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
