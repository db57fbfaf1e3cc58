"""What stood in the files that a run read: a path says nothing of that, and a file may be edited under it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from serm.core.errors import SermError
from serm.core.hashing import digest, digest_file
from serm.core.settings import Settings
from serm.llm.spec import parse_backend
from serm.storage.readers import source_files

_OF_A_FILE: Final = {"replay", "scripted"}
"""Kinds of judges that say what is written in a file."""


def contents(settings: Settings, *, generated: bool = False) -> dict[str, str]:
    """By key of the config (`data.sources.0.pairs`, `judges.1.backend`) a digest of the files that it names.

    generated: the data are made from settings, and only what judges read counts.
    A file that cannot be read now is left out: whoever needs it says so.
    """
    named = _of_judges(settings) | ({} if generated else _of_sources(settings))
    found = {key: _digest(files) for key, files in named.items()}
    return {key: told for key, told in found.items() if told}


def _of_judges(settings: Settings) -> dict[str, list[Path]]:
    specs = enumerate(parse_backend(judge.backend) for judge in settings.judges)
    return {
        f"judges.{place}.backend": [settings.resolve(spec.target)]
        for place, spec in specs
        if spec.kind in _OF_A_FILE
    }


def _of_sources(settings: Settings) -> dict[str, list[Path]]:
    found = {}
    for place, source in enumerate(settings.data.sources):
        try:
            found[f"data.sources.{place}.pairs"] = source_files(source, settings)
        except (SermError, OSError):
            continue  # it is not there any more, as beside results that were copied
    return found


def _digest(files: list[Path]) -> str:
    """Of several files by their names, as those of a BEIR folder have a meaning; "" where one is missing."""
    try:
        told = [_of_file(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files]
    except OSError:
        return ""
    return digest([[file.name for file in files] if len(files) > 1 else [], told])


@cache
def _of_file(file: Path, changed: int, size: int) -> str:  # noqa: ARG001 - another time, another content
    """Once a process for all runs that read it."""
    return digest_file(file)
