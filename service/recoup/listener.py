"""The listening socket: one service to a port, and nobody's connection held by a peer that takes nothing."""

from __future__ import annotations

import resource
import socket
import sys

from recoup.errors import ConfigurationError

#: Open connections, idle ones included, that are accepted at one time; the rest wait in the kernel's queue.
MOST_CONNECTIONS = 16_384
BACKLOG = 4096
#: Seconds after which a peer that takes nothing of what is sent to it, and one that is gone, is let go.
STALLED_SECONDS = 30
#: Bytes of an answer that the kernel takes before its peer has room for them.
_UNSENT_BYTES = 128 * 1024
#: Descriptors that are kept for everything that is no connection: workers, upstreams, files.
_OWN_DESCRIPTORS = 512


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, and shares the port with nobody.

    The server would open its own with SO_REUSEPORT: two services that are started at one moment would then share the
    port in silence.

    Raises:
        ConfigurationError: It cannot be listened on; says why.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it. Else the end of a large result, which is less than a segment, would wait for the
            # reader's delayed acknowledgement: 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _let_go_of_stalled_peers(listener)
            listener.bind(place)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def _let_go_of_stalled_peers(listener: socket.socket) -> None:
    """Have the kernel close a connection whose peer takes nothing for so long; accepted sockets inherit it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # it covers a full window of the peer's, too (tcp(7)); elsewhere there is no such thing
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2 * STALLED_SECONDS)
        # What its peer has no room for yet, the kernel need not hold; what is on the wire has no limit of ours.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as the system lets them; gives that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_for(descriptors: int) -> int:
    """How many connections may be open at one time with so many descriptors.

    Accepting stops before descriptors run out: a server that has none left can neither accept nor refuse.
    """
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, descriptors - min(_OWN_DESCRIPTORS, descriptors // 2)))
