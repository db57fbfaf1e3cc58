"""Real HTTP servers on this machine that speak Anthropic's and Ollama's protocols, as a test tells them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]
"""HTTP status and body."""


@dataclass
class ProviderStub:
    """`play(body, number)` answers request number `number`, from 0."""

    play: Callable[[dict[str, Any], int], Answer]
    paths: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve_provider(play: Callable[[dict[str, Any], int], Answer]) -> Iterator[ProviderStub]:
    stub = ProviderStub(play)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(stub.bodies)
                stub.bodies.append(body)
                stub.paths.append(self.path)
            status, answer = stub.play(body, number)
            content = json.dumps(answer).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


def anthropic_says(*content: dict[str, Any], tokens: tuple[int, int] = (90, 9)) -> Answer:
    """A message of Anthropic's; `content` are its blocks."""
    stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    return 200, {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-stub",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
    }


def tool_use(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": arguments}


def anthropic_error(status: int, kind: str, message: str) -> Answer:
    return status, {"type": "error", "error": {"type": kind, "message": message}}


def ollama_says(text: str, likely: dict[str, float] | None = None) -> Answer:
    """The only part of a stream of Ollama's; `likely` are the log-probabilities at the grade."""
    listed = [{"token": token, "logprob": logprob} for token, logprob in (likely or {}).items()]
    logprobs = [
        {"token": '{"grade": ', "logprob": 0.0, "top_logprobs": []},
        {**(listed[0] if listed else {}), "top_logprobs": listed},
        {"token": "}", "logprob": 0.0, "top_logprobs": []},
    ]
    return 200, {
        "model": "qwen3",
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 80,
        "eval_count": 8,
        **({"logprobs": logprobs} if likely else {}),
    }
