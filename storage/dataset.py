"""A data set as the loop sees it: windows without grades, grades under seal, gate, seed and tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.errors import WorkspaceError
from serm.storage.reading import damage_errors

MANIFEST, REJECTS, SEED_FILE, GATE_FILE = "dataset.json", "rejects.jsonl", "seed.parquet", "gate.parquet"
JUDGED_FILE, JUDGED_SEALED_FILE = "judged.parquet", "judged-sealed.parquet"
GATE_LISTS_FILE, JUDGED_LISTS_FILE = "gate-lists.parquet", "judged-lists.parquet"

PAIRS_SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("query_id", "doc_id", "query", "title", "text", "language", "source")]
    + [("timestamp", pa.timestamp("us"))]
    + [(name, pa.float64()) for name in ("impressions", "clicks", "dwell_seconds", "position")]
)
"""The pairs frame, as the README of the formats describes it. It has no grade."""
CODED: Final = ("query", "title", "text", "source")
"""Columns whose values repeat from row to row."""
GRADE: Final = pa.field("grade", pa.int8())
GRADED_SCHEMA: Final = PAIRS_SCHEMA.append(GRADE)
GATE_SCHEMA: Final = GRADED_SCHEMA.append(pa.field("opens", pa.int32())).append(
    pa.field("window", pa.int32())
)
JUDGED_SCHEMA: Final = PAIRS_SCHEMA.append(pa.field("window", pa.int32()))
SEALED_SCHEMA: Final = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), GRADE])


@dataclass(frozen=True, slots=True)
class WindowRef:
    """One window. `id` is a hash of its pairs, sealed grades not among them."""

    index: int
    name: str
    id: str
    path: Path  # Parquet of the pairs frame, without a grade
    sealed: Path  # Parquet of query_id, doc_id, grade: the rows that have one
    pairs: int
    queries: int
    pairs_id: str = ""
    """The same without what a log counts; data sets of earlier versions have none."""


@dataclass(frozen=True, slots=True)
class TestRef:
    """One test set. `role` is static, last or plain."""

    name: str
    role: str
    path: Path
    pairs: int
    queries: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows and queries of a set."""

    pairs: int
    queries: int


class DataSet:
    """Reads what `ingest` wrote. Nothing here changes a file."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.id: str = manifest["id"]
        self.windows = tuple(
            WindowRef(**{**item, "path": folder / item["path"], "sealed": folder / item["sealed"]})
            for item in manifest["windows"]
        )
        self.tests = tuple(TestRef(**{**item, "path": folder / item["path"]}) for item in manifest["tests"])
        self.seed_id: str = manifest["seed_id"]
        self.seed_counts = Counts(**manifest["seed"])
        self.gate_counts = Counts(**manifest["gate"])
        self.judged_counts = Counts(**manifest.get("judged", {"pairs": 0, "queries": 0}))
        self.rejects = folder / REJECTS
        self.rejected: int = manifest["rejected"]
        self.reject_reasons: dict[str, int] = manifest["reject_reasons"]
        self.left_out: dict[str, int] = manifest["left_out"]
        """Good rows that no set or window takes, by reason."""
        self.logged_again: int = manifest.get("logged_again", 0)
        """Rows whose requests were added to another row of their pair and window."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises WorkspaceError where the folder holds none, as all reading does where a file is damaged."""
        try:
            return cls(folder, json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(f"{folder} holds no data set: {error}.", _again(folder)) from error

    def seed(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The pairs frame of the seed, with grade. `columns`: read these alone."""
        return _read(self.folder / SEED_FILE, columns)

    def gate(self, round_index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Gate rows that are open when window `round_index` (from 0) is: pairs frame, grade, opens, window.

        `window` is the window a row belongs to, -1 where it belongs to none; `opens` is the window it opens
        with, -1 where it is open from the start. `columns`: read these alone.
        """
        return _read(self.folder / GATE_FILE, columns, filters=[("opens", "<=", round_index)])

    def judged_only(self, round_index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The pairs frame of the queries that are kept for the panel to grade for the gate, of the windows up
        to `round_index` (from 0), without a grade; beside it their `window`. They stand in no window's frame.
        """
        return _read(self.folder / JUDGED_FILE, columns, filters=[("window", "<=", round_index)])

    def gate_lists(self, round_index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """What each window up to `round_index` (from 0) logged for the gate's queries, graded or not: the
        pairs frame without grades and `window`, -1 for none; a pair stands once a window."""
        return _read(self.folder / GATE_LISTS_FILE, columns, filters=[("window", "<=", round_index)])

    def judged_lists(self, round_index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The same for the queries that the panel alone grades for the gate."""
        return _read(self.folder / JUDGED_LISTS_FILE, columns, filters=[("window", "<=", round_index)])

    def judged_sealed(self) -> pd.DataFrame:
        """query_id, doc_id, grade of them, of all windows: for simulated judges alone."""
        return _read(self.folder / JUDGED_SEALED_FILE)

    def test(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The pairs frame of a test, with grade. For the evaluator alone; `columns` without the grade are
        for whoever keeps training sets apart from it."""
        return _read(_named(self.tests, name).path, columns)

    @property
    def static_test(self) -> TestRef | None:
        """The test of role static; where no test has a role, the first."""
        return self._of_role("static", 0)

    @property
    def last_test(self) -> TestRef | None:
        """The test of role last; where no test has a role, the last."""
        return self._of_role("last", -1)

    def window(self, index: int, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The pairs frame of a window: it has no column `grade` at all. `columns`: read these alone."""
        return _read(self.windows[index].path, columns)

    def coded_window(self, index: int) -> pd.DataFrame:
        """The same, query, title and text as categories: a text that stands in many rows is held once."""
        return read_coded(self.windows[index].path)

    def sealed(self, index: int) -> pd.DataFrame:
        """query_id, doc_id, grade of a window. Who may open it: docs/formats.md."""
        return _read(self.windows[index].sealed)

    def _of_role(self, role: str, otherwise: int) -> TestRef | None:
        named = [test for test in self.tests if test.role == role]
        if named:
            return named[0]
        plain = all(test.role == "plain" for test in self.tests)
        return self.tests[otherwise] if self.tests and plain else None


def read_coded(path: Path) -> pd.DataFrame:
    """A pairs frame from Parquet, the columns of `CODED` as categories."""
    with damage_errors(path, _again(path.parent)):
        table = pq.read_table(path, read_dictionary=list(CODED)).unify_dictionaries()
        frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _again(folder: Path) -> str:
    return f"Remove the folder {folder}; the next `serm evolve` makes it again from the input files."


def _named(tests: Sequence[TestRef], name: str) -> TestRef:
    for test in tests:
        if test.name == name:
            return test
    raise KeyError(f"no test is called {name}; there are {[test.name for test in tests]}")


def _read(
    path: Path, columns: Sequence[str] | None = None, filters: list[tuple[str, str, int]] | None = None
) -> pd.DataFrame:
    wanted = None if columns is None else list(columns)
    with damage_errors(path, _again(path.parent)):
        frame: pd.DataFrame = pq.read_table(path, columns=wanted, filters=filters).to_pandas()
    return frame.astype({"grade": "int64"}) if "grade" in frame else frame
