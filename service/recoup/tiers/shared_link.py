"""The link of an instance to the shared tier: what was invalidated, in its order, and whether the server answers.

One thread follows the stream of invalidations, and applies each in the cache before it takes note of its number. It is
also the circuit breaker's probe: after a failure, operations are skipped until this thread has spoken with the server,
caught up with what it missed, and sent what was invalidated here meanwhile.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from recoup.cache.tier import Invalidation, TierHost
from recoup.tiers import scripts
from recoup.tiers.counts import TierCounts
from recoup.tiers.redis_client import FAILURES, RedisUrl, is_lost

#: How long one read of the stream waits for an entry, and how many are read at once.
_BLOCK_SECONDS: Final = 1.0
_MOST_AT_ONCE: Final = 500
#: Entries that the stream keeps, about: so many invalidations may be missed and caught up with.
STREAM_LENGTH: Final = 10_000
#: Seconds between two attempts to speak with the server; they double from the first to the second.
_FIRST_RETRY, _LAST_RETRY = 0.1, 2.0
#: Invalidations that wait for the server to come back; more of them become one of everything.
_MOST_UNSENT: Final = 1000


class OtherMarksError(Exception):
    """The server has other marks than it had: it was emptied."""


class _Announced:
    """What other instances know of already, and what is still to hold here; with its number, once it has one."""

    def __init__(self, invalidation: Invalidation) -> None:
        self.invalidation = invalidation
        self.number = 0


_LOST: Final[tuple[type[Exception], ...]] = (*FAILURES, OtherMarksError)


class SharedLink:
    """Follows the stream of invalidations.

    Args:
        url: Where the server is.
        prefix: Begins every key.
        timeout_seconds: How long one operation may take.
        counts: Takes the counts.
        clock: Seconds of the Unix epoch.

    Attributes:
        client: For operations.
        is_up: Whether operations are worth a try.
        identity: The `id` of the marks; empty before it is known.
        applied: The number of the last invalidation that holds here. Written under the cache's lock.
    """

    def __init__(
        self, url: RedisUrl, prefix: str, timeout_seconds: float, counts: TierCounts, clock: Callable[[], float]
    ) -> None:
        self._url = url
        self._prefix = prefix
        self._counts = counts
        self._clock = clock
        self.client = self._client = url.client(timeout_seconds)
        self._follower = url.client(timeout_seconds + _BLOCK_SECONDS)
        self._begin = self._client.register_script(scripts.BEGIN)
        self._invalidate = self._client.register_script(scripts.INVALIDATE)
        self._origin = uuid.uuid4().hex
        self._closing = threading.Event()
        self._tripped = threading.Event()
        self._thread: threading.Thread | None = None
        self._host: TierHost | None = None
        self._unsent: list[Invalidation] = []
        #: Those that other instances know of already, and that are still to hold here.
        self._announced: list[_Announced] = []
        self._unsent_lock = threading.Lock()
        self._sending_lock = threading.Lock()
        self._place = "0-0"
        self.is_up = False
        self.identity = ""
        self.applied = 0

    def key(self, *parts: str) -> str:
        """The name of a key in the server."""
        return ":".join((self._prefix, *parts))

    def start(self, host: TierHost) -> None:
        """Begin: one attempt in the caller's thread, so that a server that is there is used at once."""
        self._host = host
        self._recall(host.position())
        try:
            self._synchronise()
        except FAILURES as error:
            self.trip(error)
        self._thread = threading.Thread(target=self._run, name="recoup-shared", daemon=True)
        self._thread.start()

    def close(self, timeout: float | None) -> None:
        """End, with the thread and its connections."""
        self._closing.set()
        self._tripped.set()
        self.is_up = False
        thread, self._thread = self._thread, None
        if thread is not None:
            # It may be waiting for the stream: its connection is closed under it.
            self._disconnect()
            thread.join(timeout)
        self._disconnect()

    def forget(self) -> None:
        """In a child that was forked: the thread and the connections are the parent's."""
        self.is_up = False
        self._thread = None
        self._unsent_lock = threading.Lock()

    # --- the circuit breaker

    def trip(self, error: BaseException) -> None:
        """Leave the server alone until it has answered the thread again."""
        self.is_up = False
        self._tripped.set()
        # An error's text may repeat what is secret; its type does not.
        self._counts.warn("shared_tier_lost", server=str(self._url), kind=type(error).__name__)

    def note(self, error: BaseException) -> None:
        """Take note of an operation that failed."""
        if is_lost(error) or isinstance(error, OtherMarksError):
            self.trip(error)
        else:
            self._counts.warn("shared_tier_refuses", server=str(self._url), kind=type(error).__name__)

    def _run(self) -> None:
        pause = _FIRST_RETRY
        while not self._closing.is_set():
            try:
                if self._tripped.is_set() or not self.is_up:
                    self._synchronise()
                    pause = _FIRST_RETRY
                self._follow()
            except _LOST as error:  # noqa: PERF203  # as long as it runs
                if self._closing.is_set():
                    break
                self.trip(error)
                self._disconnect()
                self._closing.wait(pause)
                pause = min(2 * pause, _LAST_RETRY)

    def _disconnect(self) -> None:
        for client in (self._client, self._follower):
            client.connection_pool.disconnect(inuse_connections=True)

    # --- catching up

    def _synchronise(self) -> None:
        """Speak with the server, catch up, send what waits; then operations are worth a try."""
        self._tripped.clear()
        identity, number, last = self._begin(
            keys=[self.key("marks"), self.key("deleted"), self.key("stream")],
            args=[uuid.uuid4().hex, self.identity, self.applied],
        )
        identity, number, last = identity.decode(), int(number), last.decode()
        if identity != self.identity:
            # What was invalidated since nobody knows. A cache that is new, and has no other tiers, has nothing to lose.
            known = self._host is not None and self._host.has_lasting()
            self._start_from(identity, number, last, drops=bool(self.identity) or known)
        while self.applied < number:
            entries = self._read(block=None)
            try:
                self._apply_all(entries)
            except OtherMarksError:
                entries = []
            if not entries:
                # They are not in the stream any more.
                self._start_from(identity, number, last, drops=True)
        self._send_unsent()
        self.is_up = True
        self._counts.recovered("shared_tier_lost", "shared_tier_is_up")

    def _start_from(self, identity: str, number: int, place: str, *, drops: bool) -> None:
        """Begin at a place in the stream; `drops`: what was invalidated before is not known, so all goes."""

        def then() -> None:
            self.identity, self.applied, self._place = identity, number, place

        if drops and self._host is not None:
            self._counts.warn("shared_tier_invalidations_missed", server=str(self._url))
            self._host.apply(Invalidation(self._clock()), then)
        else:
            then()
        self._keep()

    def _recall(self, text: str) -> None:
        """Take the place that other tiers are past, as an earlier process left it."""
        parts = text.split(" ")
        if len(parts) == 3 and parts[1].isdigit():
            self.identity, self.applied, self._place = parts[0], int(parts[1]), parts[2]

    def _keep(self) -> None:
        if self._host is not None:
            self._host.keep_position(f"{self.identity} {self.applied} {self._place}")

    # --- following

    def _follow(self) -> None:
        entries = self._read(block=_BLOCK_SECONDS)
        if self._tripped.is_set():
            return  # the next round catches up first
        self._apply_all(entries)
        self._send_unsent()

    def _read(self, block: float | None) -> list[tuple[bytes, dict[bytes, bytes]]]:
        answer = self._follower.xread(
            {self.key("stream"): self._place},
            count=_MOST_AT_ONCE,
            block=None if block is None else int(block * 1000),
        )
        return answer[0][1] if answer else []

    def _apply_all(self, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for place, values in entries:
            number = int(values[b"n"])
            if number <= self.applied:
                self._place = place.decode()
                continue
            if number != self.applied + 1:
                raise OtherMarksError  # some are missing, or the server was emptied
            self._apply(place.decode(), number, values)
        if entries:
            self._keep()

    def _apply(self, place: str, number: int, values: dict[bytes, bytes]) -> None:
        def then() -> None:
            self.applied, self._place = number, place

        invalidation = _read_invalidation(values)
        own = values[b"o"].decode() == self._origin
        pending = any(announced.invalidation == invalidation for announced in list(self._announced))
        if (own and not pending) or self._host is None:
            then()  # it holds here already
            return
        # One's own that does not hold yet must hold before its number counts.
        self._host.apply(invalidation, then)
        if not own:
            self._counts.lag(max(0.0, self._clock() - invalidation.at))

    # --- sending

    def announce(self, invalidation: Invalidation) -> None:
        """Let other instances know, now or once the server is there again, of what is about to hold here."""
        announced = _Announced(invalidation)
        self._announced.append(announced)
        if not self.is_up:
            self.send_later(invalidation)
            return
        with self._counts.timed("invalidate"):
            try:
                announced.number = self._send(invalidation)
            except _LOST as error:
                self.send_later(invalidation)
                self.note(error)

    def take_announced(self, invalidation: Invalidation) -> bool:
        """Note that an invalidation holds here, under the cache's lock; whether it was announced."""
        for announced in self._announced:
            if announced.invalidation is invalidation:
                self._announced.remove(announced)
                if announced.number == self.applied + 1:
                    self.applied = announced.number  # all before it hold, too
                return True
        return False

    def send_waiting(self) -> None:
        """Send what is to be sent soon."""
        if self._unsent and self.is_up:
            try:
                self._send_unsent()
            except _LOST as error:
                self.note(error)

    def send_later(self, invalidation: Invalidation) -> None:
        """Let other instances know soon, without waiting."""
        with self._unsent_lock:
            self._unsent.append(invalidation)
            if len(self._unsent) > _MOST_UNSENT:
                self._unsent = [Invalidation(invalidation.at)]

    def _send_unsent(self) -> None:
        while self._unsent:
            with self._sending_lock:
                with self._unsent_lock:
                    invalidation = self._unsent[0] if self._unsent else None
                if invalidation is None:
                    return
                self._send(invalidation)
                with self._unsent_lock:
                    if self._unsent and self._unsent[0] is invalidation:
                        del self._unsent[0]

    def _send(self, invalidation: Invalidation) -> int:
        """Send an invalidation; gives its number."""
        kind, names = "all", list(invalidation.groups)
        if invalidation.key is not None:
            kind, names = "key", [invalidation.key]
        elif names:
            kind = "groups"
        answer = self._invalidate(
            keys=[
                self.key("marks"),
                self.key("deleted"),
                self.key("stream"),
                self.key("result", invalidation.key or ""),
            ],
            args=[
                self.identity,
                self._origin,
                kind,
                invalidation.pipeline or "",
                int(invalidation.soft),
                repr(invalidation.at),
                json.dumps(names, ensure_ascii=False),
                STREAM_LENGTH,
            ],
        )
        if answer == scripts.OTHER_MARKS:
            raise OtherMarksError
        return int(answer)


def _read_invalidation(values: dict[bytes, bytes]) -> Invalidation:
    names, kind = tuple(json.loads(values[b"j"])), values[b"k"]
    return Invalidation(
        at=float(values[b"a"]),
        key=names[0] if kind == b"key" else None,
        groups=names if kind == b"groups" else (),
        pipeline=values[b"p"].decode() or None,
        soft=values[b"s"] == b"1",
    )
