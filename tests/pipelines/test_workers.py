"""Worker processes: each can die, be late or fail, and nobody else notices."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recoup.errors import (
    GenerationFailedError,
    GenerationTimeoutError,
    QueueFullError,
    SettingError,
    UnprocessableError,
    UpstreamError,
    WorkerDiedError,
)
from recoup.pipelines.worker import RemoteTraceback
from recoup.pipelines.workers import WorkerPool

from .loops import LOOPS, PATIENCE, loop_thread

LIMIT = 1000.0  # seconds that nobody waits for

# What runs in workers. Conditions between processes are files: one that appears, one that is awaited.


def raise_upstream():
    raise UpstreamError("it said no", status=429, upstream_status=429, upstream_body="slow down", retry_after_seconds=7)


def raise_queue_full():
    raise QueueFullError("full", retry_after_seconds=9)


def raise_unprocessable():
    raise UnprocessableError("no image", allowed=("image/png",))


def raise_unportable():
    raise type("Local", (UnprocessableError,), {})("made on the spot")


def raise_setting_error():
    raise SettingError("NAME", "value", "nothing")


def wait_for_file(path):
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(path):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def await_true(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def announce(path, text):
    """Make a file that is whole from the moment that it is there."""
    Path(path + ".part").write_text(text)
    os.rename(path + ".part", path)


def announce_and_wait(announced, awaited):
    announce(announced, str(os.getpid()))
    wait_for_file(awaited)
    return "done"


def start_child(announced):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    announce(announced, f"{os.getpid()} {child.pid}")
    time.sleep(60)


def fail_to_start():
    raise RuntimeError("no library")


def set_mark(mark):
    os.environ["RECOUP_TEST_MARK"] = mark


def niceness():
    return os.nice(0)


def is_gone(pid):
    """Whether a process is gone, or only its entry is left for init to collect."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_gone(pid):
    deadline = time.monotonic() + PATIENCE
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.005)


def children():
    """The children of this process that the pool started."""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listing.stdout.splitlines() if "worker_process" in line]


def await_children(count):
    """A process that has only just begun has no command line to be known by."""
    deadline = time.monotonic() + PATIENCE
    while len(children()) != count:
        assert time.monotonic() < deadline, children()
        time.sleep(0.01)


@pytest.fixture(scope="module", params=LOOPS)
def loop(request):
    """Every test runs on both kinds of event loops."""
    with loop_thread(LOOPS[request.param]) as thread:
        yield thread


@pytest.fixture
def make(loop):
    """Makes pools that are closed in the end."""
    pools = []

    def make(**options):
        pools.append(loop.blocking(WorkerPool(**{"workers": 1, "timeout_seconds": PATIENCE, "niceness": 0, **options})))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close(0.0)


@pytest.fixture
def pool(make):
    pool = make(workers=2, initializer=set_mark, initargs=("here",))
    pool.start()
    return pool


@pytest.fixture
def limited(skipping):
    """A pool whose time limit is `LIMIT`, on a loop whose time can be put forward."""
    pool = skipping.blocking(
        WorkerPool(workers=1, timeout_seconds=LIMIT, initializer=set_mark, initargs=("here",), niceness=0)
    )
    pool.start()
    yield pool
    pool.close(0.0)


class TestRunning:
    def test_a_value_comes_back(self, pool):
        assert 5 == pool.run(operator.add, 2, 3)

    def test_large_bodies_go_both_ways(self, pool):
        body = os.urandom(3_000_000)

        assert body == pool.run(bytes, body)

    def test_it_runs_elsewhere(self, pool):
        assert os.getpid() != pool.run(os.getpid)

    def test_workers_run_at_the_same_time(self, pool, tmp_path):
        """Each of two waits for a file that the other makes."""
        a, b = str(tmp_path / "a"), str(tmp_path / "b")
        with ThreadPoolExecutor(2) as threads:
            first, second = (
                threads.submit(pool.run, announce_and_wait, a, b),
                threads.submit(pool.run, announce_and_wait, b, a),
            )

            assert ("done", "done") == (first.result(PATIENCE), second.result(PATIENCE))

    def test_many_callers_share_few_workers(self, pool):
        with ThreadPoolExecutor(16) as threads:
            results = list(threads.map(lambda n: pool.run(operator.mul, n, 2), range(300)))

        assert [n * 2 for n in range(300)] == results

    def test_workers_let_the_service_go_first(self, make):
        """Those that the pool began with, and those that took their place."""
        pool = make(niceness=19)
        pool.start()
        expected = min(19, os.nice(0) + 19)
        assert expected == pool.run(niceness)
        with pytest.raises(WorkerDiedError):
            pool.run(os._exit, 1)
        assert expected == pool.run(niceness)

    def test_numerical_libraries_are_held_to_one_thread(self, pool):
        assert "1" == pool.run(os.getenv, "OPENBLAS_NUM_THREADS")


class TestErrors:
    @pytest.mark.parametrize(
        ("function", "kind"),
        [
            (raise_upstream, UpstreamError),
            (raise_queue_full, QueueFullError),
            (raise_unprocessable, UnprocessableError),
        ],
    )
    def test_our_own_errors_come_back_as_they_are(self, pool, function, kind):
        with pytest.raises(kind) as here:
            function()
        with pytest.raises(kind) as there:
            pool.run(function)

        assert vars(here.value) == vars(there.value)
        assert str(here.value) == str(there.value)

    def test_other_errors_tell_type_and_text(self, pool):
        with pytest.raises(GenerationFailedError, match=r"^ValueError: invalid literal"):
            pool.run(int, "x")

    @pytest.mark.parametrize(
        ("function", "text"),
        [(raise_unportable, "made on the spot"), (raise_setting_error, "NAME=value: expected nothing")],
    )
    def test_an_error_that_cannot_travel_tells_its_text(self, pool, function, text):
        with pytest.raises(GenerationFailedError, match=text):
            pool.run(function)

    def test_the_traceback_comes_along(self, pool):
        with pytest.raises(UpstreamError) as caught:
            pool.run(raise_upstream)

        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "in raise_upstream" in str(caught.value.__cause__)

    @pytest.mark.parametrize("function", [sys.exit, threading.Lock], ids=["exits", "unpicklable result"])
    def test_a_worker_outlives_its_functions_failure(self, limited, function):
        worker = limited.run(os.getpid)
        with pytest.raises(GenerationFailedError):
            limited.run(function)

        assert worker == limited.run(os.getpid)


class TestDeath:
    @pytest.mark.parametrize("status", [0, 3])
    def test_a_worker_that_exits_fails_its_own_request(self, pool, status):
        with pytest.raises(WorkerDiedError, match=f"exited with status {status}"):
            pool.run(os._exit, status)

        assert 5 == pool.run(operator.add, 2, 3)

    def test_a_killed_worker_fails_its_own_request_alone(self, pool, tmp_path):
        names = [str(tmp_path / name) for name in ("first", "second", "go")]
        with ThreadPoolExecutor(2) as threads:
            doomed = threads.submit(pool.run, announce_and_wait, names[0], str(tmp_path / "never"))
            other = threads.submit(pool.run, announce_and_wait, names[1], names[2])
            for name in names[:2]:
                wait_for_file(name)
            victim = (set(children()) - {int(Path(names[1]).read_text())}).pop()
            os.kill(victim, signal.SIGKILL)
            with pytest.raises(WorkerDiedError, match="SIGKILL"):
                doomed.result(PATIENCE)
            Path(names[2]).touch()

            assert "done" == other.result(PATIENCE)
        await_children(2)

    def test_a_worker_killed_while_idle_fails_nobody(self, pool):
        for _ in range(20):
            os.kill(pool.run(os.getpid), signal.SIGKILL)

            assert 5 == pool.run(operator.add, 2, 3)

    def test_asking_whether_it_is_ready_replaces_the_dead(self, pool):
        before = children()
        for worker in before:
            os.kill(worker, signal.SIGKILL)
            await_gone(worker)
        deadline = time.monotonic() + PATIENCE
        # a process whose threads are still going counts as alive: it is found dead when asked again
        while not (pool.ready() and len(set(children()) - set(before)) == 2):
            assert time.monotonic() < deadline

        assert 5 == pool.run(operator.add, 2, 3)


class TestTime:
    def test_one_over_its_time_is_ended_and_gone(self, skipping, limited, tmp_path):
        announced = str(tmp_path / "pid")
        late = skipping.submit(limited.unblocked.run(announce_and_wait, announced, str(tmp_path / "never")))
        wait_for_file(announced)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError, match="1000 seconds"):
            late.result(PATIENCE)

        assert is_gone(int(Path(announced).read_text()))
        assert 5 == limited.run(operator.add, 2, 3)

    def test_one_within_its_time_is_not(self, skipping, limited, tmp_path):
        announced, awaited = str(tmp_path / "pid"), str(tmp_path / "go")
        running = skipping.submit(limited.unblocked.run(announce_and_wait, announced, awaited))
        wait_for_file(announced)
        skipping.skip(LIMIT * 0.9)
        Path(awaited).touch()

        assert "done" == running.result(PATIENCE)

    def test_what_it_started_goes_with_it(self, skipping, limited, tmp_path):
        announced = str(tmp_path / "pids")
        late = skipping.submit(limited.unblocked.run(start_child, announced))
        wait_for_file(announced)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError):
            late.result(PATIENCE)

        for pid in Path(announced).read_text().split():
            await_gone(int(pid))

    def test_a_stopped_worker_is_late_too(self, skipping, limited):
        """Not even a body that does not fit into the socket waits for it longer than it may."""
        os.kill(limited.run(os.getpid), signal.SIGSTOP)
        late = skipping.submit(limited.unblocked.run(len, bytes(5_000_000)))
        await_true(lambda: limited._busy)
        skipping.skip(LIMIT)
        with pytest.raises(GenerationTimeoutError):
            late.result(PATIENCE)

        assert 5 == limited.run(operator.add, 2, 3)

    def test_waiting_for_a_worker_is_not_running(self, skipping, limited, tmp_path):
        """Who waited for the one worker as long as a function may run has its own time all the same."""
        announced = str(tmp_path / "pid")
        late = skipping.submit(limited.unblocked.run(announce_and_wait, announced, str(tmp_path / "never")))
        wait_for_file(announced)
        waiting = skipping.submit(limited.unblocked.run(operator.add, 2, 3))
        await_true(lambda: limited._waiting)
        skipping.skip(LIMIT)

        assert 5 == waiting.result(PATIENCE)
        with pytest.raises(GenerationTimeoutError):
            late.result(PATIENCE)


class TestLife:
    def test_it_is_ready_from_start_to_close(self, make):
        pool = make()
        before = pool.ready()
        pool.start()
        running = pool.ready()
        pool.close(0.0)

        assert (False, True, False) == (before, running, pool.ready())

    def test_the_initializer_runs_in_each_worker_first(self, pool):
        assert "here" == pool.run(os.getenv, "RECOUP_TEST_MARK")

    def test_a_failing_initializer_fails_the_start(self, make):
        pool = make(workers=2, initializer=fail_to_start)
        with pytest.raises(GenerationFailedError, match="RuntimeError: no library"):
            pool.start()

        assert [] == children()

    def test_close_lets_running_functions_finish(self, pool, tmp_path):
        announced, awaited = str(tmp_path / "running"), str(tmp_path / "go")
        with ThreadPoolExecutor(2) as threads:
            running = threads.submit(pool.run, announce_and_wait, announced, awaited)
            wait_for_file(announced)
            closing = threads.submit(pool.close, PATIENCE)
            await_true(lambda: not pool.ready())
            assert not closing.done()
            with pytest.raises(QueueFullError):
                pool.run(operator.add, 2, 3)
            Path(awaited).touch()

            assert "done" == running.result(PATIENCE)
            closing.result(PATIENCE)
        assert [] == children()

    def test_close_ends_what_does_not_finish_in_its_grace(self, pool, tmp_path):
        announced = str(tmp_path / "running")
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(pool.run, announce_and_wait, announced, str(tmp_path / "never"))
            wait_for_file(announced)
            pool.close(0.05)
            with pytest.raises(WorkerDiedError):
                running.result(PATIENCE)
        assert [] == children()

    def test_a_second_start_or_close_does_nothing(self, pool):
        pool.start()
        assert 2 == len(children())
        pool.close(0.0)
        pool.close(0.0)
        assert [] == children()

    def test_nothing_is_left_open(self, loop):
        """The first pool leaves what the loop keeps for itself: its threads, and a socket to be woken by."""

        def use_one():
            pool = loop.blocking(WorkerPool(workers=2, timeout_seconds=PATIENCE))
            pool.start()
            with pytest.raises(WorkerDiedError):
                pool.run(os._exit, 1)
            pool.close(0.0)
            return len(os.listdir("/proc/self/fd"))

        first = use_one()

        assert [first] * 3 == [use_one() for _ in range(3)]
        assert [] == children()

    @pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
    def test_workers_outlive_the_signals_that_ask_the_service_to_drain(self, pool, signum):
        before = set(children())
        for worker in before:
            os.kill(worker, signum)

        assert 5 == pool.run(operator.add, 2, 3)
        assert before == set(children())

    def test_workers_are_out_of_the_services_process_group(self, pool):
        assert os.getpgrp() != pool.run(os.getpgrp)

    def test_workers_die_with_their_parent(self, tmp_path):
        """Even in the middle of a function, and when the parent had no time for goodbyes."""
        script = (
            "import asyncio, os, sys\n"
            f"sys.path[:] = {sys.path!r}\n"
            f"from {__name__} import announce_and_wait, wait_for_file\n"
            "from recoup.pipelines.workers import WorkerPool\n"
            "async def main():\n"
            "    pool = WorkerPool(workers=1, timeout_seconds=60)\n"
            "    await pool.start()\n"
            "    announced, never = sys.argv[1:]\n"
            "    running = asyncio.create_task(pool.run(announce_and_wait, announced, never))\n"
            "    await asyncio.to_thread(wait_for_file, announced)\n"
            "    os.kill(os.getpid(), 9)\n"
            "asyncio.run(main())\n"
        )
        announced = tmp_path / "pid"
        done = subprocess.run([sys.executable, "-c", script, str(announced), str(tmp_path / "never")], timeout=PATIENCE)

        assert -signal.SIGKILL == done.returncode
        await_gone(int(announced.read_text()))
