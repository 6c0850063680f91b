"""The scripted upstream answers what its request asks for."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.hostile.client import CLOSED, Answer, Connection, ask, request
from benchmarks.hostile.upstream import PLAIN, script, upstream

GOOD = (PLAIN, "102", "103", "late-103", "surplus", "unasked", "idle-close")


async def _asked(body: bytes) -> Answer:
    async with upstream() as address:
        return await ask(address, request("POST", "/mirror", body, [("Authorization", "me")]))


@pytest.mark.parametrize("behaviour", GOOD)
def test_the_right_answer_names_its_caller_and_its_request(behaviour: str) -> None:
    answer = asyncio.run(_asked(behaviour.encode() + b" 1"))
    assert ("200", f"me {behaviour} 1".encode()) == (answer.status, answer.body)


def test_without_a_body_the_query_says_what_to_answer() -> None:
    async def asked() -> Answer:
        async with upstream() as address:
            return await ask(address, request("GET", "/fetched?do=103+7"))

    assert ("200", b"nobody 103 7") == ((answer := asyncio.run(asked())).status, answer.body)


def test_the_target_that_was_asked_for_can_be_the_answer() -> None:
    async def asked() -> Answer:
        async with upstream() as address:
            return await ask(address, request("POST", "/fixed?model=ours", b"target"))

    assert b"/fixed?model=ours" == asyncio.run(asked()).body


def test_an_answer_that_nobody_asked_for_follows() -> None:
    async def both() -> list[bytes]:
        async with upstream() as address:
            connection = await Connection.open(address)
            try:
                await connection.send(request("POST", "/mirror", b"unasked"))
                return [(await connection.answer()).body for _ in range(2)]
            finally:
                connection.close()

    assert [b"nobody unasked", b"another's answer"] == asyncio.run(both())


def test_the_connection_is_closed_a_moment_after_the_answer() -> None:
    async def again() -> str:
        async with upstream() as address:
            connection = await Connection.open(address)
            try:
                await connection.send(request("POST", "/mirror", b"idle-close"))
                await connection.answer()
                await connection.answer()
            except OSError:
                return CLOSED
            finally:
                connection.close()
        return "open"

    assert CLOSED == asyncio.run(asyncio.wait_for(again(), 30))


def test_gzip_members_are_sent_as_they_are() -> None:
    answer = asyncio.run(_asked(b"gzip 100 1"))
    assert ("gzip", 2000) == (answer.header("content-encoding"), len(answer.body))


def test_an_unknown_behaviour_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        script("none", b"", "")
