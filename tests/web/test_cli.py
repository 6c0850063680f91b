"""The command line: what it says, what it refuses, and that its options go before the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import recoup
from recoup.__main__ import OPTIONS, main
from recoup.settings import SETTINGS, Settings


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    command = [sys.executable, "-m", "recoup", *arguments]
    return subprocess.run(command, env=kept | environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What would be served with; nothing is."""
    given: list[Settings] = []
    monkeypatch.setattr("recoup.server.serve", lambda settings: given.append(settings) or 0)  # type: ignore[func-returns-value]
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    return given


def test_version_is_the_packages() -> None:
    assert (0, f"recoup {recoup.__version__}\n") == (run("--version").returncode, run("--version").stdout)


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help")])
def test_help_needs_no_valid_environment(arguments: tuple[str, ...]) -> None:
    shown = run(*arguments, RECOUP_PORT="none")
    assert (0, "") == (shown.returncode, shown.stderr)
    assert "serve" in shown.stdout.lower()


def test_every_option_of_serve_tells_its_variable() -> None:
    text = run("serve", "--help").stdout
    for option, (variable, _) in OPTIONS.items():
        assert f"--{option}" in text
        assert f"instead of {variable}" in " ".join(text.split())


def test_every_option_stands_for_a_setting_that_exists() -> None:
    assert {variable for variable, _ in OPTIONS.values()} <= {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("arguments", [(), ("serve",)], ids=["without a command", "serve"])
def test_settings_come_from_the_environment(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RECOUP_PORT", "8123")
    assert 0 == main(arguments)
    assert [8123] == [settings.port for settings in served]


def test_an_option_goes_before_its_variable(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOUP_PORT", "8123")
    monkeypatch.setenv("RECOUP_HOST", "0.0.0.0")
    main(["serve", "--port", "8124", "--log-level", "debug"])
    assert (8124, "0.0.0.0", "debug") == (served[0].port, served[0].host, served[0].log_level)


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (("serve", "--port", "none"), {}, "RECOUP_PORT='none'"),
        (("serve",), {"CACHE_MAX_SIZE": "-1"}, "CACHE_MAX_SIZE='-1'"),
        (("serve", "--pipelines", "nowhere.toml"), {}, "RECOUP_PIPELINES='nowhere.toml'"),
        (("serve", "--colour"), {}, "--colour"),
        (("fly",), {}, "fly"),
    ],
    ids=["option", "variable", "file", "unknown option", "unknown command"],
)
def test_what_cannot_be_used_is_told_and_ends_with_2(
    arguments: tuple[str, ...], environ: dict[str, str], told: str, tmp_path: Path
) -> None:
    ended = run(*arguments, **environ)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
