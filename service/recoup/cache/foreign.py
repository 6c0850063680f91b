"""Keys and sizes of values of numpy, pandas, Pillow and others, which the core does not import.

It knows them by the names of their classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recoup.errors import KeyDigestError, UnmeasurableError


def content_of(kind: type) -> Callable[[Any], Any] | None:
    """What gives a value of simpler types for a value of a library's class; None for any other class."""
    for owner in kind.__mro__:
        package = owner.__module__.partition(".")[0]
        if package == "numpy":
            if owner.__name__ == "MaskedArray":
                return _masked
            if owner.__name__ == "ndarray":
                return _array if owner is kind else _array_with_attributes
            if owner.__name__ == "generic":
                return _array
            if owner.__name__ == "dtype":
                return _dtype
        elif package == "pandas":
            content = _PANDAS.get(owner.__name__)
            if content is not None:
                return content
    return None


def _array(value: Any) -> tuple[Any, ...]:
    if value.dtype.hasobject:
        raise KeyDigestError("an array of Python objects cannot be part of a key: pass key=..., or a list")
    return (_dtype(value.dtype), tuple(value.shape), value.tobytes())


def _dtype(value: Any) -> str:
    # The short form of a type with fields names none of them.
    return repr(value) if value.names or value.metadata else str(value.str)


def _array_with_attributes(value: Any) -> tuple[Any, ...]:
    return (_array(value), dict(getattr(value, "__dict__", None) or {}))


def _masked(value: Any) -> tuple[Any, ...]:
    hidden = {"_mask", "_fill_value", "_basedict"}
    added = {name: held for name, held in vars(value).items() if name not in hidden}
    mask = value.mask
    data = value.data
    return (_array(data), _array(mask), _array(value.fill_value), added)


def _values(value: Any) -> tuple[Any, ...]:
    """The values of a series or an index: as an array, or each for itself where they are Python objects."""
    dtype = value.dtype
    kind = f"{type(dtype).__name__}:{dtype}"
    if getattr(dtype, "hasobject", True):
        if hasattr(dtype, "categories"):
            return (kind, _index(dtype.categories), bool(dtype.ordered), _array(value.array.codes))
        return (kind, list(value.array))
    return (kind, _array(value.to_numpy()))


def _index(value: Any) -> tuple[Any, ...]:
    if value.nlevels > 1:
        return (list(value.names), [_index(level) for level in value.levels], [_array(codes) for codes in value.codes])
    return (value.name, _values(value), str(getattr(value, "freq", None)))


def _series(value: Any) -> tuple[Any, ...]:
    return (value.name, _index(value.index), _values(value), dict(value.attrs), _flags(value), _set_by_hand(value))


def _frame(value: Any) -> tuple[Any, ...]:
    columns = [_values(value.iloc[:, number]) for number in range(value.shape[1])]
    return (_index(value.columns), _index(value.index), columns, dict(value.attrs), _flags(value), _set_by_hand(value))


def _flags(value: Any) -> bool:
    return bool(value.flags.allows_duplicate_labels)


def _set_by_hand(value: Any) -> dict[str, Any]:
    """Attributes that a subclass or a program adds to a frame or a series; those of pandas itself begin with `_`."""
    return {name: held for name, held in vars(value).items() if not name.startswith("_")}


def _time(value: Any) -> tuple[Any, ...]:
    return (
        value.isoformat(),
        getattr(value, "tzinfo", None),
        getattr(value, "fold", 0),
        str(getattr(value, "unit", "")),
    )


_PANDAS: dict[str, Callable[[Any], Any]] = {
    "DataFrame": _frame,
    "Series": _series,
    "Index": _index,
    "Timestamp": _time,
    "Timedelta": _time,
    "NaTType": lambda value: "NaT",
    "NAType": lambda value: "NA",
    "Period": lambda value: (value.ordinal, value.freqstr),
    "Interval": lambda value: (value.left, value.right, value.closed),
}


# --- sizes

#: Classes whose data lies outside Python's view, and that do not say how much it is.
_UNMEASURABLE = {
    ("torch", "Tensor"): "element_size() * nelement()",
    ("pyvips", "Image"): "width * height * bands",
    ("cv2", "UMat"): "get().nbytes",
    ("tensorflow", "Tensor"): "numpy().nbytes",
}


def foreign_size(item: Any) -> tuple[int, list[Any]] | None:
    """The bytes that an object owns outside Python's view, and its parts that Python sees; None: all is in view.

    Raises:
        UnmeasurableError: They cannot be measured.
    """
    kind = type(item)
    own = getattr(kind, "__recoup_size__", None)
    if own is not None:
        return int(own(item)), []
    package = kind.__module__.partition(".")[0]
    if package in _IN_VIEW:
        return None
    for owner in kind.__mro__:
        package, name = owner.__module__.partition(".")[0], owner.__name__
        if package == "pandas":
            if name in ("DataFrame", "Series"):
                return _pandas_size(item)
            if name == "Index":
                return _index_size(item)
        elif package == "PIL" and name == "Image":
            return _image_size(item)
        elif package == "pyarrow" and name in ("Table", "RecordBatch", "_PandasConvertible", "Array", "ChunkedArray"):
            return int(item.nbytes), []
        elif (package, name) in _UNMEASURABLE:
            raise UnmeasurableError(
                f"a {package}.{name} owns memory that Python does not see: pass the cache a sizer=..., a function that "
                f"gives a value's bytes ({_UNMEASURABLE[package, name]})"
            )
    return None


_IN_VIEW = frozenset({"builtins", "numpy", "collections", "datetime", "recoup"})


def _pandas_size(item: Any) -> tuple[int, list[Any]]:
    usage = item.memory_usage(index=False, deep=False)
    data = int(usage) if isinstance(usage, int) or not hasattr(usage, "sum") else int(usage.sum())
    columns = [item.iloc[:, number] for number in range(item.shape[1])] if item.ndim > 1 else [item]
    objects = [value for column in columns if _holds_objects(column) for value in column.array]
    indexes = [item.index, item.columns] if item.ndim > 1 else [item.index]
    return data, [*objects, *indexes, dict(item.attrs)]


def _holds_objects(column: Any) -> bool:
    return bool(getattr(column.dtype, "hasobject", False)) or getattr(column.dtype, "storage", "") == "python"


def _index_size(item: Any) -> tuple[int, list[Any]]:
    if item.nlevels > 1:
        return sum(int(codes.nbytes) for codes in item.codes), list(item.levels)
    return int(item.memory_usage(deep=False)), list(item.array) if _holds_objects(item) else []


def _image_size(item: Any) -> tuple[int, list[Any]]:
    width, height = item.size
    # One byte for a pixel of these modes; four for all others, as Pillow stores them.
    pixel = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}.get(item.mode, 4)
    return width * height * pixel, [dict(item.info)]
