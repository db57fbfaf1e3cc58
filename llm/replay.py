"""A judge that says what was recorded of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.core.columns import DISTRIBUTION
from serm.core.errors import ConfigError, DataError
from serm.core.hashing import digest_file
from serm.core.records import GRADES, Answer, Failure, FailureKind, GradeDistribution, Pair, PairKey
from serm.core.text import keepable
from serm.llm.base import Record, unrecorded
from serm.llm.recordings import read_recordings

_NOT_RECORDED: Final = Answer(failure=Failure(FailureKind.MISSING, "no answer recorded"), requests=0)


class ReplayJudge:
    """Fulfils `Judge`. What was recorded out of range is a failure; what was not is one, `missing`."""

    deterministic = True
    remote = False
    prompt_hash = ""

    def __init__(
        self,
        name: str,
        judge: str,
        answers: Mapping[PairKey, Answer],
        *,
        revision: str,
        grades: Mapping[int, int] | None = None,
        simulated: bool = False,
    ) -> None:
        self.name, self.model, self.revision, self.simulated = name, judge, revision, simulated
        self.sampling: Mapping[str, object] = {"grades": dict(grades)} if grades else {}
        self._answers = answers

    @classmethod
    def open(
        cls,
        file: Path,
        judge: str,
        *,
        name: str = "",
        grades: Mapping[int, int] | None = None,
        recordings: pd.DataFrame | None = None,
    ) -> ReplayJudge:
        """Read one judge from a judgments file; `recordings` is the file's content where it is at hand.

        `grades` maps recorded values to grades, for judges on another scale; a value it does not name is
        out of range. Raises DataError for a bad file, ConfigError for a judge that is not in it.
        """
        frame = read_recordings(file) if recordings is None else recordings
        rows = frame[frame["judge"] == judge]
        if rows.empty:
            there = ", ".join(sorted(frame["judge"].unique()))
            raise ConfigError(f"{file} holds no judge called `{judge}`.", f"The judges in it: {there}.")
        simulated = "simulated" in rows and rows["simulated"].map(_is_true).any()
        return cls(
            name or judge,
            judge,
            _answers(rows, grades or {}, file),
            revision=digest_file(file),
            grades=grades,
            simulated=bool(simulated),
        )

    async def answer(self, pair: Pair, path: int) -> Answer:  # noqa: ARG002 - one answer is recorded
        return self._answers.get(pair.key, _NOT_RECORDED)

    def evidence(self, pair: Pair) -> str:  # noqa: ARG002 - the pair alone decides
        return ""

    async def prove(self, record: Record = unrecorded) -> str:  # noqa: ARG002 - it asks nobody
        return ""

    async def close(self) -> None:
        return None


def _answers(rows: pd.DataFrame, grades: Mapping[int, int], file: Path) -> dict[PairKey, Answer]:
    """One answer a pair. The same pair twice is fine where both rows say the same."""
    columns = [name for name in ("grade", *DISTRIBUTION, "outside", "failure", "rationale") if name in rows]
    answers: dict[PairKey, Answer] = {}
    # `object` first: a nullable column gives pd.NA, which has no truth value.
    values = rows[columns].astype(object).where(rows[columns].notna(), None).to_dict("records")
    for number, query_id, doc_id, row in zip(
        rows.index, rows["query_id"], rows["doc_id"], values, strict=True
    ):
        key = PairKey(query_id, doc_id)
        answer = read_answer({str(column): value for column, value in row.items()}, grades)
        earlier = answers.setdefault(key, answer)
        if (earlier.grade, earlier.failure) != (answer.grade, answer.failure):
            raise DataError(
                f"query {query_id}, document {doc_id} is judged twice by `{rows['judge'].iloc[0]}`, "
                "in two ways.",
                "Keep one row a pair and judge.",
                file=file,
                row=int(number),
                field="grade",
            )
    return answers


def read_answer(row: Mapping[str, Any], grades: Mapping[int, int]) -> Answer:
    """One recorded row as an answer; None stands for an empty cell."""
    rationale = keepable(str(row.get("rationale") or ""))
    value, kind = row.get("grade"), row.get("failure")
    if value is None or value == "":
        if kind in tuple(FailureKind):
            return Answer(failure=Failure(FailureKind(kind), rationale), rationale=rationale, requests=0)
        return _NOT_RECORDED
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _failure(FailureKind.UNPARSABLE, f"recorded {str(value)[:80]!r}", rationale)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    whole = int(number) if math.isfinite(number) and number == int(number) else None
    grade = grades.get(whole) if grades and whole is not None else whole
    if grade not in GRADES:
        return _failure(FailureKind.OUT_OF_RANGE, f"recorded {str(value)[:80]}", rationale)
    return Answer(
        grade=grade,
        distribution=_distribution(row),
        outside=_share(row.get("outside")),
        rationale=rationale,
        requests=0,
    )


def _share(value: object) -> float | None:
    """A number from 0 to 1; None where it is something else."""
    try:
        share = float(str(value))
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _distribution(row: Mapping[str, Any]) -> GradeDistribution | None:
    """p0 to p3 where all are there and are a distribution; a vote counts by its grade, with or without."""
    try:
        p0, p1, p2, p3 = (float(row[name]) for name in DISTRIBUTION)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    whole = min(p0, p1, p2, p3) >= 0 and abs(p0 + p1 + p2 + p3 - 1) < 0.01
    return (p0, p1, p2, p3) if whole else None


def _failure(kind: FailureKind, message: str, rationale: str) -> Answer:
    return Answer(failure=Failure(kind, message), rationale=rationale, requests=0)


def _is_true(value: object) -> bool:
    return str(value).lower() in ("true", "1")
