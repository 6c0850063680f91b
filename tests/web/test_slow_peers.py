"""Peers that are slow, or do nothing at all: they cost a connection and little memory, and nobody else's time."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from recoup.listener import STALLED_SECONDS, listen
from recoup.web.sending import QUEUED_BYTES

from .raw import connect, head_of, post
from .running import PATIENCE, PIPELINES, Running, running

SIZED = """
[pipelines.sized]
kind = "python"
callable = "generators:sized"
max_concurrent = 1
[pipelines.garbage]
kind = "python"
callable = "generators:garbage"
max_concurrent = 1
max_waiting = 1000
"""
MEGABYTE = 2**20


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a service with pipelines that make large results, and that refuse."""
    (tmp_path / "pipelines.toml").write_text(PIPELINES + SIZED)
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(running(tmp_path, **environ))


def metric(service: Running, name: str) -> float:
    text = service.ask("GET", "/metrics").body.decode()
    match = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    assert match, name
    return float(match[1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about"
        time.sleep(0.02)


def held(service: Running, part: str) -> float:
    return metric(service, f'recoup_in_flight_bytes{{part="{part}"}}')


def serving_process(service: Running) -> int:
    meeting, reply = service.generating()
    meeting.let_go()
    reply.result(PATIENCE)
    return meeting.server


def rss_bytes(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.M)
    assert match
    return int(match[1]) * 1024


def readers(service: Running, stack: ExitStack, request: bytes, count: int) -> list[socket.socket]:
    """Callers that ask, see the head of their answer, and read no further."""
    connections = [stack.enter_context(connect(service.port, receive_buffer=16384)) for _ in range(count)]
    for connection in connections:
        connection.sendall(request)
    return connections


class TestReaders:
    def test_readers_who_do_not_read_cost_some_pieces_each_and_the_result_once(
        self, start: Callable[..., Running]
    ) -> None:
        service = start()
        size, count = 5 * MEGABYTE, 60
        request = post("/api/generate/sized", b"%d" % size)
        assert size == len(service.post("sized", b"%d" % size).body)
        process = serving_process(service)
        before = rss_bytes(process)
        with ExitStack() as stack:
            connections = readers(service, stack, request, count)
            wait_until(lambda: held(service, "results") > count * 256 * 1024)
            assert held(service, "results") < size + count * MEGABYTE / 2
            assert rss_bytes(process) - before < count * MEGABYTE / 2 + 16 * MEGABYTE
            # Whoever reads again gets all of it.
            assert size == len(rest_of(connections[0], size))
        wait_until(lambda: held(service, "results") == 0)

    def test_past_the_budget_a_large_result_is_503(self, start: Callable[..., Running]) -> None:
        service = start(RECOUP_IN_FLIGHT_MB="8")
        service.post("sized", b"%d" % (5 * MEGABYTE))
        request = post("/api/generate/sized", b"%d" % (5 * MEGABYTE))
        with ExitStack() as stack:
            first, *_ = readers(service, stack, request, 20)
            wait_until(lambda: held(service, "results") > 8 * MEGABYTE - QUEUED_BYTES)
            refused = service.post("sized", b"%d" % (5 * MEGABYTE))
            assert (503, "overloaded") == (refused.status, problem(refused.body))
            assert int(refused.headers["retry-after"]) >= 1
            assert 200 == service.post("quick", b"small").status
            first.close()
        wait_until(lambda: held(service, "results") == 0)
        assert 200 == service.post("sized", b"%d" % (5 * MEGABYTE)).status

    def test_the_end_of_a_large_result_does_not_wait_for_a_delayed_acknowledgement(self) -> None:
        """The server sends in pieces: with Nagle's algorithm the last one waits 40 ms for the reader's kernel."""
        with (
            listen("127.0.0.1", 0) as listener,
            socket.create_connection(listener.getsockname()),
        ):
            listener.setblocking(True)
            with listener.accept()[0] as accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_peer_that_takes_nothing_is_let_go_by_the_kernel(self) -> None:
        with (
            listen("127.0.0.1", 0) as listener,
            socket.create_connection(listener.getsockname()),
        ):
            listener.setblocking(True)
            with listener.accept()[0] as accepted:
                limit = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert STALLED_SECONDS * 1000 == limit

    def test_a_reader_who_takes_nothing_is_let_go(self, start: Callable[..., Running]) -> None:
        service = start()
        with connect(service.port, receive_buffer=16384) as connection:
            connection.sendall(post("/api/generate/sized", b"%d" % (20 * MEGABYTE)))
            wait_until(lambda: held(service, "results") > 20 * MEGABYTE)
            wait_until(lambda: held(service, "results") == 0)

    def test_a_reader_who_is_slow_is_not_cut_off_by_a_shutdown(self, start: Callable[..., Running]) -> None:
        service = start()
        size = 20 * MEGABYTE
        service.post("sized", b"%d" % size)
        with connect(service.port, receive_buffer=16384) as connection:
            connection.sendall(post("/api/generate/sized", b"%d" % size))
            wait_until(lambda: held(service, "results") > size)
            service.signal(signal.SIGTERM)
            wait_until(lambda: service.ask("GET", "/readyz").status == 503)
            assert size == len(rest_of(connection, size))
        assert 0 == service.wait()

    def test_a_reader_who_outlasts_the_grace_period_is_cut_off_and_the_status_says_so(
        self, start: Callable[..., Running]
    ) -> None:
        service = start(RECOUP_GRACE_SECONDS="0.2")
        with connect(service.port, receive_buffer=16384) as connection:
            connection.sendall(post("/api/generate/sized", b"%d" % (20 * MEGABYTE)))
            wait_until(lambda: held(service, "results") > 20 * MEGABYTE)
            service.signal(signal.SIGTERM)
            assert 1 == service.wait()


def rest_of(connection: socket.socket, size: int) -> bytes:
    """The body of an answer, from its head on."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    pieces = [received.partition(b"\r\n\r\n")[2]]
    missing = size - len(pieces[0])
    while missing:
        piece = connection.recv(min(missing, MEGABYTE))
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def problem(body: bytes) -> str:
    """The type of a problem, as the name in its URI."""
    return str(json.loads(body)["type"]).rpartition("problem-")[2]


class TestSenders:
    def test_uploads_held_back_by_their_last_byte_stay_within_the_budget(self, start: Callable[..., Running]) -> None:
        service = start(RECOUP_IN_FLIGHT_MB="20")
        body = b"u" * (3 * MEGABYTE)
        with ExitStack() as stack:
            senders = [stack.enter_context(connect(service.port)) for _ in range(10)]
            statuses = send_all_but_one_byte(senders, post("/api/generate/quick", body))
            wait_until(lambda: len(statuses) >= 4)
            assert {503} == set(statuses)
            assert held(service, "bodies") <= 20 * MEGABYTE
            refused = service.post("quick", body)
            small = service.post("quick", b"small")
            for sender in senders:
                sender.shutdown(socket.SHUT_RDWR)  # a close would wait for the thread that reads
        assert (200, True) == (small.status, refused.status in (200, 503))
        wait_until(lambda: held(service, "bodies") == 0)
        assert 200 == service.post("quick", body).status

    def test_a_body_that_does_not_arrive_in_time_is_408(self, start: Callable[..., Running]) -> None:
        service = start(RECOUP_BODY_TIMEOUT_SECONDS="0.3")
        for path in ("/api/generate/quick", "/api/cache/clear"):
            with connect(service.port) as connection:
                connection.sendall(post(path, b"{", length=2))
                assert b"HTTP/1.1 408" == head_of(connection)[:12]
        assert 200 == service.post("quick", b"in time").status

    def test_failed_requests_keep_no_body(self, start: Callable[..., Running]) -> None:
        """If each stayed until a full collection, these would be 120 MB."""
        service = start()
        process = serving_process(service)
        before = rss_bytes(process)
        body = b"g" * (10 * MEGABYTE)
        for number in range(12):
            assert 422 == service.post("garbage", body + b"%d" % number).status
        assert rss_bytes(process) - before < 60 * MEGABYTE
        wait_until(lambda: held(service, "bodies") == 0)

    @pytest.mark.load
    def test_hundreds_of_slow_senders_leave_hits_and_management_as_they_are(
        self, start: Callable[..., Running]
    ) -> None:
        service = start()
        service.post("quick", b"hit")
        with ExitStack() as stack:
            senders = [stack.enter_context(connect(service.port)) for _ in range(800)]
            for number, sender in enumerate(senders):
                path = "/api/generate/quick" if number % 2 else "/api/cache/clear"
                sender.sendall(post(path, b"{", length=1000))
            assert "hit" in service.post("quick", b"hit").headers["cache-status"]
            for _ in range(20):
                for sender in senders[::40]:
                    sender.sendall(b" ")
                assert "hit" in service.post("quick", b"hit").headers["cache-status"]
                assert 200 == service.ask("GET", "/api/cache/stats").status


def send_all_but_one_byte(senders: list[socket.socket], request: bytes) -> list[int]:
    """Send each request but its last byte, in the background; the list gets the status of each that is answered."""
    statuses: list[int] = []

    def send(sender: socket.socket) -> None:
        # Refused while it is being sent, the answer may be there all the same.
        with suppress(OSError):
            sender.sendall(request[:-1])
        try:
            statuses.append(int(head_of(sender).split()[1]))
        except (OSError, IndexError):
            return  # closed at the test's end

    for sender in senders:
        threading.Thread(target=send, args=(sender,), daemon=True).start()
    return statuses
