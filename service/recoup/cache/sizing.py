"""How many bytes an object holds.

The deep measure follows containers and attributes and counts a shared object once. It is an estimate of what the
interpreter allocates: `sys.getsizeof` of each object, rounded up as the allocator rounds, arrays by their data.
"""

from __future__ import annotations

import enum
import gc
import sys
import types
import weakref
from collections.abc import Hashable
from typing import Any

from recoup.cache.entry import CacheEntry, KeptEntry, PricedEntry
from recoup.cache.foreign import foreign_size
from recoup.cache.ghosts import BYTES_PER_ENTRY

#: The allocator hands out multiples of this many bytes.
ALIGNMENT = 16
ROUNDING = ALIGNMENT - 1
_getsizeof = sys.getsizeof

#: Shared by the whole program, so no entry's own.
_SHARED = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.CodeType,
    weakref.ref,
    enum.Enum,
    bool,
    type(None),
    type(Ellipsis),
    type(NotImplemented),
)
_LEAVES = (int, float, complex, str)
_SMALL_INTEGERS = range(-5, 257)

_FLOAT = 32  # 24 bytes, rounded up
_INTEGER = 32  # 28 bytes, rounded up
_BYTES_HEADER = 48  # 33 bytes and the rounding of the block
#: A slot of a dictionary that is between half and fully loaded, keys and index together, on average.
_DICTIONARY_SLOT = 36


def rounded(size: int) -> int:
    """A size as the allocator rounds it."""
    return size + ROUNDING & -ALIGNMENT


#: Bytes of bookkeeping for one entry beside its key and its value: the entry itself; the times of storing, expiry,
#: check and use; its size and cost; a slot in the dictionary; its share of the memory of what left; and the header and
#: rounding of its value. `benchmarks` holds it against the growth of a process.
ENTRY_OVERHEAD = (
    rounded(sys.getsizeof(CacheEntry.__new__(CacheEntry)))
    + 4 * _FLOAT
    + _INTEGER
    + _DICTIONARY_SLOT
    + BYTES_PER_ENTRY
    + _BYTES_HEADER
)
#: Bytes of a price, and of the larger entry that has one; most have none.
PRICE_BYTES = (
    _FLOAT
    + rounded(sys.getsizeof(PricedEntry.__new__(PricedEntry)))
    - rounded(sys.getsizeof(CacheEntry.__new__(CacheEntry)))
)
#: What an entry takes more that may answer past its expiry: its slots, and when it is generated anew.
KEPT_BYTES = (
    rounded(sys.getsizeof(KeptEntry.__new__(KeptEntry)))
    - rounded(sys.getsizeof(CacheEntry.__new__(CacheEntry)))
    + 2 * _FLOAT
)


def measure(value: Any) -> int:
    """The bytes that a value holds.

    `bytes` count by length, arrays (whatever has `nbytes`) by their data, views by what they keep alive, everything
    else by the deep measure. Modules, classes and functions are the program's and count nothing. Frames and series of
    pandas and images of Pillow count with the data that they own outside Python's view; so does whatever has a method
    `__recoup_size__()`.

    Raises:
        UnmeasurableError: An object owns a buffer that cannot be seen: a `sizer` is needed.
    """
    if type(value) is bytes:
        return len(value)
    return _deep(value)


def measure_key(key: Hashable) -> int:
    """The bytes that a key holds."""
    # Nearly every key is text: no call for the rounding.
    return _getsizeof(key) + ROUNDING & -ALIGNMENT if type(key) is str else _deep(key)


def _deep(root: Any) -> int:
    total = 0
    seen: set[int] = set()
    stack = [root]
    # Referents are kept alive while they are measured: an id may be given again otherwise.
    kept: list[Any] = []
    while stack:
        item = stack.pop()
        if id(item) in seen or isinstance(item, _SHARED):
            continue
        seen.add(id(item))
        kept.append(item)
        foreign = foreign_size(item)
        if foreign is not None:
            outside, parts = foreign
            total += rounded(object.__sizeof__(item)) + outside
            stack.extend(parts)
            continue
        total += _nested_array(item) if item is not root and _is_array(item) else _shallow(item)
        if not isinstance(item, (*_LEAVES, bytes, bytearray)):
            stack.extend(_parts(item))
    return total


def _shallow(item: Any) -> int:
    if type(item) is int and item in _SMALL_INTEGERS:
        return 0
    if isinstance(item, str) and len(item) <= 1:
        return 0  # the interpreter keeps one of each
    if _is_array(item):
        return int(item.nbytes) if _base(item) is None else 0
    return rounded(sys.getsizeof(item)) + _inline_attributes(item)


def _nested_array(item: Any) -> int:
    """An array inside another value: its header counts, too, which for the value itself is part of the overhead."""
    if _base(item) is not None:
        return rounded(sys.getsizeof(item))
    data = int(item.nbytes)
    return rounded(max(0, sys.getsizeof(item) - data)) + rounded(data)


def _inline_attributes(item: Any) -> int:
    """Bytes of attribute values that `getsizeof` does not see: kept beside the object until someone asks for a dict."""
    if type(item).__dictoffset__ == 0:
        return 0
    referents = gc.get_referents(item)
    if any(type(referent) is dict for referent in referents):
        return 0  # a dictionary of its own: counted as a part
    return rounded(8 * (len(referents) + 2)) if referents else 0


def _is_array(item: Any) -> bool:
    return isinstance(getattr(type(item), "nbytes", None), (property, types.GetSetDescriptorType))


def _base(item: Any) -> Any:
    """What a view keeps alive; None for an array that owns its data."""
    return item.obj if isinstance(item, memoryview) else getattr(item, "base", None)


def _parts(item: Any) -> list[Any]:
    if not _is_array(item):
        # A dictionary whose keys are all text does not tell the collector of them.
        return [*gc.get_referents(item), *dict.keys(item)] if isinstance(item, dict) else gc.get_referents(item)
    base = _base(item)
    if base is not None:
        return [base]
    if getattr(getattr(item, "dtype", None), "hasobject", False):
        return list(item.flat)
    return []
