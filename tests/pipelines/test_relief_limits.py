"""Images that are odd, huge or hostile: decoded as their format says, within limits, or refused in words."""

from __future__ import annotations

import io
import re
import struct
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image

from recoup.errors import UnprocessableError
from recoup.pipelines.relief import image as decoding
from recoup.pipelines.relief import mesh as meshing
from recoup.pipelines.relief.generation import generate
from recoup.pipelines.relief.parameters import Parameters

WHITE = 1.0


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, colour: int, row: bytes, *chunks: bytes, size: tuple[int, int] = (16, 16)) -> bytes:
    """A PNG (PNG, 5) of sixteen rows that are all the same, whatever its header says."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress((b"\0" + row) * 16))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


def grey_row(depth: int, left: int, right: int) -> bytes:
    """Eight samples of one grey and eight of another."""
    bits = "".join(format(value, f"0{depth}b") for value in [left] * 8 + [right] * 8)
    return int(bits, 2).to_bytes(2 * depth, "big")


def halves(body: bytes) -> tuple[float, float]:
    """The brightness well within the left half and the right half."""
    grid, _ = decoding.brightness(body, 16)
    return float(grid[8, 2]), float(grid[8, 13])


def photograph(kind: str) -> bytes:
    """Noise, so that every part of the file has pixels in it."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


class TestDamage:
    def test_a_png_with_noise_instead_of_pixels_is_refused(self):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 600, 400, 8, 2, 0, 0, 0))
        body = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", bytes(range(256)) * 100)
        with pytest.raises(UnprocessableError, match="it is damaged"):
            decoding.brightness(body, 16)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    @pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
    def test_an_image_that_is_cut_short_is_refused(self, kind, part):
        body = photograph(kind)
        assert decoding.brightness(body, 16)[0].shape == (16, 16)
        with pytest.raises(UnprocessableError, match=r"it is damaged|it is none of them"):
            decoding.brightness(body[: int(len(body) * part)], 16)


class TestTransparency:
    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_the_grey_that_a_png_calls_transparent_is_as_white_as_paper(self, depth):
        """Black is transparent, and something brighter is not."""
        bright = 2**depth - 1
        key = chunk(b"tRNS", struct.pack(">H", 0))
        body = png(depth, 0, grey_row(depth, 0, bright), key)
        assert halves(body) == pytest.approx((WHITE, 1.0), abs=0.02)
        assert halves(png(depth, 0, grey_row(depth, 0, bright))) == pytest.approx((0.0, 1.0), abs=0.02)

    @pytest.mark.parametrize("depth", [2, 4, 8, 16])
    def test_and_no_other_grey_is(self, depth):
        step = 2**depth // 4
        body = png(depth, 0, grey_row(depth, step, 0), chunk(b"tRNS", struct.pack(">H", step)))
        assert halves(body) == pytest.approx((WHITE, 0.0), abs=0.02)

    @pytest.mark.parametrize("depth", [8, 16])
    def test_nor_a_colour_but_the_one_that_is_called_so(self, depth):
        kind = ">HHH" if depth == 16 else ">BBB"
        scale = 257 if depth == 16 else 1
        red, blue = (struct.pack(kind, *(part * scale for part in colour)) for colour in ((200, 3, 4), (0, 0, 40)))
        key = chunk(b"tRNS", struct.pack(">HHH", *(part * scale for part in (200, 3, 4))))
        left, right = halves(png(depth, 2, red * 8 + blue * 8, key))
        assert left == pytest.approx(WHITE, abs=0.02)
        assert right < 0.1

    @pytest.mark.parametrize("near", [(0x12, 0x3457, 0x89AB), (0x13, 0x3456, 0x89AB), (0x12, 0x3456, 0x88AB)])
    def test_of_sixteen_bits_every_bit_counts(self, near):
        """What differs in the last bit alone is not transparent: Pillow drops the lower eight."""
        colour = (0x12, 0x3456, 0x89AB)
        row = struct.pack(">HHH", *colour) * 8 + struct.pack(">HHH", *near) * 8
        for key, expected in ((colour, (True, False)), (near, (False, True)), ((0, 0, 0), (False, False))):
            brightness = halves(png(16, 2, row, chunk(b"tRNS", struct.pack(">HHH", *key))))
            assert expected == tuple(value == pytest.approx(WHITE, abs=0.02) for value in brightness)

    def test_nor_is_a_grey_that_differs_in_its_last_bit(self):
        body = png(16, 0, grey_row(16, 0x1234, 0x1235), chunk(b"tRNS", struct.pack(">H", 0x1234)))
        assert halves(body) == pytest.approx((WHITE, 0x1235 / 0xFFFF), abs=0.02)

    def test_sixteen_bits_and_eight_give_the_same_relief(self):
        """A hole in the middle of black: 4.97 mm high with either depth."""
        tops = []
        for depth in (8, 16):
            grey = 2**depth // 2
            body = png(depth, 0, grey_row(depth, grey, 0), chunk(b"tRNS", struct.pack(">H", grey)))
            mesh = trimesh.load(io.BytesIO(generate(body, Parameters(quality="preview")).body), file_type="stl")
            left = mesh.vertices[(mesh.vertices[:, 0] < 20) & (mesh.vertices[:, 2] > 1)]  # type: ignore[attr-defined]
            tops.append(np.median(left[:, 2]))
        assert tops == pytest.approx([5.0, 5.0], abs=0.05)


class TestMetadata:
    @pytest.mark.parametrize(
        "metadata",
        [
            chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a text " * 300_000)),
            chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a text " * 300_000)),
            chunk(b"tEXt", b"Comment\0" + b"a text " * 300_000),
            chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1_500_000))),
            chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a text " * 300_000)) * 10,
        ],
        ids=["compressed text", "international text", "text", "colour profile", "ten texts"],
    )
    def test_what_does_not_belong_to_the_picture_does_not_hinder_it(self, metadata):
        assert halves(png(8, 0, grey_row(8, 0, 255), metadata)) == pytest.approx((0.0, 1.0), abs=0.02)


def progressive_jpeg(scans: int) -> bytes:
    """A progressive JPEG with its last scan repeated."""
    file = io.BytesIO()
    Image.linear_gradient("L").save(file, "JPEG", progressive=True)
    body = file.getvalue()
    start = body.rindex(b"\xff\xda")
    return body[:start] + body[start:-2] * (scans - body[:start].count(b"\xff\xda")) + b"\xff\xd9"


class TestLimits:
    def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(self, monkeypatch):
        monkeypatch.setattr(decoding, "_grey", None)
        with pytest.raises(UnprocessableError, match="more than 100 scans"):
            decoding.brightness(progressive_jpeg(2001), 256)

    def test_one_of_as_many_as_are_allowed_is_not(self):
        grid, _ = decoding.brightness(progressive_jpeg(100), 256)
        assert grid[0].mean() < grid[-1].mean()

    def test_scans_of_a_picture_within_the_picture_do_not_count(self):
        """An application segment may hold a thumbnail, a JPEG itself, and what comes after the end is no scan."""
        file = io.BytesIO()
        Image.linear_gradient("L").save(file, "JPEG")
        body = file.getvalue()
        thumbnail = b"\xff\xda\x00\x02" * 2_000
        segment = b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
        decoding.brightness(body[:2] + segment + body[2:] + thumbnail, 256)

    def test_decoding_ends_with_its_time(self, monkeypatch):
        monkeypatch.setattr(decoding, "MAX_SECONDS", -1.0)
        with pytest.raises(UnprocessableError, match="takes longer to decode than"):
            decoding.brightness(progressive_jpeg(10), 256)

    @pytest.mark.parametrize("size", [(40_000, 40_000), (7_100, 7_100), (2**31 - 1, 2**31 - 1)])
    def test_an_image_of_too_many_pixels_is_refused_with_the_limit(self, size):
        with pytest.raises(UnprocessableError) as raised:
            decoding.brightness(png(8, 0, grey_row(8, 0, 255), size=size), 256)
        assert str(raised.value) == f"the image has {size[0]} x {size[1]} pixels; at most 50,000,000 can be generated"

    @pytest.mark.parametrize(
        "body",
        [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", progressive_jpeg(10)[:300], b"RIFF____WEBP"],
        ids=["nothing", "GIF", "a PNG's beginning", "a JPEG's beginning", "a WebP's beginning"],
    )
    def test_a_refusal_names_nothing_of_the_programs(self, body):
        with pytest.raises(UnprocessableError, match="cannot be decoded as PNG, JPEG or WebP") as raised:
            decoding.brightness(body, 256)
        assert not re.search(r"Error|Exception|0x|<", str(raised.value))


def strip(width: int, height: int, noise: bool) -> bytes:
    generator = np.random.default_rng(3)
    grid = (
        generator.integers(0, 255, (height, width), dtype=np.uint8)
        if noise
        else np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    )
    file = io.BytesIO()
    Image.fromarray(grid).save(file, "PNG")
    return file.getvalue()


class TestPlate:
    @pytest.mark.parametrize("noise", [False, True], ids=["gradient", "noise"])
    @pytest.mark.parametrize("quality", ["preview", "standard"])
    @pytest.mark.parametrize("size", [(1000, 20), (20, 1000), (1000, 100)], ids=str)
    @pytest.mark.parametrize(("base_mm", "depth_mm"), [(2.0, 3.0), (0.2, 30.0)])
    def test_no_part_of_any_relief_is_thinner_than_its_base(self, size, quality, noise, base_mm, depth_mm):
        parameters = Parameters(quality=quality, base_mm=base_mm, depth_mm=depth_mm)
        mesh = trimesh.load(io.BytesIO(generate(strip(*size, noise), parameters).body), file_type="stl")  # type: ignore[call-arg]
        heights = mesh.vertices[:, 2]  # type: ignore[attr-defined]
        assert mesh.is_watertight  # type: ignore[attr-defined]
        assert heights[heights > 0.0].min() == pytest.approx(base_mm)
        sample = 80.0 / 256
        assert meshing.has_plate(meshing.Mesh(mesh.vertices, mesh.faces), base_mm, sample)  # type: ignore[attr-defined]

    def test_a_plate_with_a_dent_is_none(self):
        body = meshing.solid(np.ones((30, 30)), 2.0)
        assert meshing.has_plate(body, 2.0, 1.0)
        dented = body.points.copy()
        dented[30 * 15 + 15, 2] = 0.0
        assert not meshing.has_plate(meshing.Mesh(dented, body.faces), 2.0, 1.0)
