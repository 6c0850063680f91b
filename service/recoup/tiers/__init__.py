"""Results beyond this process: the wire format, and the tiers that hold it."""

from __future__ import annotations

from recoup.tiers.codecs import NumpyCodec
from recoup.tiers.disk import DiskTier

__all__ = ["DiskTier", "NumpyCodec"]
