"""What the tests of pipelines share: an event loop to run them on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .loops import LoopThread, SkippingLoop, loop_thread


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    """The service's own kind of loop."""
    with loop_thread() as thread:
        yield thread


@pytest.fixture(scope="module")
def skipping() -> Iterator[LoopThread]:
    """A loop whose time can be put forward."""
    with loop_thread(SkippingLoop) as thread:
        yield thread
