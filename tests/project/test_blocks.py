"""Every code block of every page does what the page says, as pasted, in the environment that the page describes."""

from __future__ import annotations

import os
import re
import time
import urllib.error
from contextlib import ExitStack
from pathlib import Path

import pytest

from .page import Block, Reader, blocks, shell_commands
from .test_docs import PROGRAMS
from .test_tutorial import TRANSCRIPTS
from .tree import ROOT, files, name_of

PAGES = [page for page in [ROOT / "README.md", *files(".md", below=ROOT / "docs")] if blocks(page.read_text())]


def reader_of(folder: Path, stack: ExitStack) -> Reader:
    return Reader(folder, stack)


@pytest.mark.timeout(300)  # generations, a Prometheus and a build, on a machine that may be busy
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_works_as_pasted(page: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        reader = reader_of(tmp_path, stack)
        for block in blocks(page.read_text()):
            reader.tries(block)


def expressions(page: Path) -> list[str]:
    """The PromQL in the columns of tables that are called `expression`: whole queries, or names of metrics."""
    rows = [re.split(r" (?<!\\)\| ", row) for row in re.findall(r"^\| (.+) \|$", page.read_text(), re.MULTILINE)]
    heads = [(at, row.index("expression")) for at, row in enumerate(rows) if "expression" in row]
    cells = [row[column] for at, column in heads for row in rows[at + 1 :] if len(row) > column]
    return [code.replace("\\|", "|") for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


EXPRESSIONS = [(page, expression) for page in PAGES for expression in expressions(page)]


@pytest.mark.xdist_group("expressions")
def test_prometheus_takes_the_expressions_in_tables(tmp_path: Path) -> None:
    assert EXPRESSIONS
    with ExitStack() as stack:
        reader = reader_of(tmp_path, stack)
        for _, expression in EXPRESSIONS:
            reader.tries(Block("promql", expression))


def test_python_and_transcripts_are_run_by_the_tests_that_are_for_them() -> None:
    languages = {page: {block.language for block in blocks(page.read_text())} for page in PAGES}
    assert {page for page in PAGES if "python" in languages[page]} == set(PROGRAMS)
    assert {page for page in PAGES if "console" in languages[page]} == set(TRANSCRIPTS)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "frobnicate --now"),
        ("sh", "cp missing.txt there.txt"),
        ("sh", "curl http://127.0.0.1:8080/api/nothing"),
        ("toml", '[pipelines.a]\nkind = "nothing"'),
        ("toml", '[pipelines.a]\nkind = "python"\ncallable = "nowhere:function"'),
        ("yaml", "# prometheus.yml\nscrape_configs: [{job: misspelt}]"),
        ("yaml", "# docker-compose.override.yml\nservices: {recoup: {environment: {RECOUP_X: 1}}}"),
        ("yaml", "unnamed: 1"),
        ("promql", "sum by ("),
        ("json", "{"),
        ("text", "make run "),
        ("ruby", "puts 1"),
    ],
    ids=lambda value: value.splitlines()[0] if isinstance(value, str) else value,
)
def test_a_block_that_does_not_work_fails_its_page(language: str, text: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        reader = reader_of(tmp_path, stack)
        with pytest.raises((AssertionError, ValueError, KeyError, urllib.error.HTTPError)):
            reader.tries(Block(language, f"{text}\n"))


def test_a_page_changes_nothing_in_the_environment_of_the_tests(tmp_path: Path) -> None:
    """`make` would install a checkout's own package where its requirements are newer than the environment."""
    with ExitStack() as stack:
        reader = reader_of(tmp_path, stack)
        future = time.time() + 60
        os.utime(tmp_path / "pyproject.toml", (future, future))
        with pytest.raises(AssertionError, match="nothing is installed here"):
            reader.tries(Block("sh", "make wheel\n"))


def test_commands_are_lines_but_for_continued_ones_and_loops() -> None:
    block = "one  # a comment\n# no command\ntwo \\\n  more\nfor x in a b; do\n    three $x\ndone\n"
    assert ["one", "two    more", "for x in a b; do\nthree $x\ndone"] == list(shell_commands(block))
