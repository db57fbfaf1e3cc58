"""What a person types: single keys on a terminal; lines where something is piped in."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import Final, Protocol, Self

QUIT: Final = "q"
_SAME_KEY: Final = 0.02  # seconds between two bytes of one key, at most; chosen


class Keys(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def key(self) -> str:
        """The next key; `q` where there is nobody any more. Ctrl-C is a KeyboardInterrupt."""

    def line(self, prompt: str) -> str:
        """A line of text; "" where there is nobody any more."""


class TerminalKeys:
    """One key at a time, without Enter. The terminal stays so between keys: what is typed ahead is kept."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno()

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def key(self) -> str:
        try:
            typed = os.read(self._terminal, 1)
            if typed == b"\x1b":
                typed += self._rest_of_sequence()
        except OSError:  # the terminal is gone
            return QUIT
        return QUIT if typed in (b"", b"\x04") else typed.decode(errors="replace")  # Ctrl-D

    def _rest_of_sequence(self) -> bytes:
        """What an arrow or the like sends behind its escape: the digits in it are no grades."""
        if not select.select([self._terminal], [], [], _SAME_KEY)[0]:
            return b""  # the Escape key alone
        rest = os.read(self._terminal, 1)
        while rest[:1] in (b"[", b"O") and (len(rest) == 1 or not b"@" <= rest[-1:] <= b"~"):
            rest += os.read(self._terminal, 1)
        return rest

    def line(self, prompt: str) -> str:
        """Byte by byte: `input` would take what is typed ahead of the next keys along, and lose it."""
        self.__exit__()  # the terminal's own line editing
        typed = b""
        try:
            print(prompt, end="", flush=True)
            while not typed.endswith(b"\n") and (byte := os.read(self._terminal, 1)):
                typed += byte
        except OSError:  # the terminal is gone
            return ""
        finally:
            self.__enter__()
        return typed.decode(errors="replace").strip()


class PipedKeys:
    """One line a key: its first character."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def key(self) -> str:
        while line := sys.stdin.readline():
            if line.strip():
                return line.strip()[0]
        return QUIT

    def line(self, prompt: str) -> str:  # noqa: ARG002 - nobody reads it
        return sys.stdin.readline().strip()


def keys_of_stdin() -> Keys:
    return TerminalKeys() if sys.stdin.isatty() else PipedKeys()
