"""`recoup check`: reads the environment and the TOML file as `recoup serve` would, and lists every mistake at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recoup.cache.config import BYTES_PER_MB, check_reserves
from recoup.errors import ConfigurationError, SeveralMistakesError
from recoup.settings import Settings


def check(environ: Mapping[str, str]) -> int:
    """Write what is wrong to standard error, or what would be served to standard output. Starts nothing.

    Returns:
        The exit status: 0 where nothing is wrong, else 2.
    """
    mistakes = [*Settings.mistakes(environ)]
    served: Mapping[str, Any] = {}
    # The file is read even where variables are wrong: all mistakes are to be listed in one go.
    path = environ.get("RECOUP_PIPELINES", "").strip()
    if not {getattr(mistake, "name", None) for mistake in mistakes} & {"RECOUP_PIPELINES", "RECOUP_UPSTREAM"}:
        try:
            upstream = environ.get("RECOUP_UPSTREAM", "").strip()
            served = _pipelines(Path(path) if path else None, upstream or None, environ)
            if not mistakes:
                _check_reserves(served, Settings.from_environment(environ))
        except SeveralMistakesError as error:
            mistakes += error.mistakes
        except ConfigurationError as error:
            mistakes.append(error)
    for mistake in mistakes:
        sys.stderr.write(f"recoup: {mistake}\n")
    if mistakes:
        return 2
    sys.stdout.write(f"recoup: nothing is wrong; the pipelines are {', '.join(served)}\n")
    return 0


def _check_reserves(served: Mapping[str, Any], settings: Settings) -> None:
    quotas = [quota for pipeline in served.values() if (quota := getattr(pipeline, "quota", None)) is not None]
    reserved = sum(int(quota.reserve_memory_mb * BYTES_PER_MB) for quota in quotas)
    check_reserves(reserved, int(settings.cache_max_memory_mb * BYTES_PER_MB))


def _pipelines(path: Path | None, upstream: str | None, environ: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        from recoup.pipelines.registry import load_pipelines  # it needs the service's libraries
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"serving needs the extra recoup[service]: {error}") from error
    return load_pipelines(path, upstream=upstream, environ=environ)
