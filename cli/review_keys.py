"""What a person types: single keys on a terminal; lines where something is piped in."""

from __future__ import annotations

import sys
from typing import Final, Protocol

QUIT: Final = "q"


class Keys(Protocol):
    def key(self) -> str:
        """The next key, as it was typed; `q` where there is nobody any more. Ctrl-C is KeyboardInterrupt."""

    def line(self, prompt: str) -> str:
        """A line of text; "" where there is nobody any more."""


class TerminalKeys:
    """One key at a time, without Enter."""

    def key(self) -> str:
        import typer

        try:
            return typer.getchar() or QUIT
        except (EOFError, OSError):  # Ctrl-D; the terminal is gone
            return QUIT

    def line(self, prompt: str) -> str:
        try:
            return input(prompt)
        except EOFError:
            return ""


class PipedKeys:
    """One line a key: its first character."""

    def key(self) -> str:
        while line := sys.stdin.readline():
            if line.strip():
                return line.strip()[0]
        return QUIT

    def line(self, prompt: str) -> str:  # noqa: ARG002 - nobody reads it
        return sys.stdin.readline().strip()


def keys_of_stdin() -> Keys:
    return TerminalKeys() if sys.stdin.isatty() else PipedKeys()
