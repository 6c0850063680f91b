"""Alerts from end to end: caused in a real service, seen at a real Alertmanager, and seen resolved.

The rules are the committed ones with shorter times, made by the same generator.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from functools import partial
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


def seen(alerts: Stack, name: str, **labels: str) -> dict[str, str]:
    """Wait for an alert, hold its texts to those that are committed, and give its labels."""
    alert = alerts.wait_for(name, **labels)
    assert alert["annotations"]["description"].startswith(text_of(name))
    assert "{{" not in "".join(alert["annotations"].values())
    return alert["labels"]


def evictions_then_hits(service: Running, alerts: Stack) -> None:
    """Four requests take turns in a cache for two results, until one of them is all that is asked."""
    numbers = itertools.cycle(range(4))
    with repeating(lambda: service.post("quick", str(next(numbers)).encode())):
        assert "quick" == seen(alerts, "RecoupHitRatioLow")["pipeline"]
    with repeating(lambda: service.post("quick", b"the same")):
        alerts.wait_until_resolved("RecoupHitRatioLow")


def failures(service: Running, alerts: Stack) -> None:
    """The generator fails, until it is not asked any more. Of two alerts, Alertmanager tells the cause alone."""
    with repeating(lambda: service.post("late", b"nowhere")):
        labels = seen(alerts, "RecoupGenerationFailures", severity="critical")
        alerts.wait_until_suppressed("RecoupServerErrors")
    assert ("late", "critical") == (labels["pipeline"], labels["severity"])
    alerts.wait_until_resolved("RecoupGenerationFailures", severity="critical")


def refusals(service: Running, alerts: Stack) -> None:
    """Both places are taken and nobody may wait, until the places are free again."""
    held = [service.generating(), service.generating()]
    with repeating(lambda: service.post("meet", b"nowhere")):
        assert "meet" == seen(alerts, "RecoupGenerationQueueFull")["pipeline"]
    for meeting, reply in held:
        meeting.let_go()
        assert 200 == reply.result().status
    alerts.wait_until_resolved("RecoupGenerationQueueFull")


def absence_then_disabling(service: Callable[[], AbstractContextManager[Running]], alerts: Stack, target: str) -> None:
    """Nobody listens where the second instance should be; then it does, with a cache that is disabled."""
    assert target == seen(alerts, "RecoupDown")["instance"]
    with service() as second:
        alerts.wait_until_resolved("RecoupDown")
        assert target == seen(alerts, "RecoupCacheDisabled")["instance"]
        enable(second)
        alerts.wait_until_resolved("RecoupCacheDisabled")


@pytest.mark.timeout(600)
def test_alerts_are_caused_seen_and_seen_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at a pipeline or an instance of its own, all at one time: most of it is waiting for windows to pass."""
    port = lasting_port()
    for name in ("first", "second", "stack"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "first", CACHE_MAX_SIZE="2") as service,
        stack(tmp_path / "stack", [f"127.0.0.1:{service.port}", f"127.0.0.1:{port}"]) as alerts,
        ThreadPoolExecutor() as pool,
    ):
        monkeypatch.setattr("web.running.free_port", lambda: port)
        second = partial(running, tmp_path / "second", DISABLE_RESULT_CACHE="1")
        acts = [pool.submit(act, service, alerts) for act in (evictions_then_hits, failures, refusals)]
        acts.append(pool.submit(absence_then_disabling, second, alerts, f"127.0.0.1:{port}"))
        for act in as_completed(acts):
            act.result()
