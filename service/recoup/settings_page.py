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
- A value that cannot be used stops the start; the message has the variable's name, its value and what is allowed. The
  token's value is never shown.
- A variable that begins with `RECOUP_` and is none of these stops the start, too: a mistyped name is not ignored. Names
  that begin with `{FREE_PREFIX}` are free for your own use.
- A variable that begins with `CACHE_` and nearly has the name of one of these is told of in the log, and not read:
  such names belong to others, too.
- `max_size`, `max_memory_mb`, `ttl_seconds` and `enabled` can be changed while Recoup runs, with
  `POST /api/cache/config`; the environment is what the next start begins with.
- The library (`get_cache()` and `@cached_result`) reads `DISABLE_RESULT_CACHE`, the variables that begin with `CACHE_`,
  `RECOUP_TTL_JITTER` and `RECOUP_STALE_SECONDS`, and nothing else.

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
