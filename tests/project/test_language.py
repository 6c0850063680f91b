"""Names and words are the field's own: the private ones that were once used are in no file of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .tree import ROOT, files, is_text, name_of

#: Names that were replaced, each by the term that the field has. Upper and lower case count.
NAMES = {
    r"\bLedgers?\b": "PipelineCounters",
    r"\bDepartures\b": "GhostList",
    r"\bGate\b|\bWaitingRoom\b": "ConcurrencyLimiter, admission",
    r"\bFront\b": "fast path",
    r"\bTold\b|\bAccount\.tell\b": "RequestRecord, RequestRecorder.record",
    r"\bHanded\b": "nothing: the second entry is gone",
    r"\bTerms\b": "PipelineOptions",
    r"\b_(?:take_off|crash|land|arrive)\b|\bLanding\b": "_lead, _fail, _finish, FlightResult",
    r"\bclass (?:Stage|Crowd|Play)\b|\bdef sit\b": "phase runner, users, scenario run",
    r"\bdef reach\b|\bloadtest[./]reach\b": "preflight",
    r"\bloadtest[./]photographs\b|\bloadtest[./]words\b": "sample_images, formatting",
}
#: The same for names that are private only where generation is served over HTTP.
NAMES_OF_GENERATION = {r"\bclass (?:Ask|Answer)\b": "GenerationRequest, GenerationResponse"}
#: Phrases that a native reader stumbles on; in text for users: documentation, and the package with its messages.
PHRASES = {
    r"\ballowed (?:is|are)\b": "expected",
    r"\btold\b": "recorded, reported, logged",
    r"\bstands? in (?!for\b|front\b)": "is in",
    r"\bwhoever\b": "callers, users",
    r"\bone sees\b": "shows",
    r"\b(?:its|an entry's) life\b": "TTL",
}
#: Files in which something that looks like an old name is something else, with the reason.
LEGITIMATE = {
    "tests/project/test_language.py": "this list",
    "LICENSE": "a text of others: terms and conditions",
}


def texts() -> dict[str, str]:
    """Every text file of the repository, by its name."""
    own = {name_of(path): path for path in files() if not is_vendored(path) and is_text(path)}
    return {name: path.read_text(encoding="utf-8") for name, path in own.items() if name not in LEGITIMATE}


def is_vendored(path: Path) -> bool:
    """Code of others keeps its own names."""
    return "vendor" in path.parts or ".min." in path.name


def is_for_users(name: str) -> bool:
    return name.endswith(".md") or name.startswith("service/recoup/") or name in {"docker-compose.yml", ".env.example"}


def lines_with(pattern: str, name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


TEXTS = texts()


def test_the_walk_reads_the_code_and_the_documentation() -> None:
    assert {"README.md", "CONTRIBUTING.md", "service/recoup/errors.py", "docs/explanation/design.md"} <= set(TEXTS)
    assert [] == [name for name in LEGITIMATE if not (ROOT / name).exists()]


@pytest.mark.parametrize(("pattern", "instead"), NAMES.items(), ids=NAMES.values())
def test_no_file_has_an_old_name(pattern: str, instead: str) -> None:
    assert [] == [line for name, text in TEXTS.items() for line in lines_with(pattern, name, text)], f"use {instead}"


@pytest.mark.parametrize(("pattern", "instead"), NAMES_OF_GENERATION.items(), ids=NAMES_OF_GENERATION.values())
def test_generation_has_no_old_name(pattern: str, instead: str) -> None:
    served = {name: text for name, text in TEXTS.items() if name.startswith("service/recoup/web/")}
    assert served
    assert [] == [line for name, text in served.items() for line in lines_with(pattern, name, text)], f"use {instead}"


@pytest.mark.parametrize(("pattern", "instead"), PHRASES.items(), ids=PHRASES.values())
def test_no_text_for_users_has_a_private_phrase(pattern: str, instead: str) -> None:
    shown = {name: text for name, text in TEXTS.items() if is_for_users(name)}
    assert [] == [line for name, text in shown.items() for line in lines_with(pattern, name, text)], f"use {instead}"
