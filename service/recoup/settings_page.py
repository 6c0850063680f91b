"""The settings as a page in Markdown: `python -m recoup.settings_page > docs/reference/environment.md`."""

from __future__ import annotations

import sys

from recoup.settings import FREE_PREFIX, reference_table

_HEAD = """\
# The environment

Recoup reads its settings from the environment, once, when it starts. This page is generated from the code; after a
change there:

    python -m recoup.settings_page > docs/reference/environment.md

"""
_NOTES = f"""

- A variable that is empty counts as one that is not set.
- A value that cannot be used stops the start: `RECOUP_PORT='x': expected a whole number from 1 to 65535`. The token's
  value is never shown.
- A variable that begins with `RECOUP_` and is none of these stops the start, too:
  `Unknown variable RECOUP_PRT; did you mean RECOUP_PORT?` Names that begin with `{FREE_PREFIX}` are free for your own
  use.
- `recoup check` reads the environment and the TOML file of pipelines as `recoup serve` would, starts nothing, and lists
  every mistake at once. It exits with 0 where there is none, else with 2.
- A variable that begins with `CACHE_` and nearly has the name of one of these is named in the log, and not read: such
  names belong to others, too.
- `max_size`, `max_memory_mb`, `ttl_seconds`, `enabled` and `policy` can be changed while Recoup runs, with
  `POST /api/cache/config`, within the same bounds; the environment is what the next start begins with.
- The library (`get_cache()` and `@cached_result`) reads `DISABLE_RESULT_CACHE`, the variables that begin with `CACHE_`,
  `RECOUP_TTL_JITTER`, `RECOUP_STALE_SECONDS` and `RECOUP_POLICY`, and nothing else.

## In Kubernetes

For a service named `recoup`, Kubernetes sets variables such as `RECOUP_PORT=tcp://10.0.0.1:8080` and
`RECOUP_SERVICE_HOST` in the containers of its namespace. The first one stops the start, because it is no port. Set
`enableServiceLinks: false` in the pod's specification, or set `RECOUP_PORT` yourself. The others are not read.
"""


def page() -> str:
    """The page."""
    return _HEAD + reference_table() + _NOTES


if __name__ == "__main__":
    sys.stdout.write(page())
