"""The built-in pipeline `relief`: an image becomes a watertight, printable relief mesh."""

from __future__ import annotations

from recoup.pipelines.relief.pipeline import ReliefPipeline

__all__ = ["ReliefPipeline"]
