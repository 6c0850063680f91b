"""What the services of these tests generate: quickly, too late, or not at all, as a request's body says."""

from __future__ import annotations

import time

from recoup.pipelines.protocol import Request


def make(request: Request) -> bytes:
    """Some kilobytes, after some milliseconds."""
    if request.body.startswith(b"fail"):
        raise ValueError("this one is not to be made")
    time.sleep(0.03)
    return request.body * (100 + len(request.body) ** 2)
