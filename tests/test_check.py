"""`recoup check` lists every mistake at once, and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from recoup.__main__ import main

GOOD = "[pipelines.chat]\nkind = 'http'\nurl = 'http://upstream.example/v1'\n"
BAD = (
    "[pipelines.chat]\nkind = 'http'\nurl = 'upstream'\nttl_secs = 5\nmax_waiting = -1\n"
    "[pipelines.art]\nkind = 'python'\n"
)


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/bin"})


def write(folder: Path, text: str) -> str:
    path = folder / "pipelines.toml"
    path.write_text(text)
    return str(path)


def test_without_a_mistake_it_says_what_would_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["check", "--pipelines", write(tmp_path, GOOD)])
    assert ("recoup: nothing is wrong; the pipelines are chat\n", "") == capsys.readouterr()


def test_mistakes_of_the_environment_and_of_the_file_are_listed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, BAD)
    environ = {"RECOUP_PIPELINES": path, "RECOUP_PORT": "x", "RECOUP_PRT": "1", "CACHE_MAX_SIZE": "0"}
    monkeypatch.setattr("os.environ", environ)
    assert 2 == main(["check"])
    out, err = capsys.readouterr()
    expected = [
        "Unknown variable RECOUP_PRT; did you mean RECOUP_PORT?",
        "CACHE_MAX_SIZE='0': expected a whole number from 1 to 1000000000",
        "RECOUP_PORT='x': expected a whole number from 1 to 65535",
        f"{path}: pipeline 'chat': unknown option ttl_secs; did you mean ttl_seconds?",
        f"{path}: pipeline 'chat': url='upstream': expected an http:// or https:// URL with a host, without user, "
        "password or fragment",
        f"{path}: pipeline 'chat': max_waiting=-1: expected a whole number from 0 to 10000",
        f"{path}: pipeline 'art': callable: missing: expected \"package.module:function\", of a module "
        "that can be imported",
    ]
    assert "" == out
    assert expected == [line.removeprefix("recoup: ") for line in err.splitlines()]


@pytest.mark.parametrize("text", ["", "[pipelines", "[pipeline.a]\n"])
def test_a_file_that_is_none_of_pipelines_is_a_mistake(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["check", "--pipelines", write(tmp_path, text)])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_a_file_that_is_not_there_is_one_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["check", "--pipelines", str(tmp_path / "absent.toml")])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_an_upstream_that_cannot_be_used_is_one_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["check", "--upstream", "ftp://a"])
    assert 1 == len(capsys.readouterr().err.splitlines())


def test_an_upstream_is_a_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["check", "--upstream", "http://127.0.0.1:9000"])
    assert "the pipelines are upstream" in capsys.readouterr().out
