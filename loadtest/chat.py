"""The chat that the run's upstream speaks: OpenAI's protocol, as far as a cache sees it. Pure, standard library only.

The same request, but for its noise, is always answered with the same bytes, and no other one with them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

PATH = "/v1/chat/completions"
#: Members of a request that the answer does not depend on, as JSON pointers of the pipeline's `ignore_json`.
IGNORED = ("/user", "/metadata")
#: Members that may be left out where they have this value: the pipeline's `json_defaults`.
DEFAULTS = {"/temperature": 1}
#: Models: one that answers, one whose caller has no quota left, one that fails.
ANSWERS, LIMITED, BROKEN = "small", "limited", "broken"
RETRY_SECONDS = 7
#: For so long past its end a result answers where the upstream fails: longer than any run.
STALE_SECONDS = 3600
#: Events of a stream that carry a word.
WORDS = 12
#: What a word costs.
CURRENCY, WORD_PRICE = "USD", 0.0025
_JSON, EVENTS = "application/json", "text/event-stream"


@dataclass(frozen=True)
class Answer:
    """What the upstream answers.

    Attributes:
        status: Of HTTP.
        content_type: Of the body.
        pieces: The body, in the pieces in which it is sent.
        pause_seconds: What passes before each piece.
    """

    status: int
    content_type: str
    pieces: tuple[bytes, ...]
    pause_seconds: float = 0.0

    @property
    def body(self) -> bytes:
        """The whole."""
        return b"".join(self.pieces)


def answer(body: bytes) -> Answer:
    """The answer to a request."""
    asked: dict[str, Any] = json.loads(body)
    if asked["model"] == LIMITED:
        return _error(429, "rate_limit_exceeded", "You have no quota left.")
    if asked["model"] == BROKEN:
        return _error(500, "server_error", "The model has failed.")
    noise = {pointer[1:] for pointer in IGNORED} | {
        name[1:] for name, value in DEFAULTS.items() if asked.get(name[1:]) == value
    }
    seed = json.dumps({name: value for name, value in asked.items() if name not in noise}, sort_keys=True)
    digest = hashlib.sha256(seed.encode()).hexdigest()
    words = [digest[place : place + 5] for place in range(0, 5 * WORDS, 5)]
    known = {"id": f"chatcmpl-{digest[:12]}", "model": asked["model"], "created": 1_700_000_000}
    usage = {"prompt_tokens": len(seed), "completion_tokens": WORDS, "total_tokens": len(seed) + WORDS}
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        whole = {**known, "object": "chat.completion", "choices": choices, "usage": usage}
        return Answer(200, _JSON, (json.dumps(whole).encode(),), asked["seconds"])
    chunk = {**known, "object": "chat.completion.chunk"}
    events = [{**chunk, "choices": [{"index": 0, "delta": {"content": f"{word} "}}]} for word in words]
    last = {**chunk, "choices": [], "usage": usage}
    data = [*map(json.dumps, (*events, last)), "[DONE]"]
    return Answer(200, EVENTS, tuple(f"data: {text}\n\n".encode() for text in data), asked["seconds"] / len(data))


def _error(status: int, code: str, message: str) -> Answer:
    whole = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return Answer(status, _JSON, (json.dumps(whole).encode(),))


def pipeline(url: str) -> str:
    """The service's pipeline `chat` before an upstream, as TOML."""
    defaults = ", ".join(f'"{name}" = {value}' for name, value in DEFAULTS.items())
    return f"""
[pipelines.chat]
kind = "http"
url = "{url}{PATH}"
path = "{PATH}"
ignore_json = {json.dumps(IGNORED)}
json_defaults = {{ {defaults} }}
stream_end = ["[DONE]"]
stale_if_error_seconds = {STALE_SECONDS}
max_concurrent = 64
max_waiting = 256
[pipelines.chat.price]
currency = "{CURRENCY}"
per_unit = {{ "/usage/completion_tokens" = {WORD_PRICE} }}
"""
