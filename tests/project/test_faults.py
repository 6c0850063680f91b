"""`tests/README.md` names a test for each fault: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?!what was tried|---)(.+) \|$", re.M)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = [row.split(" | ") for row in ROW.findall((TESTS / "README.md").read_text())]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_row_names_a_test_that_is_there(row: list[str]) -> None:
    _, _, tests = row
    named = NAMED.findall(tests)
    assert named
    assert [] == [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^\s*(async )?def {name}\(", (TESTS / file).read_text(), re.M)
    ]
    assert "" == NAMED.sub("", tests).strip(" ,")
