"""The orders of eviction, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from recoup.cache.policies import gdsf, s3fifo, tinylfu
from recoup.cache.policies.gdsf import GDSFOrder
from recoup.cache.policies.lru import LRUOrder
from recoup.cache.policies.order import Order
from recoup.cache.policies.s3fifo import S3FIFOOrder
from recoup.cache.policies.tinylfu import TinyLFUOrder


class Policy(NamedTuple):
    """A policy of eviction.

    Attributes:
        make_order: Makes its order, empty.
        entry_bytes: What it takes for one entry, beside what every policy does.
        by_recency: Whether its order is that of the last use.
    """

    make_order: Callable[[], Order]
    entry_bytes: int
    by_recency: bool = False


#: The policies by name.
POLICIES: Final[dict[str, Policy]] = {
    "lru": Policy(LRUOrder, 0, by_recency=True),
    "s3fifo": Policy(S3FIFOOrder, s3fifo.ENTRY_BYTES),
    "tinylfu": Policy(TinyLFUOrder, tinylfu.ENTRY_BYTES),
    "gdsf": Policy(GDSFOrder, gdsf.ENTRY_BYTES),
}

__all__ = ["POLICIES", "GDSFOrder", "LRUOrder", "Order", "Policy", "S3FIFOOrder", "TinyLFUOrder"]
