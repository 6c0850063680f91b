"""Refusals of an upstream that are stored, on their way through a tier."""

from __future__ import annotations

from dataclasses import replace

from recoup.pipelines.protocol import Result
from recoup.pipelines.refusals import error_of, stored_refusal
from recoup.pipelines.result_codec import ResultCodec


def test_a_refusal_that_is_stored_is_read_back_as_one() -> None:
    """From a tier it must not come back as a result: under `/api/generate/` it is a problem."""
    head = Result(b"", "application/json", "-", status=404)
    refused = replace(stored_refusal(head, [(b"x-code", b"7")], 30.0), body=b"{}", etag="")
    codec = ResultCodec()
    back = codec.from_payload(codec.to_payload(refused))

    assert (True, 404, b"{}", ((b"x-code", b"7"),)) == (back.refused, back.status, back.body, back.headers)
    assert 404 == error_of(back).status
    assert not codec.from_payload(codec.to_payload(Result(b"{}", "application/json"))).refused
