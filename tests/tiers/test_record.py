"""The wire format: what comes back, what is refused, and what another version reads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.cache.tier import Payload, TierEntry
from recoup.tiers.compression import Compression
from recoup.tiers.record import OtherVersionError, RecordError, decode, encode

from .golden.make import ENTRY, FOLDER, PAYLOAD, golden, of_version
from .mangling import RECORDS, mangled, read, with_checksum

finite = st.floats(allow_nan=False, allow_infinity=False)
costs = st.floats(min_value=0, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))

entries = st.builds(
    TierEntry,
    key=st.text("0123456789abcdef", min_size=32, max_size=32),
    pipeline=texts.filter(bool),
    value=st.none(),
    created_at=finite,
    expires_at=finite | st.just(math.inf),
    cost_seconds=costs,
    price=costs,
    groups=st.lists(texts.filter(bool), max_size=32).map(tuple),
    fingerprint=st.binary(max_size=64),
)
payloads = st.builds(
    Payload,
    body=st.binary(max_size=4096) | st.binary(min_size=1, max_size=4).map(lambda piece: piece * 500),
    content_type=texts,
    headers=st.lists(st.tuples(st.binary(max_size=64), st.binary(max_size=64)), max_size=5).map(tuple),
    status=st.integers(0, 999),
    etag=texts,
)


@given(entries, payloads)
def test_what_is_written_is_read(entry: TierEntry, payload: Payload) -> None:
    record = decode(encode(entry, payload, Compression()), entry.key)
    assert (entry, payload) == (record.entry, record.payload)


def test_a_record_belongs_to_one_key() -> None:
    assert ENTRY == decode(encode(ENTRY, PAYLOAD), ENTRY.key).entry
    with pytest.raises(RecordError, match="another key"):
        decode(encode(ENTRY, PAYLOAD), "f" * 32)


def test_what_this_version_writes_is_what_it_wrote_when_it_was_released() -> None:
    assert (FOLDER / "version-1.bin").read_bytes() == encode(ENTRY, PAYLOAD)


@pytest.mark.parametrize("name", golden())
def test_the_golden_records_are_those_of_their_maker(name: str) -> None:
    assert (FOLDER / name).read_bytes() == golden()[name]


@pytest.mark.parametrize("name", ["version-1.bin", "version-2.bin"])
def test_this_version_and_the_next_one_that_only_adds_are_read(name: str) -> None:
    record = decode((FOLDER / name).read_bytes())
    assert (ENTRY, PAYLOAD) == (record.entry, record.payload)


@pytest.mark.parametrize(("version", "readable_from"), [(3, 2), (255, 255), (0, 0), (2, 3), (0, 1)])
def test_a_record_of_a_version_that_cannot_be_read_is_told_from_a_broken_one(version: int, readable_from: int) -> None:
    with pytest.raises(OtherVersionError, match=f"version {version}"):
        decode(of_version(encode(ENTRY, PAYLOAD), version, readable_from))


def test_a_version_is_believed_only_where_the_checksum_holds() -> None:
    record = bytearray((FOLDER / "version-3.bin").read_bytes())
    record[-1] ^= 1
    with pytest.raises(RecordError, match="checksum") as caught:
        decode(bytes(record))
    assert not isinstance(caught.value, OtherVersionError)


def test_no_mangled_record_is_read() -> None:
    """`python -m tests.tiers.mangling` does it with 100,000."""
    assert all(map(read, RECORDS))
    assert 0 == sum(map(read, mangled(5000, seed=1)))


def test_fields_that_make_no_sense_are_refused_and_nothing_else_is_raised() -> None:
    """As a record whose checksum is right, whoever wrote it: `read` lets through all but a `RecordError`."""
    outcomes = [read(with_checksum(data)) for data in mangled(5000, seed=2)]
    assert not all(outcomes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"created_at": math.nan},
        {"created_at": math.inf},
        {"expires_at": math.nan},
        {"expires_at": -math.inf},
        {"cost_seconds": -1.0},
        {"cost_seconds": math.inf},
        {"price": -0.5},
    ],
    ids=str,
)
def test_a_number_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        decode(encode(replace(ENTRY, **wrong), PAYLOAD))


def test_an_error_does_not_repeat_what_is_in_a_record() -> None:
    data = with_checksum(
        encode(ENTRY, Payload(b"secret", "secret")).replace(b"\x00\x00\x00\x06secret", b"\x00\x00\xff\xffsecret")
    )
    with pytest.raises(RecordError) as caught:
        decode(data)
    assert "secret" not in str(caught.value)
