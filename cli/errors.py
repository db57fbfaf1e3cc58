"""What the user reads when a command cannot go on. One place for all commands."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from serm.cli.format import clean

BUG = 70
"""Exit code of a bug (EX_SOFTWARE of sysexits.h): no SermError has it."""
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def report(error: BaseException, arguments: Sequence[str], *, debug: bool = False) -> int:
    """Tell `error` on stderr and return the exit code.

    A SermError is a message and a remedy. Anything else is a bug: its traceback goes to a file that the
    message names, and to stderr with `debug`.
    """
    from serm.core.discretion import discreet  # bring pydantic in, which --help does without
    from serm.core.errors import SermError

    if debug:
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        _say("Stopped.")
        return INTERRUPTED
    if isinstance(error, SermError):
        _say(f"Error: {error.message}")
        if error.remedy:
            _say(error.remedy)
        return error.exit_code
    _say(discreet(f"Bug in serm: {type(error).__name__}: {error}"))
    told = [f"serm {' '.join(arguments)}\n", f"Python {sys.version}\n\n", *traceback.format_exception(error)]
    kept = _keep([discreet(line) for line in told])  # it is sent to people who may know no password
    _say(
        f"The traceback is in {kept}; please report it." if kept else "Run it again with `serm --debug ...`."
    )
    return BUG


def _say(text: str) -> None:
    print(clean(text), file=sys.stderr)  # an error quotes servers and files


def _keep(lines: Sequence[str]) -> Path | None:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="serm-error-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.writelines(lines)
    except OSError:  # a full disk must not hide the error itself
        return None
    return Path(file.name)
