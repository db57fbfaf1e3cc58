"""Judgments as a file that `replay:` reads, so that what was paid for once can be had again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from serm.core.columns import DISTRIBUTION
from serm.core.errors import ConfigError
from serm.core.records import Judgment
from serm.storage.artifacts import write_file
from serm.storage.csv_file import to_csv

_WRITERS: Final[Mapping[str, Callable[[pd.DataFrame, Path], None]]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, force_ascii=False),
    ".csv": to_csv,
}


def recording(judgments: Iterable[Judgment]) -> pd.DataFrame:
    """A row a judgment: query_id, doc_id, judge, grade or failure, p0 to p3, outside, rationale, simulated,
    and what it took (calls, tokens, cost, seconds). Ordered by judge and pair."""
    rows = [
        {
            "query_id": judgment.query_id,
            "doc_id": judgment.doc_id,
            "judge": judgment.judge,
            "grade": judgment.grade,
            **dict(zip(DISTRIBUTION, judgment.distribution or (None,) * len(DISTRIBUTION), strict=True)),
            "outside": judgment.outside,
            "failure": judgment.failure.kind.value if judgment.failure else None,
            "rationale": judgment.rationale,
            "simulated": judgment.simulated,
            "calls": len(judgment.paths),
            "tokens": judgment.tokens_in + judgment.tokens_out,
            "cost": judgment.cost,
            "seconds": judgment.latency,
        }
        for judgment in judgments
    ]
    types = {
        **dict.fromkeys(("query_id", "doc_id", "judge", "failure", "rationale"), "object"),
        **dict.fromkeys((*DISTRIBUTION, "outside", "cost", "seconds"), "float64"),
        **dict.fromkeys(("calls", "tokens"), "int64"),
        "grade": "Int8",
        "simulated": "bool",
    }
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(types)
    return frame.sort_values(["judge", "query_id", "doc_id"], ignore_index=True)


_COLUMNS: Final = (
    *("query_id", "doc_id", "judge", "grade", *DISTRIBUTION, "outside", "failure", "rationale"),
    *("simulated", "calls", "tokens", "cost", "seconds"),
)


def check_recording(path: Path) -> None:
    """Raises ConfigError where the ending is none that a recording is written with."""
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{path}: a recording is not written as `{path.suffix}`.", f"Use one of {', '.join(_WRITERS)}."
        )


def write_recording(frame: pd.DataFrame, path: Path) -> None:
    """Write a recording by the file's ending, whole or not at all. Raises as `check_recording` does."""
    check_recording(path)
    write_file(path, lambda temporary: _WRITERS[path.suffix.lower()](frame, temporary))
