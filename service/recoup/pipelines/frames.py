"""Frames between the service and its worker processes: a pickled value, with large `bytes` beside the pickle.

A frame is a head (the length of the pickle, the number of parts), the length of each part, the pickle, and the parts.
Large `bytes` are parts: they are neither copied nor hold up the event loop, however large they are. Both ends are this
package in one and the same installation, joined by a socket pair that nobody else holds.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

_HEAD = struct.Struct("!QI")
_LENGTH = struct.Struct("!Q")
#: `bytes` from this length on are parts.
_PART_BYTES = 1 << 16
#: One read from the socket, at most.
_READ_BYTES = 1 << 18
#: Bytes after which others have their turn: asyncio takes and gives what the socket has at once, without a pause.
_TURN_BYTES = 1 << 21
#: A pickle from this length on is read in a thread: that may take over a millisecond.
_LARGE_PICKLE = 1 << 18


class Frame(NamedTuple):
    """One value on its way between two processes."""

    pickled: bytes
    parts: Sequence[bytes]

    def head(self) -> bytes:
        """All that goes before the parts."""
        lengths = [_LENGTH.pack(len(part)) for part in self.parts]
        return b"".join((_HEAD.pack(len(self.pickled), len(lengths)), *lengths, self.pickled))


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.parts: list[bytes] = []

    def persistent_id(self, value: Any) -> int | None:
        if type(value) is not bytes or len(value) < _PART_BYTES:
            return None
        self.parts.append(value)
        return len(self.parts) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, frame: Frame) -> None:
        super().__init__(io.BytesIO(frame.pickled))
        self._parts = frame.parts

    def persistent_load(self, index: int) -> bytes:
        return self._parts[index]


def pack(value: Any) -> Frame:
    """The frame of a value.

    Raises:
        Exception: Whatever pickling it raises.
    """
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return Frame(file.getvalue(), pickler.parts)


def unpack(frame: Frame) -> Any:
    """The value of a frame from a process of our own.

    Raises:
        Exception: Whatever unpickling it raises.
    """
    return _Unpickler(frame).load()


async def unpack_aside(frame: Frame) -> Any:
    """`unpack`, and in a thread where it takes long."""
    if len(frame.pickled) < _LARGE_PICKLE:
        return unpack(frame)
    return await asyncio.to_thread(unpack, frame)


def send_frame(channel: socket.socket, frame: Frame) -> None:
    """Send a frame, and wait until it is sent.

    Raises:
        OSError: The other side is gone.
    """
    channel.sendall(frame.head())
    for part in frame.parts:
        channel.sendall(part)


def receive_frame(channel: socket.socket) -> Frame:
    """Wait for a frame.

    Raises:
        EOFError: The other side closed.
        OSError: The other side is gone.
    """

    def read(length: int) -> bytes:
        buffer = io.BytesIO()
        while left := length - buffer.tell():
            buffer.write(_not_empty(channel.recv(min(left, _READ_BYTES))))
        return buffer.getvalue()

    pickled, count = _HEAD.unpack(read(_HEAD.size))
    lengths = [length for (length,) in _LENGTH.iter_unpack(read(count * _LENGTH.size))]
    return Frame(read(pickled), [read(length) for length in lengths])


async def send_frame_async(channel: socket.socket, frame: Frame) -> None:
    """`send_frame` over a socket that does not block; the event loop goes on."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(channel, frame.head())
    for part in frame.parts:
        view = memoryview(part)  # sent without copies
        for start in range(0, len(view), _TURN_BYTES):
            await loop.sock_sendall(channel, view[start : start + _TURN_BYTES])
            await asyncio.sleep(0)


async def receive_frame_async(channel: socket.socket) -> Frame:
    """`receive_frame` from a socket that does not block; the event loop goes on."""
    loop = asyncio.get_running_loop()

    async def read(length: int) -> bytes:
        # BytesIO gives its buffer away without a copy: one of 50 MB would hold up the loop.
        buffer, turn = io.BytesIO(), _TURN_BYTES
        while left := length - buffer.tell():
            buffer.write(_not_empty(await loop.sock_recv(channel, min(left, _READ_BYTES))))
            if buffer.tell() >= turn:
                turn = buffer.tell() + _TURN_BYTES
                await asyncio.sleep(0)
        return buffer.getvalue()

    pickled, count = _HEAD.unpack(await read(_HEAD.size))
    lengths = [length for (length,) in _LENGTH.iter_unpack(await read(count * _LENGTH.size))]
    return Frame(await read(pickled), [await read(length) for length in lengths])


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise EOFError
    return data
