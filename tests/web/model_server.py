"""A small model server: it speaks as OpenAI's and Anthropic's APIs do, well enough for their own clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPENAI_ERRORS = {
    400: ("invalid_request_error", "context_length_exceeded"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", "internal_error"),
}
ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
}
WORDS = ("Results", " that", " are", " kept", " are", " answered", " at", " once.")
USAGE = {"prompt_tokens": 7, "completion_tokens": 8, "total_tokens": 15}


class ModelServer(ThreadingHTTPServer):
    """Counts what it is asked; `released` lets those that wait go on."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.released = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def note(self, path: str, headers: dict[str, str], body: Any) -> int:
        """Note a request; how many with this body there have been, this one included."""
        with self._lock:
            self.requests.append((path, headers, body))
            return sum(body == other for _, _, other in self.requests)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.note(self.path, self._named(), None)
        models = [{"id": "small", "object": "model", "created": 1, "owned_by": "us", "type": "model",
                   "display_name": "Small", "created_at": "2025-01-01T00:00:00Z"}]  # fmt: skip
        self._json(200, {"object": "list", "data": models, "has_more": False, "first_id": None, "last_id": None})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        times = self.server.note(self.path, self._named(), body)
        content = _last_text(body)
        command, _, argument = content.partition(" ")
        if command == "fail":
            self._fail(int(argument))
        elif command == "fail-once" and times == 1:
            self._fail(int(argument), retry_after=True)
        elif command == "wait":
            self.server.released.wait(60)
            self._answer(body)
        else:
            self._answer(body, cut=command == "cut")

    def _answer(self, body: Any, *, cut: bool = False) -> None:
        answer = _message if self.path.endswith("/messages") else _completion
        if not body.get("stream"):
            self._json(200, answer(body))
            return
        events = _message_events if self.path.endswith("/messages") else _completion_events
        self._head(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        for number, event in enumerate(events(body)):
            if cut and number == 3:
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def _fail(self, status: int, *, retry_after: bool = False) -> None:
        if self.path.endswith("/messages"):
            error = {"type": ANTHROPIC_ERRORS[status], "message": f"It is {status}."}
            document: Any = {"type": "error", "error": error, "request_id": "req_42"}
        else:
            kind, code = OPENAI_ERRORS[status]
            document = {"error": {"message": f"It is {status}.", "type": kind, "param": None, "code": code}}
        self._json(status, document, {"Retry-After-Ms": "1", "Retry-After": "0"} if retry_after else {})

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self._head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        own = {
            "x-request-id": "req_42",
            "request-id": "req_42",
            "OpenAI-Processing-Ms": "42",
            "X-RateLimit-Remaining-Requests": "9",
        }
        for name, value in {**own, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}


def _last_text(body: Any) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0].get("text", ""))


def _completion(body: Any) -> Any:
    if body.get("tools"):
        call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"key": "a"}'}}
        message: Any = {"role": "assistant", "content": None, "tool_calls": [call]}
        return _choice({"message": message}, "tool_calls")
    return _choice({"message": {"role": "assistant", "content": "".join(WORDS)}}, "stop")


def _choice(said: Any, reason: str | None, kind: str = "chat.completion") -> Any:
    choice = {"index": 0, "finish_reason": reason, **said}
    own = {"usage": USAGE} if reason else {}
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "small", "choices": [choice], **own}


def _completion_events(_: Any) -> Iterator[bytes]:
    kind = "chat.completion.chunk"
    for word in WORDS:
        yield _data(_choice({"delta": {"role": "assistant", "content": word}}, None, kind))
    yield _data(_choice({"delta": {}}, "stop", kind))
    yield b"data: [DONE]\n\n"


def _message(body: Any) -> Any:
    content: Any = [{"type": "text", "text": "".join(WORDS)}]
    if body.get("tools"):
        content = [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"key": "a"}}]
    reason = "tool_use" if body.get("tools") else "end_turn"
    usage = {"input_tokens": 7, "output_tokens": 8}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "small", "content": content,
            "stop_reason": reason, "stop_sequence": None, "usage": usage}  # fmt: skip


def _message_events(body: Any) -> Iterator[bytes]:
    start = {**_message({}), "content": [], "stop_reason": None}
    yield _data({"type": "message_start", "message": start}, "message_start")
    block: Any = {"type": "text", "text": ""}
    yield _data({"type": "content_block_start", "index": 0, "content_block": block}, "content_block_start")
    for word in WORDS:
        delta = {"type": "text_delta", "text": word}
        yield _data({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")
    yield _data({"type": "content_block_stop", "index": 0}, "content_block_stop")
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _data({"type": "message_delta", "delta": end, "usage": {"output_tokens": 8}}, "message_delta")
    yield _data({"type": "message_stop"}, "message_stop")


def _data(document: Any, name: str = "") -> bytes:
    event = f"event: {name}\n" if name else ""
    return f"{event}data: {json.dumps(document)}\n\n".encode()
