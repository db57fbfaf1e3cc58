"""Sealed grades by pair, for the simulated judges, who alone of all judges may know them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import pandas as pd

from serm.core.columns import KEY
from serm.core.records import PairKey


class SealedGrades(Mapping[PairKey, int]):
    """Grades of a table of query_id, doc_id and grade; `read` opens it when a grade is first asked for."""

    def __init__(self, read: Callable[[], pd.DataFrame]) -> None:
        self._read = read

    @cached_property
    def _grades(self) -> dict[PairKey, int]:
        rows = self._read()[[*KEY, "grade"]]
        return {PairKey(*key): int(grade) for *key, grade in rows.itertuples(index=False, name=None)}

    def __getitem__(self, key: PairKey) -> int:
        return self._grades[key]

    def __iter__(self) -> Iterator[PairKey]:
        return iter(self._grades)

    def __len__(self) -> int:
        return len(self._grades)
