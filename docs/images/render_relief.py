"""Draw a photograph beside the relief that is made of it: the picture in the README.

    python docs/images/render_relief.py examples/photo.jpg docs/images/relief.png

The mesh is the one that the service answers a bare image with. A small software renderer draws it: a z-buffer, one
lamp with a shadow map, and a plane to stand on.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image, ImageFilter

from recoup.pipelines.relief.generation import generate
from recoup.pipelines.relief.parameters import Parameters

SIZE = (1500, 620)  # of the picture, in pixels
PHOTO_WIDTH = 560
OVERSAMPLING = 2
PAPER = np.array([246, 245, 242]) / 255
PLASTER = np.array([240, 226, 204]) / 255
LAMP = np.array([-0.80, 0.42, 0.62])  # where the light comes from: low, so that the relief throws shadows
SHADOW_MAP = 1600
SMALL = (2, 4, 8, 16)  # pixels: triangles of these sizes are drawn all at once
CREASE = np.cos(np.radians(50))  # sharper edges than this stay edges


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def corner_normals(points, faces):
    """A normal for each corner: smooth over the relief, sharp at its rim."""
    raw = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    sums = np.zeros_like(points)
    for corner in range(3):
        np.add.at(sums, faces[:, corner], raw)
    smooth, flat = unit(sums)[faces], unit(raw)[:, None, :]
    return np.where((smooth * flat).sum(-1, keepdims=True) > CREASE, smooth, flat)


def rasterise(screen, faces, width, height):
    """The nearest face at each pixel (-1: none), and where in it, as weights of its corners."""
    depth = np.full(width * height, np.inf)
    face_at = np.full(width * height, -1)
    weights = np.zeros((width * height, 3))
    corners = screen[faces]
    low = np.floor(corners[:, :, :2].min(axis=1)).astype(int)
    high = np.ceil(corners[:, :, :2].max(axis=1)).astype(int)
    extent = (high - low).max(axis=1)
    smaller = -1
    for size in SMALL:
        members = np.flatnonzero((extent <= size) & (extent > smaller))
        smaller = size
        for dx in range(size + 1):
            for dy in range(size + 1):
                draw(corners, members, low[members] + (dx, dy), (width, height), depth, face_at, weights)
    for face in np.flatnonzero(extent > smaller):
        box = np.clip(low[face], 0, (width, height)), np.clip(high[face], 0, (width, height))
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(*box, strict=True))), axis=-1).reshape(-1, 2)
        draw(corners, np.full(len(grid), face), grid, (width, height), depth, face_at, weights)
    return depth.reshape(height, width), face_at.reshape(height, width), weights.reshape(height, width, 3)


def draw(corners, members, pixels, size, depth, face_at, weights):
    """Put one pixel of each member into the buffers where it is inside and nearer than what is there."""
    a, b, c = (corners[members, i] for i in range(3))
    p = pixels + 0.5

    def side(u, v):
        return (v[:, 0] - u[:, 0]) * (p[:, 1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (p[:, 0] - u[:, 0])

    areas = np.stack([side(b, c), side(c, a), side(a, b)], axis=1)
    total = areas.sum(axis=1)
    shares = areas / np.where(total == 0, 1, total)[:, None]
    z = (shares * np.stack([a[:, 2], b[:, 2], c[:, 2]], axis=1)).sum(axis=1)
    inside = (shares >= -1e-9).all(axis=1) & (total != 0)
    inside &= ((pixels >= 0) & (pixels < size)).all(axis=1)
    at = np.clip(pixels[:, 1], 0, size[1] - 1) * size[0] + np.clip(pixels[:, 0], 0, size[0] - 1)
    chosen = np.flatnonzero(inside & (z < depth[at]))
    chosen = chosen[np.argsort(-z[chosen], kind="stable")]  # of several on one pixel, the nearest is written last
    depth[at[chosen]], face_at[at[chosen]], weights[at[chosen]] = z[chosen], members[chosen], shares[chosen]


def look(points, eye, target, focal, size):
    """Perspective: pixels across and down, and the distance."""
    forward = unit(target - eye)
    right = unit(np.cross(forward, (0.0, 0.0, 1.0)))
    up = np.cross(right, forward)
    x, y, z = (points - eye) @ right, (points - eye) @ up, (points - eye) @ forward
    return np.stack([size[0] / 2 + focal * x / z, size[1] / 2 - focal * y / z, z], axis=1)


def shadow(points, faces, where, normals):
    """How much of the lamp each place sees, from 0 to 1, with a soft edge."""
    lamp = unit(LAMP)
    across = unit(np.cross(lamp, (0.0, 0.0, 1.0)))
    along = np.cross(across, lamp)
    frame = np.stack([across, along, -lamp], axis=1)
    plane = points @ frame
    low, high = plane[:, :2].min(axis=0), plane[:, :2].max(axis=0)
    scale = (SHADOW_MAP - 1) / (high - low).max()
    seen = np.column_stack([(plane[:, :2] - low) * scale, plane[:, 2]])
    depth, _, _ = rasterise(seen, faces, SHADOW_MAP, SHADOW_MAP)
    spot = (where + normals * 0.12) @ frame
    xy = (spot[:, :2] - low) * scale
    lit = np.zeros(len(where))
    offsets = [(x, y) for x in range(-6, 7, 2) for y in range(-6, 7, 2)]
    for dx, dy in offsets:
        at = np.floor(xy + np.array([dx, dy])).astype(int)
        outside = ((at < 0) | (at >= SHADOW_MAP)).any(axis=1)
        column, row = np.clip(at, 0, SHADOW_MAP - 1).T
        lit += outside | (depth[row, column] > spot[:, 2] - 0.05)
    return lit / len(offsets)


def render(points, faces, size):
    """A picture of the mesh, lying on paper, seen from the front and above."""
    width, height = (side * OVERSAMPLING for side in size)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - (*centre[:2], 0.0)
    span = np.ptp(points, axis=0).max()
    eye, target = np.array([0.22, -0.95, 1.35]) * span, np.array([0.0, -0.005 * span, 0.0])
    screen = look(points, eye, target, 1.30 * width, (width, height))
    _, face_at, weights = rasterise(screen, faces, width, height)
    drawn = face_at >= 0
    corner = faces[face_at[drawn]]
    share = weights[drawn] / screen[corner, 2]  # perspective-correct
    share /= share.sum(axis=1, keepdims=True)
    where = (points[corner] * share[:, :, None]).sum(axis=1)
    normal = unit((corner_normals(points, faces)[face_at[drawn]] * share[:, :, None]).sum(axis=1))
    picture = ground(points, faces, eye, target, 1.30 * width, (width, height))
    picture[drawn] = PLASTER * light(where, normal, points, faces)[:, None]
    return picture


def light(where, normal, points, faces):
    lamp = np.clip(normal @ unit(LAMP), 0, 1) * shadow(points, faces, where, normal)
    sky = 0.5 + 0.5 * normal[:, 2]
    return 0.20 + 0.24 * sky + 0.80 * lamp


def ground(points, faces, eye, target, focal, size):
    """The paper that it lies on, with its shadow."""
    forward = unit(target - eye)
    right = unit(np.cross(forward, (0.0, 0.0, 1.0)))
    up = np.cross(right, forward)
    x, y = np.meshgrid(np.arange(size[0]) + 0.5 - size[0] / 2, size[1] / 2 - np.arange(size[1]) - 0.5)
    rays = forward + (x[..., None] * right + y[..., None] * up) / focal
    where = (eye - rays * (eye[2] / rays[..., 2:])).reshape(-1, 3)
    normal = np.broadcast_to((0.0, 0.0, 1.0), where.shape)
    span = np.ptp(points, axis=0).max()
    near = (np.abs(where[:, :2]) < 0.75 * span).all(axis=1)
    lit = np.ones(len(where))
    lit[near] = shadow(points, faces, where[near], normal[near])
    return (PAPER * (0.72 + 0.28 * lit)[:, None]).reshape(size[1], size[0], 3)


def picture_of(pixels, size):
    image = Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))
    return image.resize(size, Image.Resampling.LANCZOS)


def compose(photo, relief):
    """The photograph, with a soft shadow, to the left of the relief."""
    canvas = Image.new("RGB", SIZE, tuple((PAPER * 255).astype(int)))
    canvas.paste(relief, (SIZE[0] - relief.width, 0))
    photo = photo.resize((PHOTO_WIDTH, round(PHOTO_WIDTH * photo.height / photo.width)), Image.Resampling.LANCZOS)
    at = (40, (SIZE[1] - photo.height) // 2)
    shade = Image.new("L", SIZE, 0)
    shade.paste(110, (at[0] + 3, at[1] + 6, at[0] + photo.width + 3, at[1] + photo.height + 6))
    canvas.paste((60, 55, 50), mask=shade.filter(ImageFilter.GaussianBlur(9)))
    canvas.paste(photo, at)
    return canvas


def main(source: str, target: str) -> None:
    body = Path(source).read_bytes()
    mesh = trimesh.load(io.BytesIO(generate(body, Parameters()).body), file_type="stl")
    points, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    faces = faces[points[faces, 2].max(axis=1) > 0]  # nobody sees it from below
    size = (SIZE[0] - PHOTO_WIDTH - 40, SIZE[1])
    relief = picture_of(render(points, faces, size), size)
    compose(Image.open(io.BytesIO(body)).convert("RGB"), relief).save(target, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
