"""Files that a command writes must not take the place of what it reads, or of what people wrote."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import TYPE_CHECKING

from serm.cli.review_files import read_rows
from serm.core.columns import KEY
from serm.core.errors import ConfigError, DataError
from serm.llm.spec import OF_A_FILE, parse_backend

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
    for spec in (parse_backend(judge.backend) for judge in settings.judges):
        if spec.kind in OF_A_FILE:
            found[f"the file of the judge {spec.text}"] = settings.resolve(spec.target)
    return found


def require_no_grades(
    option: str, path: Path, remedy: str, *, known: Set[tuple[str, str, str]] = frozenset()
) -> None:
    """Raises ConfigError where the file has grades that people filled in, but for those that are `known`:
    query_id, doc_id and grade, as the file has them; and where it is no table that people grade in."""
    if not path.is_file():
        return
    try:
        rows = [row for _, row in read_rows(path)]
    except DataError as error:
        raise ConfigError(
            f"{option} {path} is there already, and is no file that serm wrote: {error.message}",
            "Give another name.",
        ) from error
    said = [tuple(str(row[name] or "").strip() for name in (*KEY, "grade")) for row in rows]
    if lost := [each for each in said if each[-1] and each not in known]:
        raise ConfigError(f"{option} {path} would take the place of {len(lost)} grades in that file.", remedy)
