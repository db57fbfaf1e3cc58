"""Which code a run was made by: a digest of serm's own sources. Runs of several versions may stand in one
table, and what they differ by may then be the code's."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from serm.core.hashing import digest, digest_file

_DECIDING: Final = (
    "agents",
    "benchmarks.marketplace",
    "core",
    "evals",
    "graphs",
    "llm",
    "relevance_model",
    "storage",
    "tools",
)
"""Parts of the package on which a run's results depend, their prompts and vocabularies among them."""


@cache
def code_version() -> str:
    """serm's version and a digest of its sources, "0.1.0 1f3a...", as they are when a process first asks."""
    files = [
        file
        for part in _DECIDING
        for folder in import_module(f"serm.{part}").__path__
        for file in sorted(Path(folder).rglob("*"))
        if file.suffix in {".py", ".yaml"}
    ]
    return f"{_version('serm')} {digest([digest_file(file) for file in files])[:8]}"


def torch_version() -> str:
    return _version("torch")


def processor() -> str:
    """The processor's name as Linux has it; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
