"""How the serving process' memory allocators treat results: blocks of a megabyte that come and go in many threads.

There are two: the C library's, which Python uses, and jemalloc, which Granian has inside. As they are, both keep what
was freed for themselves, by thread, and the process holds half as much again as the cache does.
"""

from __future__ import annotations

import ctypes
import os

#: What jemalloc reads when Granian is imported (its prefix is that of Rust's `tikv-jemallocator`).
_JEMALLOC = "_RJEM_MALLOC_CONF"
#: Parameters of glibc's `mallopt`, from <malloc.h>.
_MMAP_THRESHOLD, _MMAP_MAX = -3, -4
#: Bytes from which a block is mapped by itself, and goes back to the system when it is freed: glibc begins with this,
#: but raises it to the size of the first block that is freed.
_LARGE_BYTES = 128 * 1024
#: Blocks mapped at one time; the kernel lets a process have 65530 mappings, and threads need some, too.
_MOST_MAPPED = 32768


def share_answers_memory() -> None:
    """Have Granian take the memory for answers from one place, not from four for each core.

    Call it before Granian is imported. What the environment says already stays.
    """
    os.environ.setdefault(_JEMALLOC, "narenas:1")


def return_large_blocks() -> bool:
    """Have large blocks go back to the system when they are freed. Call it in the process that serves.

    Returns:
        Whether the C library takes the setting; only glibc needs it. What the environment says already stays.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or "mmap_threshold" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE_BYTES) and mallopt(_MMAP_MAX, _MOST_MAPPED))
