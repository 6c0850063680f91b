"""The orders of eviction, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from recoup.cache.policies.lru import LRUOrder
from recoup.cache.policies.order import Order

#: How the order of each policy is made.
POLICIES: Final[dict[str, Callable[[], Order]]] = {"lru": LRUOrder}

__all__ = ["POLICIES", "LRUOrder", "Order"]
