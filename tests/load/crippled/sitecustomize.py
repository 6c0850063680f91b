"""Cripples a service, or a run, on purpose: on the PYTHONPATH of its processes. A verdict has to notice.

`RECOUP_X_CRIPPLED` names a way of the service, `LOADTEST_X_CRIPPLED` one of the run itself: its client, its rules, its
dashboards. Python imports a module of this name at its start, in every process, before anything else; only the process
that is meant is changed.
"""

from __future__ import annotations

import os
import sys

_STARTED_AS = " ".join(sys.orig_argv)

if "RECOUP_X_CRIPPLED" in os.environ and "recoup serve" in _STARTED_AS:
    import lies_answers
    import lies_cache
    import lies_figures

    for lie in os.environ["RECOUP_X_CRIPPLED"].split(","):
        {**lies_cache.WAYS, **lies_figures.WAYS, **lies_answers.WAYS}[lie]()

if "LOADTEST_X_CRIPPLED" in os.environ:
    import lies_run

    lies_run.WAYS[os.environ["LOADTEST_X_CRIPPLED"]](_STARTED_AS)
