"""Requests that nobody would write: each is answered as the description says, and counted exactly once."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import APIOperation, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from recoup import LRUCache, ResultCache
from recoup.errors import GenerationFailedError
from recoup.pipelines.protocol import Prepared, Result
from recoup.pipelines.relief import ReliefPipeline
from recoup.pipelines.relief.generation import CONTENT_TYPES
from recoup.settings import Settings

from .asgi_client import Serving
from .conftest import Serve
from .envelope import assert_problem
from .pipelines import Counting

IMAGES = ("image/png", "image/jpeg", "image/webp", "application/octet-stream")
GENERATE = "/api/generate/"
#: What is refused before it is looked up, and not counted.
REFUSED = {400, 413, 415, 422}
#: What a request may ask of the cache.
DIRECTIVES = (None, None, "no-store", "no-cache", "only-if-cached", "max-age=0")
FUZZING = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class QuickRelief(ReliefPipeline):
    """`relief` with its own checks of requests, and a generator that costs nothing and fails for every third image."""

    def __init__(self) -> None:
        super().__init__(workers=1)
        self.generations = 0

    async def generate(self, prepared: Prepared) -> Result:  # type: ignore[override]
        self.generations += 1
        body, parameters = prepared.job
        if body[0] % 3 == 0:
            raise GenerationFailedError("this one fails")
        return Result(repr(parameters).encode(), CONTENT_TYPES[parameters.format])

    def ready(self) -> bool:
        return True


def checks_left_out(operation: APIOperation) -> list[Any]:
    """Generations may fail, with a status that the description has; and no schema says which bytes are an image."""
    if not operation.path.startswith(GENERATE):
        return []
    names = {"not_a_server_error", "positive_data_acceptance", "negative_data_rejection"}
    return [check for check in CHECKS.get_all() if check.__name__ in names]


def fuzzed(operation: APIOperation) -> Iterator[GenerationMode]:
    """Valid requests for all operations; invalid ones where there is something to be invalid."""
    yield GenerationMode.POSITIVE  # type: ignore[misc]
    if operation.query or (operation.body and not operation.path.startswith(GENERATE)):
        yield GenerationMode.NEGATIVE  # type: ignore[misc]


def run(operation: APIOperation, mode: GenerationMode, seen: Counter[tuple[str, int]]) -> None:
    """Send the requests of one operation."""
    left_out = checks_left_out(operation)
    generates = operation.path.startswith(GENERATE)

    @FUZZING
    @given(case=operation.as_strategy(generation_mode=mode), directive=st.sampled_from(DIRECTIVES))
    def send(case: Any, directive: str | None) -> None:
        if generates and directive is not None:
            case.headers["Cache-Control"] = directive
        response = case.call()
        seen[operation.path, response.status_code] += 1
        case.validate_response(response, excluded_checks=left_out)

    send()


def test_fuzzed_requests_are_answered_as_the_description_says_and_counted_once(serve: Serve) -> None:
    load_all_checks()
    for media_type in IMAGES:
        schemathesis.openapi.media_type(media_type, st.binary(min_size=1, max_size=3))
    cache = ResultCache(max_size=20)  # as the service has: one that takes every policy
    relief = QuickRelief()
    echo = Counting("echo", accepts=["application/json"], ignore_headers=("authorization", "cookie"))
    app = serve(Settings(), cache, {"relief": relief, "echo": echo})
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app.wsgi)
    seen: Counter[tuple[str, int]] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        for mode in fuzzed(operation):
            run(operation, mode, seen)
    generated = {key: count for key, count in seen.items() if key[0].startswith(GENERATE)}
    stats = cache.stats()
    assert sum(count for (_, status), count in generated.items() if status not in REFUSED) == stats.lookups
    assert relief.generations + echo.generations == stats.generations + stats.generation_failures["error"]
    assert {200, 304, 400, 502, 504} <= {status for _, status in generated}, "or little was tried"


# --- random bytes as images

#: Seconds that only a hang exceeds: a worker is nice, and others may have all of the processor for a while.
PATIENCE = 600.0


def picture(form: str) -> bytes:
    """A small picture."""
    shades = np.arange(24 * 16, dtype=np.uint8).reshape(16, 24)
    file = io.BytesIO()
    Image.fromarray(shades).save(file, form)
    return file.getvalue()


PICTURES = [picture(form) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")]


@st.composite
def broken_pictures(draw: st.DrawFn) -> bytes:
    """A picture with some bytes changed, cut off, or followed by others."""
    body = bytearray(draw(st.sampled_from(PICTURES)))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=4)):
        body[place] = byte
    end = draw(st.integers(1, len(body)) | st.just(len(body)))
    return bytes(body[:end]) + draw(st.binary(max_size=8))


@pytest.fixture
def relief(serve: Serve) -> Iterator[Serving]:
    app = serve(Settings(), LRUCache(), {"relief": ReliefPipeline(workers=1, timeout_seconds=PATIENCE)})
    app.loop.run(app.service.pipelines["relief"].start())
    yield app
    app.loop.run(app.service.pipelines["relief"].close(0.0))


@pytest.mark.timeout(2 * PATIENCE)
def test_random_bytes_as_images_are_refused_or_generated_and_counted_once(relief: Serving) -> None:
    cache, client = relief.service.cache, relief.test_client()
    seen: Counter[int] = Counter()

    @settings(FUZZING, max_examples=80)
    @given(
        body=st.binary(min_size=1, max_size=200) | broken_pictures(),
        media_type=st.sampled_from([*IMAGES, "text/plain"]),
    )
    def send(body: bytes, media_type: str) -> None:
        response = client.post(f"{GENERATE}relief?quality=preview", data=body, content_type=media_type)
        seen[response.status_code] += 1
        if response.status_code == 415:
            assert_problem(response, 415, "unsupported-media")
        elif response.status_code != 200:
            assert_problem(response, 422, "unprocessable")

    send()
    # Only a worker finds out that bytes are no image, so those are looked up, and counted, as well.
    assert seen[200] + seen[422] == cache.stats().lookups
    assert seen[422] == cache.stats().generation_failures["rejected"]
    assert {200, 415, 422} == set(seen), "or little was tried"
