"""The disk tier against a simple model: an ordered dictionary within a limit, through restarts and invalidations."""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from .support import TIME_LIMIT, disk, entry, invalidate, key, value_of, wait_until

numbers = st.integers(0, 7)
groups = st.sets(st.sampled_from("abc")).map(lambda names: tuple(sorted(names)))
pipelines = st.sampled_from(["p", "q"])
#: What each result takes is its size and the same overhead, so the limit is one of whole results.
SIZE, MOST = 100_000, 5
LIMIT_MB = (MOST + 0.9) * SIZE / 2**20


class DiskTierMachine(RuleBasedStateMachine):
    """What is written is noted as the version of a key, so that an old one is told from a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: OrderedDict[int, tuple[bytes, str, tuple[str, ...]]] = OrderedDict()
        self.version = 0

    @initialize()
    def begin(self) -> None:
        self.tier = disk(self.folder, max_mb=LIMIT_MB)

    @rule(number=numbers, pipeline=pipelines, groups=groups)
    def submit(self, number: int, pipeline: str, groups: tuple[str, ...]) -> None:
        self.version += 1
        value = b"%08d" % self.version + bytes(range(256)) * ((SIZE - 8) // 256)
        self.tier.submit(entry(number, value, pipeline=pipeline, groups=groups, compress=False))
        assert self.tier.flush(TIME_LIMIT)
        self.model.pop(number, None)
        self.model[number] = value, pipeline, groups
        while len(self.model) > MOST:
            self.model.popitem(last=False)

    @rule(number=numbers)
    def read(self, number: int) -> None:
        held = self.model.get(number)
        assert (None if held is None else held[0]) == value_of(self.tier, number)
        if held is not None:
            self.model.move_to_end(number)

    @rule(number=numbers)
    def delete(self, number: int) -> None:
        invalidate(self.tier, key=key(number))
        self._settle()
        self.model.pop(number, None)

    @rule(pipeline=st.none() | pipelines)
    def clear(self, pipeline: str | None) -> None:
        invalidate(self.tier, pipeline=pipeline)
        self._settle()
        self._forget(lambda _, of, __: pipeline in (None, of))

    @rule(group=st.sampled_from("abc"), pipeline=st.none() | pipelines)
    def purge(self, group: str, pipeline: str | None) -> None:
        invalidate(self.tier, groups=(group,), pipeline=pipeline)
        self._settle()
        self._forget(lambda _, of, names: group in names and pipeline in (None, of))

    @rule()
    def restart(self) -> None:
        assert self.tier.close(TIME_LIMIT)
        self.tier = disk(self.folder, max_mb=LIMIT_MB)

    def _settle(self) -> None:
        """Whether what was purged is gone already or is still held decides what the limit evicts: let it be gone."""
        wait_until(lambda: not len(self.tier._marks))

    def _forget(self, which: Any) -> None:
        for number in [number for number, held in self.model.items() if which(*held)]:
            del self.model[number]

    @invariant()
    def holds_no_more_than_its_limit(self) -> None:
        if hasattr(self, "tier"):
            assert (self.tier.stats().bytes or 0) <= LIMIT_MB * 2**20

    def teardown(self) -> None:
        if hasattr(self, "tier"):
            for number in range(8):
                held = self.model.get(number)
                assert (None if held is None else held[0]) == value_of(self.tier, number)
            assert self.tier.close(TIME_LIMIT)
        shutil.rmtree(self.folder)


TestDiskTier = DiskTierMachine.TestCase
TestDiskTier.settings = settings(max_examples=20, stateful_step_count=25)
