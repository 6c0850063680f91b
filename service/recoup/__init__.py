"""Recoup: a result cache for slow, expensive generation work that shows whether it pays."""

from __future__ import annotations

__version__ = "0.1.0"
