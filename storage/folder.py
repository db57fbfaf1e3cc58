"""A folder is a data set: settings for `serm evolve FOLDER`, where nobody wrote a config."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serm.core.errors import ConfigError, DataError
from serm.core.settings import Settings
from serm.storage.workspace import CONFIG

JUDGMENTS: Final = "judgments.parquet"
FEW: Final = 3  # recorded judges that the paper's unanimity is asked of; chosen


def settings_for_folder(folder: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Defaults for the pairs in `folder`, a replayed judge for each judge that judgments.parquet names.

    More than three judges keep what most of them say: so many hardly ever all agree but on zeros.

    The workspace is .serm/<name of the folder> under the current directory. `SERM_` variables apply as
    always: `SERM_JUDGES` names judges where the folder has no judgments. Raises ConfigError without any.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise DataError("there is no such folder.", "Name a folder of data, or a config.", file=folder)
    values = folder_values(folder)
    given = os.environ if environment is None else environment
    settings = Settings.from_mapping(values, folder=folder, environment=given, origin=str(folder))
    if not settings.judges:
        raise ConfigError(
            f"{folder} has no {JUDGMENTS}, so there is no judge.",
            "Set SERM_JUDGES, for instance to openai:gpt-4o, or write a config with `serm init`.",
        )
    return settings


def folder_values(folder: Path) -> dict[str, Any]:
    """The same as a config would state them, paths relative to the folder; without a judge where none is
    recorded."""
    judges = recorded_judges(folder / JUDGMENTS).seated
    return {
        # The whole path: two folders of one name must not share a workspace without notice.
        "data": {"sources": [{"pairs": str(folder), "name": folder.name}]},
        "workspace": str(_workspace_of(folder)),
        "judges": [f"replay:{JUDGMENTS}#{judge}" for judge in judges],
        "agreement": {"rule": "majority" if len(judges) > FEW else "unanimous"},
    }


def _workspace_of(folder: Path) -> Path:
    """`.serm/NAME` here; beside `.serm` where a config has its own workspace there, whose parts have names,
    too."""
    here = Path.cwd() / ".serm"
    return Path.cwd() / f".serm-{folder.name}" if (here / CONFIG).is_file() else here / folder.name


@dataclass(frozen=True, slots=True)
class Recorded:
    """The judges of a judgments file, by name."""

    seated: tuple[str, ...]
    binary: tuple[str, ...]  # those that answered 0 or 1 alone, where others went higher: left out


def folder_notices(folder: Path) -> Iterator[str]:
    """What was decided about a folder's recorded judges and is worth a line."""
    recorded = recorded_judges(folder / JUDGMENTS)
    if recorded.binary:
        yield (
            f"{', '.join(recorded.binary)} answered 0 and 1 alone where others went up to 3, and "
            f"{'is' if len(recorded.binary) == 1 else 'are'} left out: no pair with such an answer "
            "could be kept at a higher grade. A config can seat them with `grades:`."
        )
    if len(recorded.seated) > FEW:
        yield (
            f"{len(recorded.seated)} recorded judges: what more than half of them say is kept, as they "
            "hardly ever all agree."
        )


def recorded_judges(file: Path) -> Recorded:
    """The names in a judgments file, sorted; none where there is no file.

    A judge on two values cannot sit beside judges on four: under any rule its 1 would keep a pair from a 2
    or a 3. Where all are on two values, they all sit.
    """
    if not file.is_file():
        return Recorded((), ())
    told = file.stat()
    return _recorded(file, told.st_mtime_ns, told.st_size)


@cache
def _recorded(file: Path, changed: int, size: int) -> Recorded:  # noqa: ARG001 - another time, another content
    """Once a process: every run of a benchmark asks."""
    try:
        there = pq.read_schema(file).names
        value = next((name for name in ("grade", "label") if name in there), None)
        table = pq.read_table(file, columns=["judge", *filter(None, [value])])
        table = table.set_column(0, "judge", table.column("judge").cast(pa.string()))
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = f"it cannot be read ({str(error).splitlines()[0]})."
        raise DataError(reason, "Write it again.", file=file, field="judge") from error
    names = sorted(name for name in pc.unique(table.column("judge")).to_pylist() if name)
    highest = _highest(table, value) if value else {}
    binary = (
        {name for name in names if highest.get(name) == 1} if max(highest.values(), default=0) > 1 else set()
    )
    return Recorded(tuple(name for name in names if name not in binary), tuple(sorted(binary)))


def _highest(table: pa.Table, value: str) -> dict[str, float]:
    """The highest number that each judge answered."""
    frame = pd.DataFrame(
        {
            "judge": table.column("judge").to_pandas(),
            "value": pd.to_numeric(table.column(value).to_pandas(), errors="coerce"),
        }
    )
    found = frame.groupby("judge")["value"].max().dropna()
    return {str(name): float(number) for name, number in found.items()}
