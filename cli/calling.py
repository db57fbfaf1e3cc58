"""How the user calls serm, for the lines that say what to run next."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """By its name, or by its path where the name is not found."""
    called = sys.argv[0]
    by_path = Path(called).name == "serm" and shutil.which("serm") is None
    return shlex.quote(called) if by_path else "serm"


def command(name: str, config: Path) -> str:
    """`serm NAME CONFIG`, as a shell takes it: a path may have blanks in it."""
    return f"{program()} {name} {shlex.quote(str(config))}"
