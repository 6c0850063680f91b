"""The load test's photographs: real ones, small, and the same for the same seed."""

from __future__ import annotations

import io
from itertools import combinations

import pytest
from loadtest.items import HEIGHT, WIDTH, sample_images
from PIL import Image, ImageStat

COUNT = 12


def test_each_is_a_jpeg_of_a_few_kilobytes_and_the_size_that_it_says() -> None:
    for body in sample_images(1, COUNT):
        with Image.open(io.BytesIO(body), formats=("JPEG",)) as image:
            image.load()
            assert (WIDTH, HEIGHT) == image.size
        assert 4_000 < len(body) < 20_000


def test_each_shows_something() -> None:
    for body in sample_images(1, COUNT):
        with Image.open(io.BytesIO(body)) as image:
            assert ImageStat.Stat(image.convert("L")).stddev[0] > 10


def test_none_is_like_another() -> None:
    assert all(one != other for one, other in combinations(sample_images(1, COUNT), 2))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = sample_images(1, COUNT)
    sample_images.cache_clear()
    again = sample_images(1, COUNT)
    assert first is not again
    assert first == again


def test_another_seed_gives_other_photographs() -> None:
    assert set(sample_images(1, COUNT)).isdisjoint(sample_images(2, COUNT))


def test_more_than_the_photograph_has_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="larger than population"):
        sample_images(1, 1_000_000)
