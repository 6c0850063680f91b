"""An upstream that is nothing but a socket: a test says byte by byte what it does on each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .loops import PATIENCE

#: What a test does with one connection; it is closed afterwards.
Script = Callable[["Peer"], None]


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number  # of the connection, from 0 on
        self._buffer = b""

    def request(self) -> bytes | None:
        """One request, head and body; None when the client closed before its end."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        while len(rest) < length:
            if not self._more():
                return None
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        return head + b"\r\n\r\n" + rest[:length]

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes) -> None:
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def wait_for_more(self) -> None:
        """Wait until something came, or the client closed; nothing is read."""
        self.sock.recv(1, socket.MSG_PEEK)

    def rest(self) -> bytes:
        """What comes until the client closes, in order or, where something was unread, by a reset."""
        with contextlib.suppress(ConnectionResetError):
            while self._more():
                pass
        return self._buffer

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)


class RawUpstream:
    """What a test holds of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[bytes] = []
        self.connections = 0
        self.faults: list[BaseException] = []


@contextmanager
def raw_upstream(script: Script) -> Iterator[RawUpstream]:
    """Serve until the block ends; what a script asserts holds, or the test fails."""
    listening = socket.create_server(("127.0.0.1", 0))
    upstream = RawUpstream(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    threads: list[threading.Thread] = []

    def talk(peer: Peer) -> None:
        with peer.sock:
            peer.sock.settimeout(PATIENCE)
            try:
                script(peer)
            except ConnectionError:
                return  # the client may go at any moment
            except BaseException as fault:
                upstream.faults.append(fault)

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed: the end
            while True:
                sock, _ = listening.accept()
                threads.append(threading.Thread(target=talk, args=(Peer(sock, upstream.connections),)))
                upstream.connections += 1
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield upstream
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        acceptor.join(PATIENCE)
        listening.close()
        for thread in threads:
            thread.join(PATIENCE)
    assert not upstream.faults, upstream.faults
