"""One generation request on its way through the endpoint: what is known of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recoup.cache.stats import Outcome
from recoup.web.generation.door import Door
from recoup.web.generation.request import GenerationRequest, Headers, text
from recoup.web.recorder import RequestRecord


@dataclass(slots=True)
class Asked:
    """What is known of a request.

    Attributes:
        door: Where it came in.
        scope: The server's.
        headers: Those that matter.
        own_id: Its id.
        started: When its body was there, of the endpoint's clock.
        request: What it asks for; None: it has not been read yet, or cannot be.
        outcome: What its lookup ends with if it fails; None: there is no lookup yet.
        cache_status: `Cache-Status` of a problem that comes from the store, or went there.
    """

    door: Door
    scope: Mapping[str, Any]
    headers: Headers
    own_id: str
    started: float
    request: GenerationRequest | None = None
    outcome: Outcome | None = None
    cache_status: str = ""

    def begins(self, outcome: Outcome) -> None:
        """Note that its lookup has begun, and what it ends with if it fails."""
        self.outcome = outcome

    def record(self) -> RequestRecord:
        """What is to be recorded of it."""
        record = RequestRecord(self.own_id, text(self.headers, b"traceparent"), self.started)
        record.pipeline = self.door.route.name
        if self.request is not None:
            record.asked(self.request)
        return record
