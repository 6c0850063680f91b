"""A process that is killed leaves a folder that the next one starts from. `python -m tests.tiers.kills`: 200 kills."""

from __future__ import annotations

import pytest

from .kills import kill_once


@pytest.mark.parametrize("seed", range(10))
def test_a_kill_tears_nothing_loses_nothing_old_and_brings_nothing_back(seed: int) -> None:
    """Two kills each, the second of a process that began with what the first one left."""
    assert "" == kill_once(f"test {seed}")
