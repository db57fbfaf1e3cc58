"""A folder is a data set: settings for `serm evolve FOLDER`, where nobody wrote a config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serm.core.errors import ConfigError, DataError
from serm.core.settings import Settings

JUDGMENTS: Final = "judgments.parquet"


def settings_for_folder(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Defaults for the pairs in `folder`, a replayed judge for each judge that judgments.parquet names.

    The workspace is .serm/<name of the folder> under the current directory. `SERM_` variables apply as
    always: `SERM_JUDGES` names judges where the folder has no judgments. Raises ConfigError without any.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise DataError("there is no such folder.", "Name a folder of data, or a config.", file=folder)
    values = {
        # The whole path: two folders of one name must not share a workspace without notice.
        "data": {"sources": [{"pairs": str(folder), "name": folder.name}]},
        "workspace": str(Path.cwd() / ".serm" / folder.name),
        "judges": [f"replay:{JUDGMENTS}#{judge}" for judge in recorded_judges(folder / JUDGMENTS)],
    }
    given = os.environ if environment is None else environment
    settings = Settings.from_mapping(values, folder=folder, environment=given, origin=str(folder))
    if not settings.judges:
        raise ConfigError(
            f"{folder} has no {JUDGMENTS}, so there is no judge.",
            "Set SERM_JUDGES, for instance to openai:gpt-4o, or write a config with `serm init`.",
        )
    return settings


def recorded_judges(file: Path) -> list[str]:
    """The names in a judgments file, sorted; [] where there is no file."""
    if not file.is_file():
        return []
    try:
        names = pc.unique(pq.read_table(file, columns=["judge"]).column("judge").cast(pa.string()))
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = f"it cannot be read ({str(error).splitlines()[0]})."
        raise DataError(reason, "Write it again.", file=file, field="judge") from error
    return sorted(name for name in names.to_pylist() if name)
