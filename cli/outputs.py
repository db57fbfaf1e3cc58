"""Files that a command writes must not take the place of what it reads, or of what people wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from serm.core.errors import ConfigError

if TYPE_CHECKING:
    from serm.core.settings import Settings


def require_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Both by what to call them. Raises ConfigError where a file to write is one to read, lies in a folder of
    them, or is to be written twice: asked before any work, and so before anything is lost."""
    taken = {path.resolve(): what for what, path in inputs.items() if path is not None}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        what = taken.get(place) or next(
            (name for folder, name in taken.items() if folder in place.parents and place.exists()), None
        )
        if what is not None:
            raise ConfigError(
                f"{option} {path} would take the place of {what}.",
                "Give it another name; nothing was written.",
            )
        taken[place] = f"what {option} writes"


def files_of(settings: Settings, config: Path | None = None) -> dict[str, Path | None]:
    """The config and the files that it names, by what to call them."""
    found: dict[str, Path | None] = {"the config": config}
    for source in settings.data.sources:
        for key in ("pairs", "queries", "corpus"):
            if (path := getattr(source, key)) is not None:
                found[f"the {key} of the source {source.label}"] = settings.resolve(path)
    for judge in settings.judges:
        kind, _, rest = judge.backend.partition(":")
        if kind == "replay":
            found[f"the recording of {judge.backend}"] = settings.resolve(rest.partition("#")[0])
    return found


def require_no_grades(option: str, path: Path, remedy: str, *, known: int = 0) -> None:
    """Raises ConfigError where the file has more grades than are `known`: people filled them in."""
    if path.is_file() and (count := sum(1 for grade in _grades(path) if grade)) > known:
        raise ConfigError(f"{option} {path} would take the place of {count} grades in that file.", remedy)


def _grades(path: Path) -> Iterator[str]:
    """What stands under `grade`: of a table with commas, semicolons or tabs, or of JSON lines; nothing where
    it is none of these."""
    import csv
    import json

    from serm.storage.read_strictly import allow_long_fields

    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix.lower() == ".jsonl":
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                if isinstance(row, dict) and row.get("grade") is not None:
                    yield str(row["grade"]).strip()
            return
        first = file.readline()
        file.seek(0)
        mark = max(",;\t", key=first.count)
        allow_long_fields()
        for record in csv.DictReader(file, delimiter=mark):
            yield str(record.get("grade") or "").strip()
