"""How results are written in tiers: bytes, content type, kept headers, status and entity tag."""

from __future__ import annotations

from typing import Any

from recoup.cache.tier import Payload
from recoup.pipelines.protocol import Result


class ResultCodec:
    """Writes `Result`s as payloads, and reads them back. A `PayloadCodec`."""

    def to_payload(self, value: Any) -> Payload:
        """Write a result.

        Raises:
            TypeError: It is none, or may answer nobody but its own caller.
        """
        if not isinstance(value, Result):
            raise TypeError(f"expected a result of a pipeline, not {type(value).__qualname__}")
        if not value.storable or not value.shared or value.kept_out:
            raise TypeError("the result is for its own caller alone")
        return Payload(value.body, value.content_type, value.headers, value.status, value.etag)

    def from_payload(self, payload: Payload) -> Result:
        """Read a result. One with the status of an error is a refusal: no other is ever stored with one."""
        return Result(
            payload.body,
            payload.content_type,
            payload.etag,
            status=payload.status,
            headers=payload.headers,
            refused=payload.status >= 400,
        )
