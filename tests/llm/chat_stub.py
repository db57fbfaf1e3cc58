"""A real HTTP server on this machine that speaks /v1/chat/completions, well or badly, as a test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Say:
    """Answer with a text."""

    text: str
    tokens_in: int = 100
    tokens_out: int = 10
    usage: bool = True
    after: float = 0.0  # seconds
    finish: str = "stop"


@dataclass(frozen=True)
class Call:
    """Answer with calls of tools: each a name, and arguments as the model writes them."""

    calls: tuple[tuple[str, str], ...]
    tokens_in: int = 100
    tokens_out: int = 10
    text: str = ""
    usage: bool = True
    after: float = 0.0  # seconds
    finish: str = "tool_calls"


@dataclass(frozen=True)
class Status:
    """Answer with an HTTP error."""

    code: int
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)
    kind: str | None = None  # OpenAI's `code`
    body: bytes | None = None  # in the place of OpenAI's form of an error


@dataclass(frozen=True)
class Raw:
    """Answer with these bytes under HTTP 200."""

    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Drop:
    """Break the connection without an answer."""


@dataclass(frozen=True)
class Bytes:
    """Send these bytes in the place of an HTTP response, and break the connection."""

    sent: bytes


@dataclass(frozen=True)
class Drip:
    """Answer a byte at a time, so long apart: no read takes long, and the whole takes for ever."""

    apart: float  # seconds
    bytes: int = 100


@dataclass(frozen=True)
class Hang:
    """Never answer: however slow a machine is, the caller's own limit comes first."""


Move = Say | Call | Status | Raw | Drop | Bytes | Drip | Hang


def grade(value: object, reason: str = "because") -> Say:
    return Say(json.dumps({"grade": value, "reason": reason}))


class ChatStub:
    """`play(body, times)` decides, told the request and how often the same conversation came before."""

    def __init__(self) -> None:
        self.play: Callable[[dict[str, Any], int], Move] = lambda body, times: grade(2)
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []  # Authorization headers
        self.times: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.url = ""

    def asked(self, text: str = "", least: int = 0) -> int:
        """How many requests had `text` in the user's message.

        A caller that has given up may be ahead of this server's threads, so `least` of them are waited for.
        """
        until = time.monotonic() + 20
        while (count := self._asked(text)) < least and time.monotonic() < until:
            time.sleep(0.01)
        return count

    def _asked(self, text: str) -> int:
        with self.lock:
            return sum(text in body["messages"][-1]["content"] for body in self.bodies)

    def _enter(self, body: dict[str, Any], key: str) -> int:
        with self.lock:
            earlier = sum(body["messages"] == other["messages"] for other in self.bodies)
            self.bodies.append(body)
            self.keys.append(key)
            self.times.append(time.monotonic())
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            return earlier

    def _leave(self) -> None:
        with self.lock:
            self.in_flight -= 1


@contextmanager
def serve() -> Iterator[ChatStub]:
    stub = ChatStub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            times = stub._enter(body, self.headers.get("Authorization", ""))
            try:
                self._answer(stub.play(body, times))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the caller has given up or was killed
            finally:
                stub._leave()

        def _answer(self, move: Move) -> None:
            if isinstance(move, Drop):
                self.close_connection = True
            elif isinstance(move, Bytes):
                self.close_connection = True
                self.wfile.write(move.sent)
            elif isinstance(move, Hang):
                self.close_connection = True
                stub.ended.wait()
            elif isinstance(move, Drip):
                self.send_response(200)
                self.send_header("Content-Length", str(move.bytes))
                self.end_headers()
                for _ in range(move.bytes):
                    self.wfile.write(b" ")
                    time.sleep(move.apart)
            elif isinstance(move, Raw):
                self._send(200, move.body, {"Content-Type": move.content_type})
            elif isinstance(move, Status):
                error = {"error": {"message": move.message, "type": "error", "code": move.kind}}
                self._send(move.code, move.body or json.dumps(error).encode(), move.headers)
            else:
                time.sleep(move.after)
                self._send(200, json.dumps(completion(move)).encode(), {})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A caller that was killed resets its connection; that is no error of the server."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stub
    finally:
        stub.ended.set()
        server.shutdown()
        server.server_close()


def completion(move: Say | Call) -> dict[str, Any]:
    usage = {
        "prompt_tokens": move.tokens_in,
        "completion_tokens": move.tokens_out,
        "total_tokens": move.tokens_in + move.tokens_out,
    }
    message: dict[str, Any] = {"role": "assistant", "content": move.text}
    if isinstance(move, Call):
        message["tool_calls"] = [
            {"id": f"call-{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(move.calls, start=1)
        ]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": move.finish}],
        **({"usage": usage} if move.usage else {}),
    }
