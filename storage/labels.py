"""Labels as a file: what the panel settled on, pair by pair, dropped and failed ones too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.records import GradeDistribution, Label, Outcome
from serm.storage.reading import read_frame

LABELS_SCHEMA: Final = pa.schema(
    [
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("grade", pa.int8()),  # null where the pair was dropped or failed
        *((name, pa.float32()) for name in DISTRIBUTION),
        ("outcome", pa.string()),
        ("votes", pa.string()),  # JSON: a list of [judge, grade or null]
        ("rationale", pa.string()),
        ("calls", pa.int32()),
        ("tokens", pa.int64()),
        ("cost", pa.float64()),
    ]
)


def write_labels(labels: Sequence[Label], path: Path) -> None:
    """Write labels in their order; the same labels give the same bytes."""
    rows = [
        {
            "query_id": label.query_id,
            "doc_id": label.doc_id,
            "grade": label.grade,
            **dict(zip(DISTRIBUTION, label.distribution or (None,) * len(DISTRIBUTION), strict=True)),
            "outcome": label.outcome.value,
            "votes": json.dumps(label.votes, ensure_ascii=False),
            "rationale": label.rationale,
            "calls": label.calls,
            "tokens": label.tokens,
            "cost": label.cost,
        }
        for label in labels
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=LABELS_SCHEMA), path)


def newest(said: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What holds of several rounds' labels (query_id, doc_id, outcome), the oldest round first: of a pair its
    last one that did not fail, dropped ones too; with the `place` of its round, from 0."""
    placed = [labels.assign(place=place) for place, labels in enumerate(said)]
    answered = pd.concat(placed, ignore_index=True)
    answered = answered[answered["outcome"] != Outcome.FAILED.value]
    return answered.drop_duplicates(list(KEY), keep="last")


def read_labels(path: Path) -> pd.DataFrame:
    """The labels file as a frame; `grade` is a nullable integer, `votes` a list of (judge, grade or None)."""
    frame = read_frame(path)
    frame["grade"] = frame["grade"].astype("Int8")
    frame["votes"] = [json.loads(votes) for votes in frame["votes"]]
    return frame


def labels_of(path: Path) -> list[Label]:
    """The labels file as records, in its order."""
    return [
        Label(
            query_id=row["query_id"],
            doc_id=row["doc_id"],
            grade=row["grade"],
            distribution=_distribution(row),
            outcome=Outcome(row["outcome"]),
            votes=tuple((judge, grade) for judge, grade in json.loads(row["votes"])),
            rationale=row["rationale"],
            calls=row["calls"],
            tokens=row["tokens"],
            cost=row["cost"],
        )
        for row in pq.read_table(path).to_pylist()
    ]


def _distribution(row: Mapping[str, Any]) -> GradeDistribution | None:
    p0, p1, p2, p3 = (row[name] for name in DISTRIBUTION)
    return None if p0 is None else (p0, p1, p2, p3)
