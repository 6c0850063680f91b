"""Large bodies on their way: nobody waits for one of them, and nothing is sent to a reader who has left."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from recoup.in_flight import InFlight
from recoup.web.sending import PIECE_BYTES, PIECES_A_ROUND, Caller, Deliveries

PIECES, READERS = 100, 40
BODY = bytes(range(256)) * (PIECES * PIECE_BYTES // 256)


class Connection:
    """A server's two functions for one request; it takes whatever comes at once, as with a queue that never fills."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.sent: list[bytes] = []
        self.receiving = 0

    async def receive(self) -> dict[str, Any]:
        self.receiving += 1
        try:
            await self.left.wait()
        finally:
            self.receiving -= 1
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        body = message.get("body", b"")
        assert type(body) is bytes, "Granian takes in anything else byte by byte"
        self.sent.append(body)


async def deliver(deliveries: Deliveries, connection: Connection) -> None:
    caller = Caller(connection.receive)
    try:
        await deliveries.begin(BODY).send(caller, connection.send, 200, [])
    finally:
        caller.close()


def test_a_round_of_the_loop_has_some_pieces_however_many_readers_there_are() -> None:
    async def sent_in_rounds() -> list[int]:
        connections = [Connection() for _ in range(READERS)]
        deliveries = Deliveries(InFlight(2**30))
        tasks = [asyncio.ensure_future(deliver(deliveries, connection)) for connection in connections]
        seen = []
        while not all(task.done() for task in tasks):
            seen.append(sum(len(connection.sent) for connection in connections))
            await asyncio.sleep(0)
        assert [BODY] * READERS == [b"".join(connection.sent) for connection in connections]
        return [after - before for before, after in itertools.pairwise(seen)]

    # Of each the head as well, or the last piece, which needs no turn.
    assert max(asyncio.run(sent_in_rounds())) <= 2 * PIECES_A_ROUND


def test_readers_have_their_turns_one_after_the_other() -> None:
    async def shares() -> list[int]:
        connections = [Connection() for _ in range(READERS)]
        deliveries = Deliveries(InFlight(2**30))
        tasks = [asyncio.ensure_future(deliver(deliveries, connection)) for connection in connections]
        while not tasks[0].done():
            await asyncio.sleep(0)
        shares = [len(connection.sent) for connection in connections]
        await asyncio.gather(*tasks)
        return shares

    assert min(asyncio.run(shares())) >= PIECES - 1


def test_who_is_cancelled_while_waiting_for_a_turn_delays_nobody() -> None:
    async def sent() -> list[int]:
        connections = [Connection() for _ in range(READERS)]
        deliveries = Deliveries(InFlight(2**30))
        tasks = [asyncio.ensure_future(deliver(deliveries, connection)) for connection in connections]
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks, timeout=60)
        assert 0 == deliveries.count
        return [len(connection.sent) for connection in connections]

    assert PIECES + 1 == asyncio.run(sent())[0]


def test_a_reader_who_has_left_is_sent_nothing_more() -> None:
    async def sent() -> int:
        connection, budget = Connection(), InFlight(2**30)
        deliveries = Deliveries(budget)
        task = asyncio.ensure_future(deliver(deliveries, connection))
        while len(connection.sent) < 10:
            await asyncio.sleep(0)
        connection.left.set()
        await task
        assert (0, 0) == (deliveries.count, budget.used()["results"])
        return len(connection.sent)

    assert asyncio.run(sent()) < 15


def test_a_delivery_leaves_nobody_waiting_for_its_reader_to_leave() -> None:
    async def waiting() -> int:
        connection = Connection()
        await deliver(Deliveries(InFlight(2**30)), connection)
        await asyncio.sleep(0)
        return connection.receiving

    assert 0 == asyncio.run(waiting())
