"""What an MLflow server refuses is told as what it is: the server runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from serm.cli.check_services import check_mlflow
from serm.cli.checks import Finding, Patient, Status
from serm.core import Settings
from serm.core.errors import WorkspaceError
from serm.relevance_model.registry import ModelRegistry

_CREATE = "model-versions/create"
_ANSWERS: dict[str, dict[str, Any]] = {
    "registered-models/get": {"registered_model": {"name": "serm-relevance"}},
    "registered-models/create": {"registered_model": {"name": "serm-relevance"}},
    "experiments/get-by-name": {"experiment": {"experiment_id": "1", "name": "serm-relevance"}},
    "runs/create": {
        "run": {"info": {"run_id": "ab", "status": "FINISHED", "artifact_uri": "s3://bucket/1/ab/artifacts"}}
    },
}


@dataclass
class Server:
    """An MLflow server that refuses model versions."""

    uri: str = ""
    status: int = 400
    body: str = json.dumps({"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid source: 'x'."})
    asked: list[str] = field(default_factory=list)  # method and path of every request


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    found = Server()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.split("?")[0].partition("/mlflow/")[2]
            found.asked.append(f"{self.command} {path}")
            refused = path == _CREATE
            body = found.body if refused else json.dumps(_ANSWERS.get(path, {}))
            self.send_response(found.status if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):  # do_GET, do_POST, ...
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    found.uri = f"http://127.0.0.1:{http.server_port}"
    try:
        yield found
    finally:
        http.shutdown()
        http.server_close()


def examined(server: Server, folder: Path) -> Finding:
    settings = Settings.from_mapping({"storage": {"mlflow": server.uri}}, folder=folder, environment={})
    with Patient(settings) as patient:
        (finding,) = check_mlflow(patient)
    return finding


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (400, Server.body, "The server runs, but does not take this"),
        (404, "<html>not found</html>", "address of an MLflow server"),
        (403, "Invalid Host header", "--allowed-hosts"),
        (401, "who are you", "Check the login"),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_to_look_at(
    server: Server, tmp_path: Path, status: int, body: str, remedy: str
) -> None:
    server.status, server.body = status, body
    registry = ModelRegistry(server.uri)
    with pytest.raises(
        WorkspaceError, match=rf"refused to register the model abc \(HTTP {status}\): "
    ) as raised:
        registry.register(tmp_path, "abc", {})
    assert remedy in raised.value.remedy
    assert "that its server runs" not in raised.value.remedy


def test_a_server_that_breaks_has_not_refused(server: Server, tmp_path: Path) -> None:
    server.status, server.body = 500, "out of memory"
    registry = ModelRegistry(server.uri)
    with pytest.raises(WorkspaceError, match="cannot be used: ") as raised:
        registry.register(tmp_path, "abc", {})
    assert "that its server runs" in raised.value.remedy


def test_doctor_tells_of_the_refusal_before_a_run_meets_it_and_clears_up(
    server: Server, tmp_path: Path
) -> None:
    finding = examined(server, tmp_path)
    assert finding.status is Status.FAIL
    assert "refused to register a model, which was tried (HTTP 400): " in finding.sentence
    assert "Invalid source" in finding.sentence
    assert "The server runs" in finding.remedy
    assert server.asked[-1] == "DELETE registered-models/delete"
    assert not [item for item in server.asked if "experiments/create" in item or "runs/" in item]


def test_a_server_that_looks_for_the_run_has_not_refused_doctor(server: Server, tmp_path: Path) -> None:
    server.status = 404
    server.body = json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"})
    finding = examined(server, tmp_path)
    assert finding.status is Status.PASS
