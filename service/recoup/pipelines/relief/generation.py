"""What a worker process does: the whole way from an image's bytes to a mesh file.

The service's own process imports this module to name its functions; the numerical libraries are loaded inside them,
and so in the workers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from recoup.pipelines.protocol import Result
from recoup.pipelines.relief.parameters import Parameters


class _Quality(NamedTuple):
    samples: int  # along the longer side
    keep: float  # the share of the triangles that simplification leaves


_QUALITIES: Mapping[str, _Quality] = {
    "preview": _Quality(256, 0.25),
    "standard": _Quality(800, 0.12),
    "fine": _Quality(1200, 0.12),
}
CONTENT_TYPES: Mapping[str, str] = {"stl": "model/stl", "glb": "model/gltf-binary"}


def warm_up() -> None:
    """Load the libraries, so that no request pays for it."""
    from recoup.pipelines.relief import export, image, mesh, surface  # noqa: F401


def generate(body: bytes, parameters: Parameters) -> Result:
    """The relief of an image. The same arguments give the same bytes.

    Raises:
        UnprocessableError: The image cannot be decoded, or is too large or too narrow.
    """
    from recoup.pipelines.relief import export, image, mesh, surface

    quality = _QUALITIES[parameters.quality]
    grid, ratio = image.brightness(body, quality.samples)
    heights = surface.heights(grid, parameters.smoothing, parameters.invert)
    flat = not heights.any()
    if flat:
        heights = heights[:2, :2]  # a slab needs no more
    # samples are the unit in which simplification weighs height against width
    samples_per_mm = quality.samples / (parameters.width_mm * max(1.0, ratio))
    solid = mesh.solid(heights * parameters.depth_mm * samples_per_mm, parameters.base_mm * samples_per_mm)
    size = (
        parameters.width_mm,
        parameters.width_mm * ratio,
        parameters.base_mm + (0.0 if flat else parameters.depth_mm),
    )
    relief = mesh.sized(solid, size) if flat else mesh.simplify(solid, quality.keep, size, parameters.base_mm)
    write = export.stl if parameters.format == "stl" else export.glb
    return Result(write(relief), CONTENT_TYPES[parameters.format])
