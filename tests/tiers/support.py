"""What the tests of tiers share: entries, tiers in temporary folders, and waiting without a guess at how long."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recoup.cache.codecs import checked_codec
from recoup.cache.tier import Invalidation, PayloadCodec, TierEntry
from recoup.tiers import DiskTier

#: Seconds that anything in another thread may take before it counts as a hang.
TIME_LIMIT = 30.0
AT = 1_800_000_000.0


def key(number: int) -> str:
    return f"{number:032x}"


def entry(number: int, value: Any = b"value", **fields: Any) -> TierEntry:
    """A result of the pipeline `p`, generated at `AT`, that never expires."""
    known: dict[str, Any] = {"pipeline": "p", "created_at": AT, "expires_at": math.inf, "cost_seconds": 2.5}
    size = len(value) if isinstance(value, bytes) else 100
    return TierEntry(**{"key": key(number), "value": value, "size_bytes": size, **known, **fields})


def disk(path: Path, codec: str | PayloadCodec = "bytes", **options: Any) -> DiskTier:
    """An open tier in a folder."""
    tier = DiskTier(path, **{"retry_seconds": 0.01, **options})
    tier.open(checked_codec(codec))
    return tier


def value_of(tier: DiskTier, number: int) -> Any:
    """The value that a tier gives for a key; None: none."""
    held = tier.get(key(number), "p")
    return None if held is None else held.value


def invalidate(tier: DiskTier, **what: Any) -> None:
    tier.invalidate(Invalidation(**{"at": AT + 1, **what}))()


def writes(tier: DiskTier) -> dict[str, int]:
    """The writes of the pipeline `p` that were counted."""
    return {word: count for word, count in tier.stats().writes["p"].items() if count}


def lookups(tier: DiskTier) -> dict[str, int]:
    return {word: count for word, count in tier.stats().lookups["p"].items() if count}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    pause = threading.Event()
    for _ in range(int(TIME_LIMIT / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("waited in vain")
