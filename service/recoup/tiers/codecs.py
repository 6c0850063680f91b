"""A codec for arrays of numpy, in numpy's own format, without pickle."""

from __future__ import annotations

from io import BytesIO
from typing import Any


class NumpyCodec:
    """For values that are `numpy.ndarray`, of any type but `object`: `ResultCache(codec=NumpyCodec())`.

    An array comes back as an array of its own with the same type, shape and order; not as a view, and none of a
    subclass.
    """

    content_type = "application/x-npy"

    def encode(self, value: Any) -> bytes:
        """An array in the NPY format.

        Raises:
            TypeError: It is no array, or of a subclass.
            ValueError: It holds objects, which only pickle could write.
        """
        import numpy as np

        if type(value) is not np.ndarray:
            raise TypeError(f"the codec of numpy stores arrays, not {type(value).__qualname__}")
        if value.dtype.hasobject:
            raise ValueError("an array of objects cannot be stored without pickle")
        target = BytesIO()
        np.lib.format.write_array(target, value, allow_pickle=False)
        return target.getvalue()

    def decode(self, data: bytes) -> Any:
        """The array of bytes in the NPY format.

        Raises:
            ValueError: They are not of it, or hold pickled objects.
        """
        import numpy as np

        source = BytesIO(data)
        array = np.lib.format.read_array(source, allow_pickle=False)
        if source.read(1):
            raise ValueError("there is more than one array")
        return array
