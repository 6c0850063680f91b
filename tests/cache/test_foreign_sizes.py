"""Objects that own memory outside Python's view are measured, or a sizer is asked for in words."""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recoup.cache import LRUCache, measure
from recoup.errors import UnmeasurableError

MB = 10**6
FRAMES: dict[str, tuple[Any, float, float]] = {
    "numbers": (pd.DataFrame(np.zeros((100_000, 5))), 4.0, 4.2),
    "an index of text": (pd.DataFrame({"a": np.zeros(1000)}, index=[f"{n:01000}" for n in range(1000)]), 1.0, 1.2),
    "objects": (pd.Series([bytes(1000) + bytes([n % 256]) for n in range(1000)], dtype=object), 1.0, 1.2),
    "mixed labels": (pd.DataFrame({"a": np.zeros(100_000), 1: np.zeros(100_000)}), 1.6, 1.8),
    "levels": (pd.Series(np.zeros(40_000), index=pd.MultiIndex.from_product([range(200), range(200)])), 0.3, 0.6),
    "categories": (pd.Series(pd.Categorical(["a", "b"] * 100_000)), 0.2, 0.3),
    "times": (pd.Series(pd.date_range("2024", periods=100_000, freq="s")), 0.8, 0.9),
}


@pytest.mark.parametrize(("frame", "least", "most"), FRAMES.values(), ids=FRAMES)
def test_frames_count_with_their_data_their_labels_and_their_objects(frame: Any, least: float, most: float) -> None:
    assert least * MB <= measure(frame) <= most * MB
    cache = LRUCache()
    assert cache.set("a", frame)
    assert {0} == set(cache.stats().internal_errors.values())


@pytest.mark.parametrize(("mode", "pixel"), [("L", 1), ("RGB", 4), ("RGBA", 4), ("1", 1), ("I;16", 2), ("F", 4)])
def test_images_count_with_their_pixels(mode: str, pixel: int) -> None:
    image = Image.new(mode, (1000, 500))

    assert 500_000 * pixel <= measure(image) <= 500_000 * pixel + 2000
    assert measure([image, image]) < 500_000 * pixel + 3000


def test_an_object_may_say_its_own_size() -> None:
    class Mesh:
        def __recoup_size__(self) -> int:
            return 5 * MB

    assert 5 * MB <= measure([Mesh()]) < 5 * MB + 1000


def test_for_what_cannot_be_seen_a_sizer_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    tensor = type("Tensor", (), {"__module__": "torch"})()
    with pytest.raises(UnmeasurableError, match=r"sizer="):
        measure({"weights": tensor})

    cache = LRUCache()
    with caplog.at_level(logging.ERROR, "recoup.cache"):
        assert not cache.set("a", tensor)
    assert "sizer=" in str(caplog.records[0].exc_info)
    assert LRUCache(sizer=lambda _: 100).set("a", tensor)
