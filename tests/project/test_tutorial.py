"""The tutorial and the HTTP reference do what they say: their commands, as pasted, against a service of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from .page import blocks
from .serving import Service, serving
from .tree import ROOT, fences, name_of

#: Pages whose commands build on each other, from a service that was just started.
TRANSCRIPTS = [ROOT / "docs" / "tutorial" / "first-hit.md", ROOT / "docs" / "reference" / "http.md"]
README = ROOT / "README.md"
HOME = "http://127.0.0.1:8080"


def transcript(text: str) -> list[tuple[str, str]]:
    """Each command of the `console` blocks, with the output that is shown below it."""
    steps: list[tuple[str, str]] = []
    for line in "".join(fences(text, "console")).splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], ""))
        else:
            command, shown = steps[-1]
            steps[-1] = (command, f"{shown}{line}\n")
    return steps


_VARYING = re.compile(
    r'(?<=dur=)[\d.]+|(?<=ttl=)\d+|(?<=key=")[0-9a-f]{32}|(?<=^age: )\d+|(?<="at":")[^"]+', re.M | re.I
)


def json_shown(text: str) -> list[tuple[str, str]]:
    """Each `json` block that follows a `console` block: the last command there, and the JSON."""
    page = blocks(text)
    return [
        ([line for line in above.text.splitlines() if line.startswith("$ ")][-1][2:], block.text)
        for above, block in pairwise(page)
        if (above.language, block.language) == ("console", "json")
    ]


def shape(value: object) -> object:
    """The members of JSON, without what they hold; of a list, those of its first item."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def comparable(output: str) -> list[str]:
    """Lines without durations, ages and keys, which differ by run; header names and their order mean nothing."""
    lines = _VARYING.sub("N", output).splitlines()
    return sorted(re.sub(r"^[A-Za-z-]+(?=:)", lambda name: name[0].lower(), line).strip() for line in lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to work in that has what the checkout has."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    with serving(sys.executable, "-m", "recoup", "serve", folder=folder) as running:
        yield running


def paste(command: str, service: Service, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-c", command.replace(HOME, service.url)], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{service.output()}"
    return done.stdout


@pytest.mark.timeout(300)  # several generations on a machine that may be busy
@pytest.mark.parametrize("page", TRANSCRIPTS, ids=name_of)
def test_a_page_does_what_it_says(page: Path, service: Service, folder: Path) -> None:
    steps = transcript(page.read_text())
    assert sum(bool(shown) for _, shown in steps) >= 5
    shapes = {command: shape(json.loads(shown)) for command, shown in json_shown(page.read_text())}
    for command, shown in steps:
        if command in shapes:
            paste(steps[0][0], service, folder)  # so that there is something to show
        output = paste(command, service, folder)
        if shown:
            assert comparable(shown) == comparable(output), command
        if command in shapes:
            assert shapes.pop(command) == shape(json.loads(output)), command
    assert {} == shapes
    assert 0 == service.end(), service.output()


def test_the_first_curl_of_the_readme_works_as_pasted(service: Service, folder: Path) -> None:
    command, *_ = (
        line for block in fences(README.read_text(), "sh") for line in block.splitlines() if line.startswith("curl")
    )
    answers = [paste(command, service, folder) for _ in range(2)]
    assert ["200", "200"] == [answer.split()[1] for answer in answers]
    assert "fwd=uri-miss; stored; detail=cold" in answers[0]
    assert "recoup; hit; ttl=" in answers[1]
    assert (folder / "relief.stl").stat().st_size > 84


def test_a_block_of_json_belongs_to_the_command_above_it() -> None:
    assert 1 == len(json_shown((ROOT / "docs" / "reference" / "http.md").read_text()))
