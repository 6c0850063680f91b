"""The same endpoint as a user would write it with Flask-Caching: a POST body's result, kept in a `SimpleCache`."""

from __future__ import annotations

from hashlib import blake2b

from flask import Flask, Response, request
from flask_caching import Cache

from benchmarks.generators import two_kilobytes
from recoup.pipelines.protocol import Request

app = Flask(__name__)
cache = Cache(app, config={"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 86400, "CACHE_THRESHOLD": 1000})


def body_key() -> str:
    """The key: a digest of the path and the body."""
    digest = blake2b(request.get_data(), digest_size=16)
    digest.update(request.full_path.encode())
    return digest.hexdigest()


@app.post("/api/generate/bench")
@cache.cached(make_cache_key=body_key)
def generate() -> Response:
    """Generate 2 KB, slowly or at once."""
    return Response(two_kilobytes(Request(request.get_data())), content_type="application/octet-stream")
