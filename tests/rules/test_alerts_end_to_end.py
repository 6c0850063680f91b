"""Alerts from end to end: caused in a real service, seen at a real Alertmanager, and seen resolved.

The rules are the committed ones with shorter times, made by the same generator.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from web.running import Running, running

from .rulefiles import ALERTS
from .stack import Stack, lasting_port, stack

#: Seconds between two requests of one kind.
_PAUSE = 0.1


@contextmanager
def repeating(ask: Callable[[], object]) -> Iterator[None]:
    """Ask again and again in the background."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_PAUSE):
            ask()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def enable(service: Running) -> None:
    body = json.dumps({"enabled": True}).encode()
    assert 200 == service.ask("POST", "/api/cache/config", body, Content_Type="application/json").status


def text_of(name: str) -> str:
    """The beginning of the committed description, up to its first figure or label."""
    (first, *_) = [rule for rule in ALERTS if rule["alert"] == name]
    return str(first["annotations"]["description"]).partition("{{")[0]


def seen(alerts: Stack, name: str) -> dict[str, str]:
    """Wait for an alert, hold its texts to those that are committed, and give its labels."""
    alert = alerts.wait_for(name)
    assert alert["annotations"]["description"].startswith(text_of(name))
    assert "{{" not in "".join(alert["annotations"].values())
    return alert["labels"]


def misses_then_hits(service: Running, alerts: Stack) -> None:
    """No request comes twice, until one comes again and again. Of two alerts, Alertmanager tells the cause alone."""
    numbers = itertools.count()
    with repeating(lambda: service.post("quick", str(next(numbers)).encode())):
        assert "quick" == seen(alerts, "RecoupHitRatioLow")["pipeline"]
        alerts.wait_until_suppressed("RecoupSpeedupLow")
    with repeating(lambda: service.post("quick", b"the same")):
        alerts.wait_until_resolved("RecoupHitRatioLow")


def failures(service: Running, alerts: Stack) -> None:
    """The generator fails, until it is not asked any more."""
    with repeating(lambda: service.post("late", b"nowhere")):
        labels = seen(alerts, "RecoupGenerationFailures")
    assert ("late", "critical") == (labels["pipeline"], labels["severity"])
    alerts.wait_until_resolved("RecoupGenerationFailures")


def refusals(service: Running, alerts: Stack) -> None:
    """Both places are taken and nobody may wait, until the places are free again."""
    held = [service.generating(), service.generating()]
    with repeating(lambda: service.post("meet", b"nowhere")):
        assert "meet" == seen(alerts, "RecoupGenerationQueueFull")["pipeline"]
    for meeting, reply in held:
        meeting.let_go()
        assert 200 == reply.result().status
    alerts.wait_until_resolved("RecoupGenerationQueueFull")


@pytest.mark.timeout(600)
def test_five_alerts_are_caused_seen_and_seen_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = lasting_port()
    for name in ("first", "second", "stack"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "first") as service,
        stack(tmp_path / "stack", [f"127.0.0.1:{service.port}", f"127.0.0.1:{second}"]) as alerts,
        in_parallel(misses_then_hits, service, alerts),
    ):
        # Nobody listens where the second instance should be; then it does, with a cache that is disabled.
        assert f"127.0.0.1:{second}" == seen(alerts, "RecoupDown")["instance"]
        monkeypatch.setattr("web.running.free_port", lambda: second)
        with running(tmp_path / "second", DISABLE_RESULT_CACHE="1") as other:
            alerts.wait_until_resolved("RecoupDown")
            assert f"127.0.0.1:{second}" == seen(alerts, "RecoupCacheDisabled")["instance"]
            enable(other)
            alerts.wait_until_resolved("RecoupCacheDisabled")
            failures(service, alerts)
            refusals(service, alerts)


@contextmanager
def in_parallel(work: Callable[[Running, Stack], None], service: Running, alerts: Stack) -> Iterator[None]:
    """Do some work beside the rest; what goes wrong there is raised here at the end."""
    wrong: list[BaseException] = []

    def caught() -> None:
        try:
            work(service, alerts)
        except BaseException as error:
            wrong.append(error)

    thread = threading.Thread(target=caught)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if wrong:
        raise wrong[0]
