"""The hits of every policy are those of independent simulators, on public traces and on others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import libcachesim
import pytest
import theine
from hypothesis import given
from hypothesis import strategies as st

from cache.policies.simulated import TRACES, gdsf, replayed, s3fifo, trace, zipf

shared = pytest.mark.skipif(not TRACES.is_dir(), reason=f"the public traces are not at {TRACES}")
WORKLOADS = [
    pytest.param("own"),
    pytest.param("zipf"),
    pytest.param("web07", marks=shared),
    pytest.param("web12", marks=shared),
]
SIZES = [100, 300, 1000, 3000]


def workload(name: str) -> tuple[int, ...]:
    return zipf() if name == "zipf" else trace(name)


def libcachesim_hits(simulated: Any, keys: Sequence[int]) -> int:
    """The hits of one of libCacheSim's caches, where every object has the size 1."""
    request = libcachesim.Request()
    request.obj_size = 1
    hits = 0
    for key in keys:
        request.obj_id = key % 2**63  # it takes no negative ones
        hits += simulated.get(request)
    return hits


def theine_hits(keys: Sequence[int], size: int) -> int:
    """The hits of Theine, an adaptive W-TinyLFU after Caffeine's."""
    simulated: theine.Cache[int, int] = theine.Cache(size)
    hits = 0
    for key in keys:
        if simulated.get(key)[1]:
            hits += 1
        else:
            simulated.set(key, key)
    simulated.close()
    return hits


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", WORKLOADS)
class TestAgainstSimulators:
    def test_lru_is_libcachesims_to_the_hit(self, name: str, size: int) -> None:
        keys = workload(name)
        assert libcachesim_hits(libcachesim.LRU(size), keys) == replayed("lru", keys, size)

    def test_s3fifo_is_libcachesims_to_the_hit(self, name: str, size: int) -> None:
        keys = workload(name)
        assert libcachesim_hits(libcachesim.S3FIFO(size), keys) == replayed("s3fifo", keys, size)

    def test_gdsf_is_libcachesims_but_for_ties(self, name: str, size: int) -> None:
        keys = workload(name)
        expected = libcachesim_hits(libcachesim.GDSF(size), keys) / len(keys)
        assert expected == pytest.approx(replayed("gdsf", keys, size) / len(keys), abs=0.01)


@pytest.mark.parametrize("name", WORKLOADS)
def test_tinylfu_is_no_worse_than_theine_and_libcachesim(name: str) -> None:
    """Over all sizes, as sketches hash otherwise, and windows adapt themselves at other moments, or not at all."""
    keys = workload(name)
    ours = [replayed("tinylfu", keys, size) / len(keys) for size in SIZES]
    theirs = [theine_hits(keys, size) / len(keys) for size in SIZES]
    static = [libcachesim_hits(libcachesim.WTinyLFU(size), keys) / len(keys) for size in SIZES]

    assert ours == pytest.approx(theirs, abs=0.03)
    assert sum(theirs) / len(SIZES) - 0.005 <= sum(ours) / len(SIZES)
    assert sum(static) / len(SIZES) <= sum(ours) / len(SIZES)


@pytest.mark.parametrize(("policy", "simulate"), [("s3fifo", s3fifo), ("gdsf", gdsf)], ids=["s3fifo", "gdsf"])
class TestAgainstThePublications:
    @given(keys=st.lists(st.integers(0, 40), max_size=400), size=st.integers(1, 30))
    def test_any_requests_hit_as_they_do_in_a_plain_simulation(
        self,
        policy: str,
        simulate: Callable[[Sequence[Hashable], int], int],
        keys: list[int],
        size: int,
    ) -> None:
        assert simulate(keys, size) == replayed(policy, keys, size)

    def test_and_so_do_those_of_a_trace(self, policy: str, simulate: Callable[[Sequence[Hashable], int], int]) -> None:
        keys = trace("own")
        assert simulate(keys, 300) == replayed(policy, keys, 300)
