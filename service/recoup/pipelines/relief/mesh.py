"""The solid: a height field becomes a closed mesh with walls and a base, and then one of fewer triangles."""

from __future__ import annotations

from dataclasses import dataclass

import fast_simplification  # type: ignore[import-untyped]
import manifold3d  # type: ignore[import-not-found]
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int32]
Edges = npt.NDArray[np.int64]
Size = tuple[float, float, float]  # from side to side, from front to back, from bottom to top

#: The error of Manifold's simplification, where it must take over: samples.
_TOLERANCE = 0.1
#: How patiently the error that is allowed grows from pass to pass. A higher number is faster and rougher.
_AGGRESSION = 5.0
#: That error starts from a fixed, tiny length; with samples this long, hardly a pass is wasted on it.
_SCALE = 0.1
#: What hangs on the body by one edge and has at most so many faces is no part of it.
_LARGEST_BUBBLE = 500


@dataclass(frozen=True, slots=True)
class Mesh:
    """A triangle mesh: points, and three of their indices for each face, anticlockwise seen from outside."""

    points: Points
    faces: Faces


def is_solid(mesh: Mesh) -> bool:
    """Whether it is one closed, consistently oriented body: a sphere, as topology sees it."""
    if not len(mesh.faces):
        return False
    start, end = mesh.faces.ravel().astype(np.int64), np.roll(mesh.faces, -1, axis=1).ravel().astype(np.int64)
    count = len(mesh.points)
    forth, back = np.sort(start * count + end), np.sort(end * count + start)
    # every edge is used once each way
    closed = bool(np.array_equal(forth, back)) and bool((np.diff(forth) > 0).all())
    used = np.count_nonzero(np.bincount(mesh.faces.ravel(), minlength=count))
    euler = used - len(forth) // 2 + len(mesh.faces)
    return closed and bool(euler == 2)


def solid(surface: Points, base: float) -> Mesh:
    """Close a height field into a body that stands on z = 0.

    Args:
        surface: Heights by row and column, one sample apart, above the base; the first row is the farthest in y.
        base: The thickness of the base, in samples, too.
    """
    rows, columns = surface.shape
    grid = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    ring = np.concatenate([grid[0, :-1], grid[:-1, -1], grid[-1, :0:-1], grid[:0:-1, 0]])
    top = np.empty((rows * columns, 3))
    top[:, 0] = np.tile(np.arange(columns), rows)
    top[:, 1] = np.repeat(np.arange(rows)[::-1], columns)
    top[:, 2] = surface.ravel() + base
    bottom = top[ring] * (1.0, 1.0, 0.0)
    centre = [[(columns - 1) / 2, (rows - 1) / 2, 0.0]]
    return Mesh(np.concatenate([top, bottom, centre]), np.concatenate([_top(grid), _sides(ring, len(top))]))


def _top(grid: Faces) -> Faces:
    a, b, c, d = (part.ravel() for part in (grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]))
    return np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])


def _sides(ring: Faces, first: int) -> Faces:
    """The walls from the ring around the surface down to its shadow, and a fan from there to the base's centre."""
    low = np.arange(first, first + len(ring), dtype=np.int32)
    ring_next, low_next = np.roll(ring, -1), np.roll(low, -1)
    centre = np.full_like(low, first + len(ring))
    return np.concatenate(
        [
            np.stack([ring, ring_next, low], axis=1),
            np.stack([ring_next, low_next, low], axis=1),
            np.stack([low, low_next, centre], axis=1),
        ]
    )


def simplify(mesh: Mesh, keep: float, size: Size, base: float) -> Mesh:
    """The same body, `sized`, with a share of about `keep` of the triangles, spent where the surface bends.

    Quadric edge collapse (Garland, Heckbert 1997), mended and checked; where it tore the body or its plate all the
    same, the slower collapse of Manifold, which cannot; and were that to fail, the body as it is.

    Args:
        mesh: The body, a sample apart.
        keep: A share, from 0 to 1.
        size: As `sized` takes it.
        base: The thickness of the plate, in the unit of `size`.
    """
    sample = size[0] / np.ptp(mesh.points[:, 0])
    for collapse in (_collapse_most, _collapse_surely):
        simplified = mend(weld(with_plate(sized(collapse(mesh, keep), size), base)))
        if is_solid(simplified) and has_plate(simplified, base, sample):
            return simplified
    return sized(mesh, size)


def with_plate(mesh: Mesh, base: float) -> Mesh:
    """The same body with nothing between its bottom and the top of its plate: collapsing may have left points there."""
    points = mesh.points.copy()
    height = points[:, 2]
    height[height < base / 2] = 0.0
    height[(height > 0.0) & (height < base)] = base
    return Mesh(points, mesh.faces)


def has_plate(mesh: Mesh, base: float, tolerance: float) -> bool:
    """Whether the plate is whole: only its walls lead from its bottom to its top.

    Args:
        mesh: A body on z = 0, from the origin on.
        base: The thickness of the plate.
        tolerance: How far from the walls' planes a point of a wall may be.
    """
    corners = mesh.points[mesh.faces]
    low = corners[:, :, 2] < base / 2
    between = corners[low.any(axis=1) & ~low.all(axis=1)][:, :, :2]
    far = np.ptp(mesh.points[:, :2], axis=0)
    on_wall = (between <= tolerance).all(axis=1) | (between >= far - tolerance).all(axis=1)
    return bool(on_wall.any(axis=1).all())


def _collapse_most(mesh: Mesh, keep: float) -> Mesh:
    points, faces = fast_simplification.simplify(
        (mesh.points * _SCALE).astype(np.float32), mesh.faces, target_reduction=1.0 - keep, agg=_AGGRESSION
    )
    return Mesh(points.astype(np.float64) / _SCALE, faces.astype(np.int32))


def _collapse_surely(mesh: Mesh, _keep: float) -> Mesh:
    body = manifold3d.Manifold(manifold3d.Mesh64(mesh.points, mesh.faces.astype(np.uint64)))
    simplified = body.simplify(_TOLERANCE).to_mesh64()
    points = np.asarray(simplified.vert_properties, dtype=np.float64)[:, :3]
    return Mesh(points, np.asarray(simplified.tri_verts).astype(np.int32))


def weld(mesh: Mesh) -> Mesh:
    """Make one of points that are one in single precision: a file knows them by their coordinates alone."""
    points, index = np.unique(mesh.points.astype(np.float32), axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces].astype(np.int32)
    distinct = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(points.astype(np.float64), faces[distinct])


def mend(mesh: Mesh) -> Mesh:
    """Cut off the bubbles that collapsing may leave: a few faces that hang on the body by one edge, used twice."""
    ends = np.sort(np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges = ends[:, 0].astype(np.int64) * len(mesh.points) + ends[:, 1]
    order = np.argsort(edges, kind="stable")
    ordered = edges[order]
    removed: set[int] = set()
    for doubled in np.unique(ordered[:-2][ordered[:-2] == ordered[2:]]):
        for start in _faces_at(doubled, ordered, order) - removed:
            removed |= _bubble(start, doubled, edges, ordered, order)
    if not removed:
        return mesh
    return Mesh(mesh.points, np.delete(mesh.faces, sorted(removed), axis=0))


def _faces_at(edge: np.int64, ordered: Edges, order: Edges) -> set[int]:
    first, last = np.searchsorted(ordered, edge, "left"), np.searchsorted(ordered, edge, "right")
    return set((order[first:last] // 3).tolist())


def _bubble(start: int, border: np.int64, edges: Edges, ordered: Edges, order: Edges) -> set[int]:
    """The faces that are reached from one without crossing the border; none where they are many: the body itself."""
    reached, frontier = {start}, [start]
    while frontier and len(reached) <= _LARGEST_BUBBLE:
        face = frontier.pop()
        for edge in edges[3 * face : 3 * face + 3]:
            if edge != border:
                around = _faces_at(edge, ordered, order) - reached
                reached |= around
                frontier.extend(around)
    return set() if frontier or len(reached) > _LARGEST_BUBBLE else reached


def sized(mesh: Mesh, size: Size) -> Mesh:
    """The same body from the origin to exactly `size`: collapsing may have shaved off a peak."""
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    return Mesh((mesh.points - low) / (high - low) * size, mesh.faces)
