"""The pipeline `relief`: its requests, its parameters, and its workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoup.errors import BadRequestError, RequestError, UnprocessableError, UnsupportedMediaError
from recoup.fields import Number
from recoup.pipelines.protocol import Prepared, Request
from recoup.pipelines.relief import ReliefPipeline
from recoup.pipelines.relief.parameters import DEFAULTS, SPECIFICATION, Parameters

PHOTO = (Path(__file__).parents[2] / "examples" / "photo.jpg").read_bytes()
PIPELINE = ReliefPipeline(workers=1)
DEFAULT_TEXTS = {
    "quality": ["standard"],
    "width_mm": ["80", "80.0", "8e1", "080", "800e-1"],
    "depth_mm": ["3", "3.00"],
    "base_mm": ["2", "2.0"],
    "smoothing": ["0.5", "0.50", "5e-1"],
    "invert": ["false"],
    "format": ["stl"],
}


def canonical(body=b"image", **query):
    members = {name: (text,) for name, text in query.items()}
    return PIPELINE.prepare(Request(body, "image/png", members)).canonical


class TestRequests:
    @pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "application/octet-stream", None])
    def test_images_are_taken(self, kind):
        assert PIPELINE.prepare(Request(b"image", kind)).canonical == canonical()

    @pytest.mark.parametrize("kind", ["image/gif", "text/plain", "application/json", "", "image/*"])
    def test_other_media_types_are_not(self, kind):
        with pytest.raises(UnsupportedMediaError, match="image/png"):
            PIPELINE.prepare(Request(b"image", kind))

    def test_an_empty_body_is_refused(self):
        with pytest.raises(UnprocessableError):
            PIPELINE.prepare(Request(b"", "image/png"))

    def test_the_body_is_not_copied(self):
        prepared = PIPELINE.prepare(Request(PHOTO, "image/jpeg", {"invert": ("true",)}))

        assert prepared.canonical[1] is PHOTO
        assert prepared.job[0] is PHOTO


class TestCanonical:
    @pytest.mark.parametrize(("name", "text"), [(name, text) for name in DEFAULT_TEXTS for text in DEFAULT_TEXTS[name]])
    def test_a_default_is_the_same_as_nothing(self, name, text):
        assert canonical() == canonical(**{name: text})

    def test_every_default_is_tried(self):
        assert {parameter.name for parameter in SPECIFICATION} == set(DEFAULT_TEXTS)

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("quality", "preview"),
            ("width_mm", "80.1"),
            ("depth_mm", "2"),
            ("base_mm", "3"),
            ("smoothing", "0"),
            ("invert", "true"),
            ("format", "glb"),
        ],
    )
    def test_every_parameter_belongs_to_it(self, name, text):
        assert canonical() != canonical(**{name: text})

    def test_the_body_belongs_to_it(self):
        assert canonical(b"one") != canonical(b"other")

    def test_the_order_does_not_matter(self):
        assert canonical(invert="true", format="glb") == canonical(format="glb", invert="true")

    def test_zero_has_no_sign(self):
        assert canonical(smoothing="0") == canonical(smoothing="-0.0")

    @given(st.floats(5, 500), st.floats(5, 500))
    def test_two_widths_are_equal_when_their_numbers_are(self, one, other):
        assert (one == other) == (canonical(width_mm=repr(one)) == canonical(width_mm=repr(other)))


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ({"colour": ("red",)}, BadRequestError),
            ({"WIDTH_MM": ("80",)}, BadRequestError),
            ({"width_mm": ("80", "80")}, BadRequestError),
            ({"width_mm": ()}, BadRequestError),
            ({"width_mm": ("wide",)}, BadRequestError),
            ({"width_mm": ("",)}, BadRequestError),
            ({"width_mm": ("nan",)}, BadRequestError),
            ({"width_mm": ("inf",)}, BadRequestError),
            ({"width_mm": ("8_0",)}, BadRequestError),
            ({"width_mm": (" 80",)}, BadRequestError),
            ({"width_mm": ("٨٠",)}, BadRequestError),
            ({"width_mm": ("80\n",)}, BadRequestError),
            ({"invert": ("yes",)}, BadRequestError),
            ({"quality": ("best",)}, BadRequestError),
            ({"format": ("STL",)}, BadRequestError),
            ({"width_mm": ("4.99",)}, UnprocessableError),
            ({"width_mm": ("500.01",)}, UnprocessableError),
            ({"width_mm": ("1e999",)}, UnprocessableError),
            ({"depth_mm": ("0",)}, UnprocessableError),
            ({"base_mm": ("-2",)}, UnprocessableError),
            ({"smoothing": ("1.01",)}, UnprocessableError),
        ],
    )
    def test_what_is_wrong_is_refused_and_named(self, query, error):
        with pytest.raises(error, match=next(iter(query))) as caught:
            PIPELINE.prepare(Request(b"image", "image/png", query))

        assert error is type(caught.value)
        assert next(iter(query)) == caught.value.errors[0]["parameter"]

    @given(st.dictionaries(st.sampled_from(sorted(DEFAULT_TEXTS)) | st.text(), st.lists(st.text()).map(tuple)))
    def test_any_query_is_prepared_or_refused(self, query):
        try:
            prepared = PIPELINE.prepare(Request(b"image", "image/png", query))
        except RequestError:
            return
        assert isinstance(prepared, Prepared)

    @pytest.mark.parametrize(
        "parameter", [p for p in SPECIFICATION if isinstance(p.kind, Number)], ids=lambda p: p.name
    )
    def test_bounds_are_allowed_themselves(self, parameter):
        for bound in (parameter.kind.least, parameter.kind.most):
            assert bound == getattr(
                PIPELINE.prepare(Request(b"image", None, {parameter.name: (repr(bound),)})).job[1], parameter.name
            )


class TestDescription:
    def test_every_parameter_is_described_with_its_default(self):
        described = {parameter["name"]: parameter for parameter in PIPELINE.describe()["parameters"]}

        assert list(Parameters.__dataclass_fields__) == list(described)
        for name, parameter in described.items():
            assert getattr(DEFAULTS, name) == parameter["default"]
            assert parameter["description"]
            assert parameter["type"] in ("string", "number", "boolean")

    def test_limits_and_media_types_are_told(self):
        described = ReliefPipeline(workers=3, timeout_seconds=7.0, max_waiting=5, ttl_seconds=60.0).describe()

        assert (3, 7.0, 5, 60.0) == tuple(
            described[name] for name in ("max_concurrent", "timeout_seconds", "max_waiting", "ttl_seconds")
        )
        assert ["model/stl", "model/gltf-binary"] == described["produces"]
        assert "image/webp" in described["accepts"]

    def test_it_keeps_to_the_request_alone(self):
        assert () == PIPELINE.key_headers
        assert {"authorization", "cookie"} == set(PIPELINE.ignore_headers)


@pytest.fixture(scope="module")
def pipeline(loop):
    pipeline = loop.blocking(ReliefPipeline(workers=1))
    pipeline.start()
    yield pipeline
    pipeline.close(0.0)


class TestGeneration:
    def test_a_photograph_becomes_a_mesh_in_a_worker(self, pipeline):
        prepared = pipeline.prepare(Request(PHOTO, "image/jpeg", {"quality": ("preview",), "format": ("glb",)}))
        result = pipeline.generate(prepared)

        assert pipeline.ready()
        assert "model/gltf-binary" == result.content_type
        assert b"glTF" == result.body[:4]
        assert result == pipeline.generate(prepared)

    def test_what_is_no_image_is_refused_as_the_request_that_it_is(self, pipeline):
        with pytest.raises(UnprocessableError, match="cannot be decoded") as caught:
            pipeline.generate(pipeline.prepare(Request(b"no image", "image/png")))

        assert ("image/png", "image/jpeg", "image/webp") == caught.value.allowed

    def test_the_services_own_process_loads_no_numerical_library(self):
        script = (
            "import asyncio, sys\n"
            "from recoup.pipelines.protocol import Request\n"
            "from recoup.pipelines.relief import ReliefPipeline\n"
            "async def main():\n"
            "    pipeline = ReliefPipeline(workers=1)\n"
            "    await pipeline.start()\n"
            "    query = {'quality': ('preview',)}\n"
            "    prepared = pipeline.prepare(Request(open(sys.argv[1], 'rb').read(), None, query))\n"
            "    result = await pipeline.generate(prepared)\n"
            "    await pipeline.close(1.0)\n"
            "    assert len(result.body) > 100_000\n"
            "asyncio.run(main())\n"
            "heavy = {'numpy', 'PIL', 'trimesh', 'manifold3d', 'fast_simplification'} & set(sys.modules)\n"
            "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
        )
        photo = Path(__file__).parents[2] / "examples" / "photo.jpg"
        done = subprocess.run([sys.executable, "-c", script, str(photo)], capture_output=True, text=True, timeout=60)

        assert (0, "") == (done.returncode, done.stderr)
