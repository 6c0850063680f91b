"""The real server, started as a user starts it: what holds under load, and how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import PATIENCE, PIPELINES, Running, free_port, running, start, wait_until_gone


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


class TestServing:
    def test_a_result_is_generated_once_and_answered_again(self, service: Running) -> None:
        miss, hit = service.post("quick", b"cat"), service.post("quick", b"cat")
        assert (b"cat", b"cat") == (miss.body, hit.body)
        told, _, key = miss.headers["cache-status"].rpartition("; key=")
        assert "recoup; fwd=uri-miss; stored; detail=cold" == told
        assert f"recoup; hit; ttl=86399; key={key}" == hit.headers["cache-status"]

    def test_hits_are_answered_while_every_worker_is_busy(self, service: Running) -> None:
        service.post("quick", b"stored")
        busy = [service.generating() for _ in range(2)]
        assert "hit" in service.post("quick", b"stored").headers["cache-status"]
        for meeting, reply in busy:
            meeting.let_go("free")
            assert (200, b"went: free") == (reply.result(PATIENCE).status, reply.result().body)

    def test_a_full_queue_is_503(self, service: Running) -> None:
        busy = [service.generating() for _ in range(2)]
        refused = service.post("meet", b"one too many")
        for meeting, reply in busy:
            meeting.let_go()
            assert 200 == reply.result(PATIENCE).status
        assert 503 == refused.status
        assert int(refused.headers["retry-after"]) >= 1

    def test_a_killed_worker_fails_its_own_request_alone(self, service: Running) -> None:
        (doomed, failing), (other, surviving) = service.generating(), service.generating()
        os.kill(doomed.worker, signal.SIGKILL)
        assert 502 == failing.result(PATIENCE).status
        other.let_go()
        assert 200 == surviving.result(PATIENCE).status
        again, reply = service.generating()
        again.let_go()
        assert 200 == reply.result(PATIENCE).status

    def test_a_generation_past_its_time_is_ended_with_504(self, service: Running) -> None:
        meeting, reply = service.generating("late")
        assert 504 == reply.result(PATIENCE).status
        wait_until_gone(meeting.worker)

    def test_two_hundred_callers_of_one_key_are_served_by_one_generation(self, service: Running) -> None:
        before = lookups(service, "meet")
        meeting = service.meeting()
        replies = [service.posting("meet", meeting.body) for _ in range(200)]
        meeting.wait_until_begun()
        meeting.let_go("all")
        assert {(200, b"went: all")} == {reply.result(PATIENCE)[::2] for reply in replies}
        after = lookups(service, "meet")
        assert (1, 199) == (after["misses"] - before["misses"], sum(after.values()) - sum(before.values()) - 1)

    def test_a_chunked_body_is_read_whole_and_within_the_limit(self, service: Running) -> None:
        assert b"c" * 300_000 == post_chunked(service, [b"c" * 100_000] * 3)[1]
        assert 413 == post_chunked(service, [b"c" * 2**20] * 33)[0]

    def test_a_body_over_the_limit_is_refused_before_it_is_sent(self, service: Running) -> None:
        head = b"POST /api/generate/quick HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
            connection.sendall(head)
            assert connection.recv(64).startswith(b"HTTP/1.1 413")

    def test_one_connection_carries_many_requests(self, service: Running) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        ports = set()
        for number in range(5):
            connection.request("POST", "/api/generate/quick", b"%d" % number)
            assert b"%d" % number == connection.getresponse().read()
            ports.add(connection.sock.getsockname()[1])
        connection.close()
        assert 1 == len(ports)

    def test_a_second_service_on_the_same_port_says_so_and_ends(self, service: Running, tmp_path: Path) -> None:
        second = start(tmp_path, service.port)
        output, errors = second.communicate(timeout=PATIENCE)
        assert (2, "") == (second.returncode, output)
        assert f"recoup: cannot listen on 127.0.0.1 port {service.port}: " in errors

    def test_of_services_that_are_started_at_one_moment_one_has_the_port(self, tmp_path: Path) -> None:
        port = free_port()
        started = [start(tmp_path, port) for _ in range(3)]
        firsts = [process.stdout.readline() for process in started if process.stdout is not None]
        (winner,) = [process for process, first in zip(started, firsts, strict=True) if first]
        losers = [process for process in started if process is not winner]
        assert [2, 2] == [process.wait(PATIENCE) for process in losers]
        winner.terminate()
        errors = [process.communicate(timeout=PATIENCE)[1] for process in started]
        assert 2 == sum("cannot listen on" in text for text in errors)
        assert 0 == winner.returncode

    def test_requests_are_answered_while_nobody_reads_the_log(self, tmp_path: Path) -> None:
        port = free_port()
        with Running(start(tmp_path, port, RECOUP_LOG_FORMAT="json"), port, tmp_path) as service:
            assert service.process.stdout is not None
            service.process.stdout.readline()
            for number in range(1000):  # a pipe takes 64 KB; each of these is logged
                assert 200 == service.post("quick", b"%d" % number).status
            assert 200 == service.ask("GET", "/healthz").status

    def test_a_slow_page_does_not_hold_up_a_hit(self, tmp_path: Path) -> None:
        """With one thread for pages, one that is asked for by somebody who sends slowly."""
        with running(tmp_path, RECOUP_THREADS="1") as service:
            service.post("quick", b"hit")
            with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as slow:
                slow.sendall(b"POST /api/cache/clear HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{")
                assert 200 == service.ask("GET", "/api/cache/stats").status
                assert "hit" in service.post("quick", b"hit").headers["cache-status"]


def lookups(service: Running, pipeline: str) -> dict[str, int]:
    figures = json.loads(service.ask("GET", "/api/cache/stats").body)["pipelines"][pipeline]
    return {name: figures[name] for name in ("hits", "misses", "coalesced", "bypassed", "stale")}


def post_chunked(service: Running, chunks: list[bytes]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    try:
        # Refused while it is still being sent, the answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/api/generate/quick", iter(chunks), encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class TestEnding:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["TERM", "INT", "HUP"])
    def test_an_idle_service_ends_at_once_with_0(self, tmp_path: Path, number: int) -> None:
        with running(tmp_path) as service:
            service.signal(number)
            assert 0 == service.wait()

    def test_its_last_word_is_the_account_of_its_life(self, tmp_path: Path) -> None:
        """What the last scrape could not see any more."""
        port = free_port()
        service = Running(start(tmp_path, port, RECOUP_LOG_FORMAT="json"), port, tmp_path)
        assert service.process.stdout is not None
        service.process.stdout.readline()
        for _ in range(3):
            service.post("quick", b"cat")
        service.signal()
        _, errors = service.process.communicate(timeout=PATIENCE)
        last = json.loads(errors.splitlines()[-1])
        service.close()
        assert ("service stopped", 2, 1) == (last["event"], last["hits"], last["misses"])
        assert last["uptime_seconds"] > 0

    def test_running_generations_are_answered_while_it_drains(self, tmp_path: Path) -> None:
        with running(tmp_path) as service:
            service.post("quick", b"stored")
            assert 200 == service.ask("GET", "/readyz").status
            meeting, reply = service.generating()
            service.signal()
            wait_for_status(service, "/readyz", 503)
            assert "hit" in service.post("quick", b"stored").headers["cache-status"]
            assert 503 == service.post("quick", b"new").status
            assert 200 == service.ask("GET", "/healthz").status
            meeting.let_go("after all")
            assert (200, b"went: after all") == reply.result(PATIENCE)[::2]
            assert 0 == service.wait()
            wait_until_gone(meeting.worker, meeting.server)

    def test_a_generation_past_the_grace_period_is_ended(self, tmp_path: Path) -> None:
        with running(tmp_path, RECOUP_GRACE_SECONDS="0.2") as service:
            meeting, reply = service.generating()
            service.signal()
            assert 502 == reply.result(PATIENCE).status
            assert 1 == service.wait()
            wait_until_gone(meeting.worker, meeting.server)

    def test_a_second_signal_ends_it_at_once(self, tmp_path: Path) -> None:
        with running(tmp_path) as service:
            meeting, reply = service.generating()
            service.signal()
            wait_for_status(service, "/readyz", 503)
            service.signal()
            assert 1 == service.wait()
            assert isinstance(reply.exception(PATIENCE), (ConnectionError, http.client.HTTPException))
            wait_until_gone(meeting.worker, meeting.server)

    def test_a_signal_to_every_process_drains_all_the_same(self, tmp_path: Path) -> None:
        """As systemd sends it by default: to the main process, the serving one, and the workers."""
        with running(tmp_path) as service:
            meeting, reply = service.generating()
            for process in (service.process.pid, meeting.server, meeting.worker):
                os.kill(process, signal.SIGTERM)
            meeting.let_go()
            assert 200 == reply.result(PATIENCE).status
            assert 0 == service.wait()
            wait_until_gone(meeting.worker, meeting.server)

    def test_nothing_outlives_a_main_process_that_was_killed(self, tmp_path: Path) -> None:
        with running(tmp_path) as service:
            meeting, reply = service.generating()
            service.signal(signal.SIGKILL)
            wait_until_gone(meeting.worker, meeting.server)
            assert reply.exception(PATIENCE) is not None

    def test_a_serving_process_that_dies_is_an_error(self, tmp_path: Path) -> None:
        with running(tmp_path) as service:
            meeting, reply = service.generating()
            os.kill(meeting.server, signal.SIGKILL)
            assert 1 == service.wait()
            assert reply.exception(PATIENCE) is not None
            wait_until_gone(meeting.worker)


def wait_for_status(service: Running, path: str, status: int) -> None:
    for _ in range(1000):
        if service.ask("GET", path).status == status:
            return
    raise AssertionError(f"{path} never answered {status}")


class TestStarting:
    def test_it_says_where_everything_is(self, tmp_path: Path) -> None:
        port = free_port()
        process = start(tmp_path, port)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(6)]
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert f"http://127.0.0.1:{port}" in lines[0]
        for place in ("/docs", "/openapi.json", "/api/cache/stats", "/metrics"):
            assert any(f"http://127.0.0.1:{port}{place}\n" in line for line in lines), place

    def test_a_callable_that_cannot_be_imported_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "pipelines.toml").write_text(PIPELINES.replace("generators:quick", "generators:missing"))
        output, errors, status = outcome(start(tmp_path, free_port()))
        assert (2, "") == (status, output)
        assert "generators:missing" in errors
        assert "Traceback" not in errors

    def test_a_file_of_pipelines_that_cannot_be_read_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "pipelines.toml").write_text("[pipelines.x]\nkind = 'oracle'\n")
        output, errors, status = outcome(start(tmp_path, free_port()))
        assert (2, "") == (status, output)
        assert errors.startswith("recoup: ")
        assert "oracle" in errors

    def test_an_address_that_is_not_ours_stops_the_start(self, tmp_path: Path) -> None:
        _, errors, status = outcome(start(tmp_path, free_port(), "--host", "192.0.2.1"))
        assert 2 == status
        assert "cannot listen on 192.0.2.1" in errors


def outcome(process: subprocess.Popen[str]) -> tuple[str, str, int]:
    output, errors = process.communicate(timeout=PATIENCE)
    return output, errors, process.returncode
