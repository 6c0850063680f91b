"""Generation over HTTP, asynchronous from socket to socket: hits, misses, followers, refusals."""

from __future__ import annotations
