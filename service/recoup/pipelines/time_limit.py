"""`time_limit(seconds)`: an asynchronous context that raises TimeoutError when its block takes longer.

Not `asyncio.wait_for`: before Python 3.12 that makes a task, and an error out of a task that a frame waits for is kept,
with all that its frames hold, until a garbage collection.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Any

# async-timeout is asyncio.timeout's own source, for the Python before it came into the standard library.
_timeouts = import_module("asyncio" if sys.version_info >= (3, 11) else "async_timeout")

#: Takes seconds, or None for no limit.
time_limit: Callable[[float | None], AbstractAsyncContextManager[Any]] = _timeouts.timeout
