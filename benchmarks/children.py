"""Processes that end with this one: a signal that stops a benchmark stops its runs, too.

A run that went on alone would hold its workspace's lock, and the same command, given again, would count it as
failed.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Final

GRACE: Final = 10.0  # seconds to end in before a process is killed; chosen


class EndedError(Exception):
    """The process was ended by `Children.end`, or never started after it: of its outcome nothing is told."""


class Children:
    """Started from several threads, ended from any."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False
        self._lock = threading.Lock()

    def run(self, command: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> int:
        """Start a process, its output to `log`, and wait for it; returns its exit code.

        Raises EndedError where `end` was called before its end.
        """
        with self._lock:
            if self._ended:
                raise EndedError
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
            if self._ended:
                raise EndedError
        return code

    def end(self, grace: float = GRACE) -> None:
        """End all that run, and start no further ones. What has not ended after `grace` seconds is killed, at
        once where another signal comes."""
        with self._lock:
            self._ended = True
            left = list(self._running)
        try:
            for process in left:
                process.terminate()
            until = time.monotonic() + grace
            for process in left:
                _wait(process, until - time.monotonic())
        finally:
            for process in left:
                process.kill()  # nothing where it has ended


@contextmanager
def ended_with_us(children: Children, told: Callable[[], object]) -> Iterator[None]:
    """End them where Ctrl-C or SIGTERM leaves the block, and call `told`.

    SIGTERM leaves the process with exit code 143, as shells have it; of Ctrl-C there is Python's own error.
    """
    ours = threading.current_thread() is threading.main_thread()  # no other may set a handler
    before = signal.signal(signal.SIGTERM, _leave) if ours else None
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        children.end()
        told()
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return
