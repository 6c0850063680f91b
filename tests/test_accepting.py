"""Connections that wait because no more are accepted: said once for each time that it happens."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack

import pytest

from cache.support import wait_until
from recoup.accepting import AcceptWatch, waiting_connections
from recoup.listener import listen


class Queue:
    """The kernel's queue, as long as the test says."""

    length = 0

    def __call__(self) -> int:
        return self.length


def looked(watch: AcceptWatch, queue: Queue, *lengths: int) -> None:
    for queue.length in lengths:
        watch.look()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "recoup.accepting")
    return caplog


def test_it_is_said_once_for_each_episode_and_once_when_it_is_over(said: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    watch = AcceptWatch(queue, 128)
    looked(watch, queue, *[5] * 100, *[0] * 100, *[7] * 50, *[0] * 50)
    assert ["connections wait: no more are accepted", "connections are accepted again"] * 2 == said.messages
    begun, over = said.records[0], said.records[1]
    assert (5, 128) == (begun.waiting, begun.connections_limit)  # type: ignore[attr-defined]
    assert 0 < begun.open_files <= begun.open_files_limit  # type: ignore[attr-defined]
    assert (98.0, 5) == (over.seconds, over.most_waiting)  # type: ignore[attr-defined]


def test_who_waits_for_a_moment_is_no_episode(said: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    looked(AcceptWatch(queue, 128), queue, *[1, 0] * 100)
    assert [] == said.messages


def test_one_that_is_accepted_now_and_then_ends_no_episode(said: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    looked(AcceptWatch(queue, 128), queue, *[5, 5, 0, 0, 0, 0] * 100)
    assert ["connections wait: no more are accepted"] == said.messages


def test_the_kernel_tells_how_many_wait() -> None:
    with listen("127.0.0.1", 0) as listener, ExitStack() as stack:
        assert 0 == waiting_connections(listener)
        for _ in range(3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        wait_until(lambda: waiting_connections(listener) == 3)
        listener.accept()[0].close()
        assert 2 == waiting_connections(listener)
