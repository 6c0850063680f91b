"""Where a generation request came in: under `/api/generate/`, or below a path of its pipeline's own."""

from __future__ import annotations

from typing import NamedTuple

from recoup.pipelines.hop_by_hop import end_to_end
from recoup.pipelines.paths import sent_query
from recoup.pipelines.protocol import Direct
from recoup.web.generation.request import Headers, RawHeaders, Route

#: What goes on to the upstream of whatever pipeline, and belongs to no key.
_TRACING = (b"traceparent", b"tracestate", b"x-request-id")
_PASSED_ON = frozenset((*_TRACING, b"content-type"))


class Door(NamedTuple):
    """A pipeline as it is asked for.

    Attributes:
        route: The pipeline.
        template: The template of the path, as it is counted and logged.
        rest: What of the path follows the pipeline's own; None: it is not asked for below its own path.
    """

    route: Route
    template: str
    rest: str | None = None

    def select(self, headers: RawHeaders) -> Headers:
        """The request's headers that matter here, each with all its values in their order."""
        wanted = self.route.wanted if self.rest is None else self.route.wanted_below_path
        chosen: Headers = {}
        if self.rest is not None:
            headers = end_to_end(headers)  # what `Connection` names is the sender's and ours alone
        for name, value in headers:
            if wanted is None or name in wanted:
                chosen[name] = (*chosen[name], value) if name in chosen else (value,)
        return chosen

    def direct(self, headers: Headers, query: bytes, own_id: str) -> Direct | None:
        """What of the request is passed on as it came; None: it did not come below the pipeline's own path."""
        if self.rest is None:
            return None
        sort = self.route.sort_header
        passed = [
            (name, value)
            for name, values in headers.items()
            if name in _PASSED_ON or (sort is not None and sort(name) == "passed")
            for value in values
        ]
        if b"x-request-id" not in headers:
            passed.append((b"x-request-id", own_id.encode()))
        return Direct(self.rest, sent_query(query), tuple(passed))

    def named(self, headers: Headers) -> dict[str, tuple[bytes, ...]]:
        """The headers that the pipeline is given by name."""
        sort = self.route.sort_header
        if sort is None or self.rest is None:
            return {name: headers[raw] for raw, name in self.route.headers if raw in headers}
        # Names with an underscore are dropped, as everywhere.
        return {
            name.decode("latin-1"): values
            for name, values in headers.items()
            if b"_" not in name and sort(name) == "key"
        }
