"""What a relief is: one closed, printable body of exactly the size that was asked for, from any image."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from recoup.errors import RequestError, UnprocessableError
from recoup.pipelines.relief import image as decoding
from recoup.pipelines.relief import mesh as meshing
from recoup.pipelines.relief.generation import generate
from recoup.pipelines.relief.parameters import Parameters
from recoup.pipelines.relief.surface import guided_filter, heights

PHOTO = (Path(__file__).parents[2] / "examples" / "photo.jpg").read_bytes()
PHOTO_RATIO = 300 / 451


@functools.cache
def relief_of_photo(**parameters):
    """The sample photograph's relief at preview quality, made once for each set of parameters."""
    return generate(PHOTO, Parameters(**{"quality": "preview", **parameters}))


def load(result):
    kind = {"model/stl": "stl", "model/gltf-binary": "glb"}[result.content_type]
    return trimesh.load(io.BytesIO(result.body), file_type=kind, force="mesh")


def mesh_of(body, **parameters):
    return load(generate(body, Parameters(**{"quality": "preview", **parameters})))


def encode(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(width, height):
    """Dark at the left, bright at the right."""
    row = np.linspace(0, 255, width).astype(np.uint8)
    return Image.fromarray(np.tile(row, (height, 1)))


def assert_printable(mesh):
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0
    assert 2 == mesh.euler_number


def height_at(mesh, x, y):
    """The top surface near a place given in parts of width and height."""
    points = mesh.vertices[mesh.vertices[:, 2] > 0.01]
    place = mesh.bounds[0, :2] + np.ptp(mesh.bounds, axis=0)[:2] * (x, y)
    return points[np.argmin(np.linalg.norm(points[:, :2] - place, axis=1)), 2]


class TestPhotograph:
    @pytest.mark.parametrize("quality", ["preview", "standard"])
    def test_it_is_one_closed_body(self, quality):
        assert_printable(load(relief_of_photo(quality=quality)))

    @pytest.mark.parametrize("smoothing", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize("depth_mm", [0.1, 3.0, 100.0])
    def test_it_is_closed_with_any_parameters(self, smoothing, depth_mm):
        assert_printable(load(relief_of_photo(smoothing=smoothing, depth_mm=depth_mm)))

    @pytest.mark.parametrize("size", [(80.0, 3.0, 2.0), (5.0, 0.1, 0.2), (500.0, 100.0, 50.0), (33.3, 7.7, 1.1)])
    def test_it_has_exactly_the_size_that_was_asked_for(self, size):
        width, depth, base = size
        mesh = load(relief_of_photo(width_mm=width, depth_mm=depth, base_mm=base))

        assert mesh.bounds[0] == pytest.approx([0, 0, 0])
        assert mesh.bounds[1] == pytest.approx([width, width * PHOTO_RATIO, base + depth], rel=1e-6)

    def test_no_part_is_thinner_than_the_base(self):
        points = load(relief_of_photo(base_mm=2.0)).vertices

        assert points[points[:, 2] > 0.01, 2].min() >= 2.0 - 0.05

    def test_a_better_quality_has_more_triangles(self):
        preview, standard = load(relief_of_photo()), load(relief_of_photo(quality="standard"))

        assert len(standard.faces) > 3 * len(preview.faces)

    def test_smoothing_makes_the_surface_smoother(self):
        areas = [load(relief_of_photo(smoothing=smoothing)).area for smoothing in (0.0, 0.5, 1.0)]

        assert sorted(areas, reverse=True) == areas
        assert areas[2] < 0.95 * areas[0]

    def test_inverting_turns_high_into_low(self):
        upright, inverted = load(relief_of_photo()), load(relief_of_photo(invert=True))
        plate = 80.0 * 80.0 * PHOTO_RATIO * (2.0 + 2.0 + 3.0)

        assert upright.volume + inverted.volume == pytest.approx(plate, rel=0.01)

    def test_the_same_request_gives_the_same_bytes(self):
        for name in ("stl", "glb"):
            again = generate(PHOTO, Parameters(quality="preview", format=name))

            assert relief_of_photo(format=name) == again

    def test_the_simplified_surface_is_the_photographs(self):
        """Away from the rim, the mean error of the mesh is under a fiftieth of the relief's depth."""
        grid, _ = decoding.brightness(PHOTO, 256)
        surface = heights(grid, 0.5, False)
        mesh = load(relief_of_photo())
        points = mesh.vertices[(mesh.vertices[:, 2] > 2.0) & (mesh.vertices[:, 0] > 1) & (mesh.vertices[:, 0] < 79)]
        row = np.rint((1 - points[:, 1] / mesh.bounds[1, 1]) * (surface.shape[0] - 1)).astype(int)
        column = np.rint(points[:, 0] / 80 * (surface.shape[1] - 1)).astype(int)

        assert np.abs(2.0 + 3.0 * surface[row, column] - points[:, 2]).mean() < 3.0 / 50


class TestFormats:
    def test_stl_is_binary_and_in_millimetres(self):
        result = relief_of_photo(format="stl")

        assert "model/stl" == result.content_type
        assert 84 + 50 * int.from_bytes(result.body[80:84], "little") == len(result.body)
        assert not result.body.startswith(b"solid")
        assert load(result).extents[0] == pytest.approx(80.0)

    def test_stl_normals_point_where_the_corners_turn(self):
        result = relief_of_photo(format="stl")
        faces = np.frombuffer(result.body[84:], np.dtype([("normal", "<f4", 3), ("rest", "V38")]))

        assert np.allclose(np.linalg.norm(faces["normal"], axis=1), 1, atol=1e-3)
        assert np.median(faces["normal"][:, 2]) > 0.3

    def test_glb_is_in_metres_and_has_a_material(self):
        result = relief_of_photo(format="glb")
        mesh = load(result)

        assert "model/gltf-binary" == result.content_type
        assert mesh.extents == pytest.approx([0.080, 0.080 * PHOTO_RATIO, 0.005], rel=1e-6)
        assert 0.0 == mesh.visual.material.metallicFactor
        assert_printable(mesh)

    def test_both_formats_hold_the_same_body(self):
        stl, glb = load(relief_of_photo(format="stl")), load(relief_of_photo(format="glb"))

        assert len(stl.faces) == len(glb.faces)
        assert stl.volume == pytest.approx(glb.volume * 1e9, rel=1e-5)


class TestImages:
    @pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (2, 2), (3, 100), (257, 255)])
    def test_any_size_makes_a_body(self, size):
        mesh = mesh_of(encode(gradient(*size)))

        assert_printable(mesh)
        assert mesh.extents[:2] == pytest.approx([80.0, 80.0 * size[1] / size[0]], rel=1e-5)

    @pytest.mark.parametrize("invert", [False, True])
    @pytest.mark.parametrize("colour", ["black", "white", "#7f7f7f"])
    def test_a_single_colour_makes_a_slab(self, colour, invert):
        mesh = mesh_of(encode(Image.new("RGB", (60, 40), colour)), invert=invert)

        assert_printable(mesh)
        assert mesh.extents == pytest.approx([80.0, 80.0 * 40 / 60, 2.0])
        assert mesh.volume == pytest.approx(80.0 * 80.0 * 40 / 60 * 2.0)

    @pytest.mark.parametrize(
        ("mode", "kind", "options"),
        [
            ("L", "PNG", {}),
            ("1", "PNG", {}),
            ("P", "PNG", {}),
            ("LA", "PNG", {}),
            ("RGBA", "PNG", {}),
            ("I;16", "PNG", {}),
            ("L", "JPEG", {}),
            ("RGB", "JPEG", {"progressive": True}),
            ("CMYK", "JPEG", {}),
            ("RGB", "WEBP", {}),
            ("RGBA", "WEBP", {"lossless": True}),
        ],
    )
    def test_every_kind_of_file_is_dark_at_the_left(self, mode, kind, options):
        picture = gradient(64, 48)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
        else:
            picture = picture.convert("RGB").convert(mode)
        mesh = mesh_of(encode(picture, kind, **options), smoothing=0.0)

        assert_printable(mesh)
        assert height_at(mesh, 0.05, 0.5) < 2.5
        assert height_at(mesh, 0.95, 0.5) > 4.5

    def test_sixteen_bits_are_not_cut_to_eight(self):
        """Steps that eight bits cannot tell apart still make a slope."""
        values = np.tile(np.linspace(30000, 30900, 64).astype(np.uint16), (48, 1))
        grid, _ = decoding.brightness(encode(Image.fromarray(values)), 64)

        assert 0.012 < np.ptp(grid) < 0.015
        assert len(np.unique(grid[20])) > 50

    def test_what_is_transparent_is_white(self):
        picture = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        picture.paste((0, 0, 0, 255), (0, 0, 32, 48))
        mesh = mesh_of(encode(picture), smoothing=0.0)

        assert height_at(mesh, 0.25, 0.5) < 2.1
        assert height_at(mesh, 0.75, 0.5) > 4.9

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_photographs_are_brought_upright(self, orientation):
        """Whatever way the camera was held, the bright corner is where its orientation says."""
        upright = Image.new("L", (60, 40), 0)
        upright.paste(255, (40, 0, 60, 14))  # the right upper corner
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, in the numbers of Pillow
        stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        mesh = mesh_of(encode(stored, "JPEG", exif=exif, quality=95), smoothing=0.0)

        assert mesh.extents[1] == pytest.approx(80.0 * 40 / 60)
        assert [True, False, False, False] == [
            height_at(mesh, x, y) > 4 for x, y in ((0.9, 0.9), (0.1, 0.9), (0.9, 0.1), (0.1, 0.1))
        ]

    def test_broken_exif_does_not_matter(self):
        body = encode(gradient(64, 48), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")

        assert_printable(mesh_of(body))

    @pytest.mark.parametrize(
        "body",
        [
            b"no image",
            PHOTO[:5000],
            PHOTO[:200],
            encode(gradient(64, 48), "GIF"),
            encode(gradient(64, 48), "TIFF"),
            encode(Image.effect_noise((64, 48), 50))[:500],
        ],
        ids=["text", "half", "header", "gif", "tiff", "cut png"],
    )
    def test_what_cannot_be_decoded_is_refused(self, body):
        with pytest.raises(UnprocessableError, match="cannot be decoded"):
            generate(body, Parameters(quality="preview"))

    def test_too_many_pixels_are_refused_before_they_are_decoded(self):
        body = bytearray(encode(gradient(8, 8)))
        body[16:24] = (30_000).to_bytes(4, "big") * 2  # the header's width and height
        body[29:33] = __import__("zlib").crc32(body[12:29]).to_bytes(4, "big")
        with pytest.raises(UnprocessableError):
            generate(bytes(body), Parameters(quality="preview"))

    def test_a_thread_of_an_image_is_refused(self):
        with pytest.raises(UnprocessableError, match="50 times"):
            generate(encode(gradient(51, 1)), Parameters(quality="preview"))

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=300))
    def test_random_bytes_are_refused(self, body):
        with pytest.raises(RequestError):
            generate(body, Parameters(quality="preview"))

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
    def test_damaged_images_make_a_body_or_are_refused(self, kind, data):
        body = bytearray(encode(gradient(24, 16), kind))
        for place in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=4)):
            body[place] = data.draw(st.integers(0, 255))
        try:
            mesh = mesh_of(bytes(body))
        except RequestError:
            return
        assert_printable(mesh)


class TestParts:
    def test_the_filter_leaves_edges_and_flattens_texture(self):
        step = np.where(np.arange(80) < 40, 0.2, 0.8) * np.ones((60, 1))
        texture = 0.02 * (np.indices((60, 80)).sum(axis=0) % 2 * 2 - 1)
        smooth = guided_filter(step + texture, 4, 0.01)

        assert np.abs(smooth[:, 10:30] - 0.2).max() < 0.005
        assert smooth[30, 40] - smooth[30, 39] > 0.45

    def test_the_filter_is_the_published_one(self):
        """Against windows averaged one by one, away from the border."""
        image = np.random.default_rng(1).random((16, 18))
        r, epsilon = 2, 0.05

        def mean(grid):
            out = np.zeros_like(grid)
            for i in range(r, 16 - r):
                for j in range(r, 18 - r):
                    out[i, j] = grid[i - r : i + r + 1, j - r : j + r + 1].mean()
            return out

        variance = mean(image**2) - mean(image) ** 2
        a = variance / (variance + epsilon)
        b = mean(image) * (1 - a)
        expected = mean(a) * image + mean(b)
        inner = (slice(2 * r, -2 * r), slice(2 * r, -2 * r))

        assert guided_filter(image, r, epsilon)[inner] == pytest.approx(expected[inner])

    def test_a_height_field_becomes_a_closed_body_of_known_volume(self):
        mesh = meshing.solid(np.zeros((4, 6)), 2.0)
        checked = trimesh.Trimesh(mesh.points, mesh.faces, process=False)

        assert meshing.is_solid(mesh)
        assert checked.volume == pytest.approx(5 * 3 * 2.0)

    @pytest.mark.parametrize("damage", ["hole", "flipped", "doubled", "empty"])
    def test_the_check_sees_damage(self, damage):
        good = meshing.solid(np.zeros((4, 6)), 2.0)
        faces = {
            "hole": good.faces[1:],
            "flipped": np.concatenate([good.faces[:1, ::-1], good.faces[1:]]),
            "doubled": np.concatenate([good.faces, good.faces]),
            "empty": good.faces[:0],
        }[damage]

        assert not meshing.is_solid(meshing.Mesh(good.points, faces))

    def test_a_bubble_on_one_edge_is_cut_off(self):
        """Where an edge was, two more faces stand on it, back to back."""
        good = meshing.solid(np.zeros((30, 30)), 2.0)
        a, b, _ = good.faces[0].tolist()
        tip = len(good.points)
        bubble = [[a, b, tip], [b, a, tip]]
        points = np.concatenate([good.points, [[0.0, 0.0, 9.0]]])
        mended = meshing.mend(meshing.Mesh(points, np.concatenate([good.faces, np.array(bubble, dtype=np.int32)])))

        assert np.array_equal(good.faces, mended.faces)
        assert meshing.is_solid(mended)

    def test_the_sure_way_takes_over_where_the_fast_one_tore_the_body(self, monkeypatch):
        body = meshing.solid(np.random.default_rng(2).random((40, 50)) * 0.01, 2.0)
        monkeypatch.setattr(meshing, "_collapse_most", lambda mesh, _: meshing.Mesh(mesh.points, mesh.faces[5:]))
        simplified = meshing.simplify(body, 0.1, (49.0, 39.0, 2.0), 1.9)

        assert meshing.is_solid(simplified)
        assert len(simplified.faces) < len(body.faces)
