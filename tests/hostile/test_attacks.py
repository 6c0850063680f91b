"""The small form of the telling attacks against a real service: whatever they send, everything that must hold does."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.hostile.attacks import ATTACKS
from benchmarks.hostile.run import attacked

#: One of each kind, chosen where only a whole service shows it: a minute and a quarter. `make hostile` sends all.
TELLING = (
    "json-arrays",
    "gzip-request",
    "garbage-images",
    "unread-hits",
    "stalled-log",
    "one-key",
    "malformed",
    "drain",
)
_MOST_SECONDS = 240


@pytest.mark.load
@pytest.mark.timeout(_MOST_SECONDS)
@pytest.mark.parametrize("name", TELLING)
def test_the_service_holds(name: str) -> None:
    result = asyncio.run(attacked(ATTACKS[name], short=True))
    assert [] == result.failures
