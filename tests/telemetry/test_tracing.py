"""Identifiers that callers send are taken where they are sound, and never where they are not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.telemetry import parse_traceparent, request_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class TestTraceparent:
    @pytest.mark.parametrize(
        "header",
        [
            f"00-{TRACE}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}-00",
            f"01-{TRACE}-{PARENT}-01",
            f"cc-{TRACE}-{PARENT}-01-what-a-later-version-adds",
        ],
    )
    def test_a_sound_one_gives_its_trace(self, header: str) -> None:
        assert parse_traceparent(header) == TRACE

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "nonsense",
            TRACE,
            f"ff-{TRACE}-{PARENT}-01",
            f"0-{TRACE}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-{PARENT}-01",
            f"00-{TRACE[1:]}-{PARENT}-01",
            f"00-{TRACE}0-{PARENT}-01",
            f"00-{TRACE}-{PARENT}",
            f"00-{TRACE}-{PARENT}-1",
            f"00-{TRACE}-{PARENT}-01-more",
            f"01-{TRACE}-{PARENT}-01more",
            f" 00-{TRACE}-{PARENT}-01",
            f"00-{TRACE}-{PARENT}-01\n",
            f"00-{'g' * 32}-{PARENT}-01",
        ],
    )
    def test_any_other_gives_none(self, header: str | None) -> None:
        assert parse_traceparent(header) is None

    @given(st.text())
    def test_no_text_is_an_error(self, header: str) -> None:
        trace = parse_traceparent(header)

        assert trace is None or re.fullmatch("[0-9a-f]{32}", trace)


class TestRequestId:
    @pytest.mark.parametrize("header", ["1", "a-b_c.d:e/f+g=h@i", "x" * 64, "01HF7YAT31JZHSMW1CG6Q6MHB7"])
    def test_a_safe_one_is_taken(self, header: str) -> None:
        assert header == request_id(header)

    @pytest.mark.parametrize(
        "header",
        [None, "", "x" * 65, "a b", "a\n", "a\r\nSet-Cookie: b=c", "\x1b[31m", 'a"b', "{a}", "a;b", "é", "a\x00"],
    )
    def test_for_any_other_a_new_one_is_made(self, header: str | None) -> None:
        assert re.fullmatch("[0-9a-f]{32}", request_id(header))

    def test_new_ones_differ(self) -> None:
        assert 1000 == len({request_id(None) for _ in range(1000)})

    def test_one_always_fits_an_exemplar(self) -> None:
        assert len("trace_id") + len(request_id("x" * 64)) <= 128
