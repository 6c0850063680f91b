"""Each kind of misleading has its test."""

from __future__ import annotations

import re

import pytest

from .kinds import MISLEADING
from .rulefiles import ROOT

TESTS = {
    f"{path.stem}: {name}"
    for folder in ("rules", "dashboards")
    for path in (ROOT / "tests" / folder).glob("test_*.py")
    for name in re.findall(r"^\s*def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("kind", MISLEADING)
def test_the_tests_of_a_kind_are_there(kind: str) -> None:
    assert MISLEADING[kind]
    assert set() == set(MISLEADING[kind]) - TESTS
