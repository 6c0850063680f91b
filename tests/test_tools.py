"""A tool that is not there is never passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import require_tool


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where commands are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_tool_that_is_there_is_given_with_its_path(folder: Path) -> None:
    tool = folder / "promtool"
    tool.touch(mode=0o755)

    assert str(tool) == require_tool("promtool")


@pytest.mark.usefixtures("folder")
def test_in_ci_one_that_is_not_there_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="promtool is not installed"):
        require_tool("promtool")


@pytest.mark.usefixtures("folder")
def test_elsewhere_the_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="promtool is not installed"):
        require_tool("promtool")
