"""The rule on tools that are no Python packages: they must be there in CI; elsewhere a test may be skipped, aloud."""

from __future__ import annotations

import os
import shutil

import pytest


def require_tool(name: str) -> str:
    """The path of a command. Without it the test fails in CI (`CI=true`), and is skipped with a reason elsewhere."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and in CI it must be")
    pytest.skip(f"{name} is not installed")
