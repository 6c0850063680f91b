"""What happens before and during a phase, done to a real cache over its management API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtest import actions
from loadtest.actions import (
    Action,
    ActionError,
    Management,
    clear,
    configure,
    delete_entry,
    fault,
    is_fault,
    list_entries,
    scale_memory,
    settle,
)
from loadtest.plan import Call
from loadtest.service import ServiceClient

from recoup import LRUCache

from .managed import PATIENCE, managed


class Scene:
    """A cache, the way to it, and every call that was sent there."""

    def __init__(self, url: str, cache: LRUCache, folder: Path) -> None:
        self.cache = cache
        self.calls: list[Call] = []
        self.asked: list[str] = []
        self._answer = folder / "answer-1"
        self._service = ServiceClient(url, None)
        config = Management(self.send, self.ask).configuration()
        self._management = Management(self.send, self.ask, 0.0, config)

    def ask(self, name: str) -> Path:
        self.asked.append(name)
        return self._answer

    def owner_says(self, text: str) -> None:
        self._answer.write_text(text)

    def send(self, call: Call) -> tuple[int, bytes]:
        self.calls.append(call)
        return self._service.send(call)

    def do(self, action: Action) -> list[str]:
        """Carry it out, and give what was sent for it."""
        self.calls.clear()
        action.carry_out(self._management)
        return [f"{call.method} {call.path}" for call in self.calls]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    cache = LRUCache()
    for key in ("first", "second", "third"):
        cache.set(key, b"result" * 100)
    with managed(cache) as url:
        yield Scene(url, cache, tmp_path)


def test_configure_changes_the_configuration(scene: Scene) -> None:
    assert ["POST /api/cache/config"] == scene.do(configure({"max_size": 2}))
    assert 2 == scene.cache.config()["max_size"]


def test_clear_forgets_every_entry(scene: Scene) -> None:
    assert ["POST /api/cache/clear"] == scene.do(clear())
    assert 0 == len(scene.cache)


def test_the_memory_limit_shrinks_to_a_share_of_what_is_held_and_is_restored(scene: Scene) -> None:
    before, held = scene.cache.config()["max_memory_mb"], scene.cache.stats().memory_bytes
    scene.do(scale_memory(0.5))
    assert held / 2 / 2**20 == pytest.approx(scene.cache.config()["max_memory_mb"])
    assert 1 == len(scene.cache)
    scene.do(scale_memory(None))
    assert before == scene.cache.config()["max_memory_mb"]


def test_a_page_of_entries_is_read_and_one_entry_of_it(scene: Scene) -> None:
    page, entry = scene.do(list_entries())
    assert ("GET /api/cache/entries?limit=100", "GET /api/cache/entries/third") == (page, entry)


def test_an_empty_page_has_no_entry_to_read(scene: Scene) -> None:
    scene.cache.clear()
    assert ["GET /api/cache/entries?limit=100"] == scene.do(list_entries())


def test_the_entry_that_was_used_least_recently_is_deleted(scene: Scene) -> None:
    scene.cache.get("first")
    assert "DELETE /api/cache/entries/second" == scene.do(delete_entry())[-1]
    assert {"first", "third"} == {entry["key"] for entry in scene.cache.entries()}


def test_nothing_is_deleted_where_nothing_is(scene: Scene) -> None:
    scene.cache.clear()
    assert ["GET /api/cache/entries?limit=1"] == scene.do(delete_entry())


def test_an_entry_that_has_gone_meanwhile_is_no_failure(scene: Scene) -> None:
    """Traffic goes on beside it, and the least recently used entry is the next to go."""

    def send(call: Call) -> tuple[int, bytes]:
        if call.method == "DELETE":
            scene.cache.clear()
        return scene.send(call)

    delete_entry().carry_out(Management(send, scene.ask))
    assert (frozenset({204, 404}), "manage") == (scene.calls[-1].allowed, scene.calls[-1].kind)


def test_a_refused_change_is_an_error_that_says_what_was_answered(scene: Scene) -> None:
    with pytest.raises(ActionError, match=r"POST /api/cache/config was answered with 400: .*max_size"):
        scene.do(configure({"max_size": -1}))


def test_the_management_token_is_sent() -> None:
    with managed(LRUCache(), token="secret") as url:
        assert Management(ServiceClient(url, "secret").send, Path).configuration()["enabled"]
        with pytest.raises(ActionError, match="answered with 401"):
            Management(ServiceClient(url, None).send, Path).configuration()


def test_a_fault_waits_until_the_owner_has_answered(scene: Scene) -> None:
    waiting = threading.Thread(target=scene.do, args=(fault("kill-worker"),))
    waiting.start()
    scene.owner_says("")
    waiting.join(PATIENCE)
    assert (False, ["kill-worker"]) == (waiting.is_alive(), scene.asked)


def test_what_the_owner_could_not_do_is_an_error(scene: Scene) -> None:
    scene.owner_says("there is no worker")
    with pytest.raises(ActionError, match="there is no worker"):
        scene.do(fault("kill-worker"))


def test_an_owner_who_says_nothing_is_an_error(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "OWNER_SECONDS", 0.0)
    with pytest.raises(ActionError, match="did not answer within 0 s"):
        scene.do(fault("kill-worker"))


def test_settling_sends_nothing(scene: Scene) -> None:
    assert [] == scene.do(settle())


@pytest.mark.parametrize(
    ("expected", "action"),
    [
        ("Clear", clear()),
        ("Fault kill-worker", fault("kill-worker")),
        ('Configure {"enabled": false}', configure({"enabled": False})),
        ("ScaleMemory None", scale_memory(None)),
    ],
)
def test_an_action_is_named_by_what_it_does_and_with_what(expected: str, action: Action) -> None:
    assert expected == action.name
    assert expected.startswith("Fault") is is_fault(action)
