"""The service's hold on one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

from recoup.errors import GenerationFailedError, GenerationTimeoutError, WorkerDiedError
from recoup.pipelines.frames import Frame, receive_frame_async, send_frame_async, unpack_aside
from recoup.pipelines.time_limit import time_limit
from recoup.pipelines.worker_process import command

#: A worker that has not finished its initializer by then counts as dead.
START_SECONDS = 60.0
#: How long a worker may take to go by itself once its end is certain.
_EXIT_SECONDS = 1.0
#: How long is waited to learn how one ended that closed its connection: it is nice, so it may take long to be gone.
_LAST_WORD_SECONDS = 10.0
#: The first and the longest pause between two looks at whether a process is gone, in seconds.
_EXIT_PAUSES = (0.001, 0.05)


class RemoteTraceback(Exception):  # noqa: N818  # it is a cause that prints, never raised
    """The traceback of an error in a worker, as text: the `__cause__` of the error that `run` raises."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


class NotBegunError(WorkerDiedError):
    """The worker died before it began: another can have the request."""


class Worker:
    """One worker process, used by one task at a time. Made in a thread: it waits for the process to be there.

    Args:
        environment: The environment of the process, whole.

    Raises:
        OSError: There is no process to be had.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                    command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=2,  # a generator's prints are no part of the service's output
                    pass_fds=(theirs.fileno(),),
                    env=environment,
                )
        except BaseException:
            self._channel.close()
            raise

    async def warm_up(self, greeting: Frame) -> None:
        """Send the greeting, and wait until the initializer is through.

        Raises:
            WorkerDiedError: It died, or was not through within `START_SECONDS`.
            GenerationFailedError: The initializer raised.
        """
        try:
            async with time_limit(START_SECONDS):
                reply = await self._ask(greeting)
        except asyncio.TimeoutError:
            raise WorkerDiedError(f"the worker process did not start within {START_SECONDS:g} seconds") from None
        await unwrap(reply)

    async def _ask(self, frame: Frame) -> Frame:
        async with self._death_as(NotBegunError):
            await send_frame_async(self._channel, frame)
            return await receive_frame_async(self._channel)

    async def call(self, request: Frame, timeout_seconds: float) -> Frame:
        """Send a request, and wait for the reply; `unwrap` reads it.

        Raises:
            NotBegunError: The worker died before it had the request.
            WorkerDiedError: It died afterwards.
            GenerationTimeoutError: It was past the time limit; it still runs.
        """
        try:
            async with time_limit(timeout_seconds):
                await self._ask(request)
                async with self._death_as(WorkerDiedError):
                    return await receive_frame_async(self._channel)
        except asyncio.TimeoutError:
            raise GenerationTimeoutError(f"the generation ran over its {timeout_seconds:g} seconds") from None

    @contextlib.asynccontextmanager
    async def _death_as(self, kind: type[WorkerDiedError]) -> AsyncIterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise kind(f"the worker process {await self._how_it_ended()}") from None

    async def _how_it_ended(self) -> str:
        if not await self._is_gone(_LAST_WORD_SECONDS):
            return "closed its connection"
        code = self._process.returncode
        if code >= 0:
            return f"exited with status {code}"
        return f"was killed by {signal.Signals(-code).name}"

    async def _is_gone(self, seconds: float) -> bool:
        """Wait for the process to be gone, for some seconds at most."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        pause, longest = _EXIT_PAUSES
        while self._process.poll() is None:
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        return True

    def watch(self, died: Callable[[Worker], None]) -> None:
        """Call `died` on the event loop once the process is gone; until `unwatch`, while it has nothing to do."""
        asyncio.get_running_loop().add_reader(self._channel, died, self)

    def unwatch(self) -> None:
        """End what `watch` began."""
        asyncio.get_running_loop().remove_reader(self._channel)

    def kill(self) -> None:
        """End the process and all that it started, now. Whoever waits for its answer gets WorkerDiedError."""
        if self._process.poll() is not None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a process group of its own
        except ProcessLookupError:
            self._process.kill()  # it is so young that it has no group yet

    def dismiss(self) -> None:
        """Close the connection: the worker's sign to go."""
        self._channel.close()

    async def end(self) -> None:
        """Make sure that the process is gone and nothing of it is left."""
        self.dismiss()
        self.kill()
        while not await self._is_gone(_EXIT_SECONDS):
            self.kill()


async def unwrap(reply: Frame) -> Any:
    """What a worker's function returned.

    Raises:
        GenerationFailedError: It raised, or returned what cannot be read.
        RequestError: As the function raised it; so are `GenerationError` and its kinds.
    """
    try:
        succeeded, value, trace = await unpack_aside(reply)
    except Exception as error:
        raise GenerationFailedError(f"the worker's answer cannot be read: {type(error).__name__}: {error}") from error
    if succeeded:
        return value
    try:
        raise value from RemoteTraceback(trace)
    finally:
        # the error's traceback holds this frame: were it to hold the error, both would stay until a collection
        del value
