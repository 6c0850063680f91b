"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.clock import FakeClock

from recoup.cache import LRUCache


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_cache(clock: FakeClock) -> Callable[..., LRUCache]:
    """Makes caches on the frozen clock."""

    def make(**options: Any) -> LRUCache:
        return LRUCache(**{"clock": clock, **options})

    return make


@pytest.fixture
def cache(make_cache: Callable[..., LRUCache]) -> LRUCache:
    return make_cache(max_size=3)
