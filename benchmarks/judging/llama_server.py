"""Starts llama.cpp's server on this machine: the package xllamacpp, or a `llama-server` of one's own.

    python -m serm.benchmarks.judging.llama_server --model MODEL.gguf --port 8080 --threads 2

xllamacpp runs the same server within Python; here it always is a process of its own, which ends when the
caller does with it, and takes nobody with it where it crashes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import Final

from serm.core.errors import JudgeError, MissingDependencyError

PACKAGE: Final = "xllamacpp"
PATIENCE: Final = 120.0
"""Seconds that a model may take to load (chosen)."""


def available() -> bool:
    """Whether the package is there."""
    return find_spec(PACKAGE) is not None


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a server is."""

    context: int = 4096  # tokens of one slot
    slots: int = 1  # requests that are worked on at a time
    threads: int = 2


@contextmanager
def serve(model: Path, shape: Shape = Shape(), *, binary: str = "") -> Iterator[str]:
    """A server of this model; yields its OpenAI-compatible URL, and stops it at the end.

    `binary` is a `llama-server` to run in place of the package. Raises MissingDependencyError without either,
    JudgeError where the server does not come up.
    """
    if not binary and not available():
        raise MissingDependencyError(f"the package {PACKAGE} is not installed.", f"pip install {PACKAGE}")
    port = _free_port()
    command = [*(_own(binary) if binary else _packaged()), "--model", str(model), "--port", str(port)]
    command += ["--ctx-size", str(shape.context * shape.slots), "--parallel", str(shape.slots)]
    process = subprocess.Popen(
        [*command, "--threads", str(shape.threads)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    log: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(1)


def _own(binary: str) -> list[str]:
    return [binary, "--host", "127.0.0.1", "--jinja"]


def _packaged() -> list[str]:
    return [sys.executable, "-m", __spec__.name, "--parent", str(os.getpid())]


def _wait(process: subprocess.Popen[str], port: int, log: Sequence[str]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            code = process.returncode
            why = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it left with {code}"
            raise JudgeError(
                f"the llama.cpp server did not come up: {why}. {''.join(log[-3:]).strip()}",
                "Where it says SIGILL it was built for another processor: use another build."
                if code == -signal.SIGILL
                else "Check the model file.",
            )
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise JudgeError(f"the llama.cpp server did not come up within {PATIENCE:.0f} seconds.")


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serve_here(given: argparse.Namespace) -> None:
    """Run the server in this process until it is ended, or until its parent is."""
    xllamacpp = import_module(PACKAGE)
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel = given.model, given.ctx_size, given.parallel
    params.hostnames, params.port = ["127.0.0.1"], given.port
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given.threads
    params.warmup = params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while not given.parent or os.getppid() == given.parent:
        time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--ctx-size", type=int, default=8192, help="tokens of all slots together")
    parser.add_argument("--parallel", type=int, default=2, help="requests that are worked on at a time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parent", type=int, default=0, help="end when this process is no more the parent")
    _serve_here(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
