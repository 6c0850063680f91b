"""The process-wide cache is made from the environment, at first use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from recoup import process_cache
from recoup.errors import SettingError


def configured(**environ: str) -> dict:
    return process_cache.cache_from_environment(environ).config()


def in_a_new_process(program: str, **environ: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CACHE_", "RECOUP_"))}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env={**inherited, **environ}, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_without_variables_it_has_the_defaults() -> None:
    assert {
        "max_size": 1000,
        "max_memory_mb": 512.0,
        "ttl_seconds": 86400.0,
        "enabled": True,
        "policy": "lru",
    } == configured()


def test_the_variables_configure_it() -> None:
    expected = {"max_size": 7, "max_memory_mb": 2.5, "ttl_seconds": None, "enabled": False, "policy": "lru"}

    assert expected == configured(
        CACHE_MAX_SIZE="7", CACHE_MAX_MEMORY_MB="2.5", CACHE_TTL_SECONDS="0", DISABLE_RESULT_CACHE="1"
    )


@pytest.mark.parametrize("limit", ["0.001", "10000000"])
def test_what_the_settings_allow_the_cache_allows_too(limit: str) -> None:
    assert float(limit) == configured(CACHE_MAX_MEMORY_MB=limit)["max_memory_mb"]


def test_a_variable_that_cannot_be_used_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingError, match="CACHE_MAX_SIZE"):
        configured(CACHE_MAX_SIZE="none")


def test_get_cache_gives_it_and_the_same_one_ever_after() -> None:
    program = "import recoup; print(recoup.get_cache().config()['max_size'], recoup.get_cache() is recoup.get_cache())"

    assert "7 True\n" == in_a_new_process(program, CACHE_MAX_SIZE="7")


def test_importing_recoup_reads_no_environment_and_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys; before = set(sys.modules); import recoup;"
        "foreign = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(foreign))"
    )

    assert "['recoup']\n" == in_a_new_process(program, CACHE_MAX_SIZE="not a number")
