"""Training sets: new labels, earlier ones and the seed in stated ratios, in files that never change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.columns import DISTRIBUTION
from serm.core.hashing import digest_texts, unit_interval
from serm.core.records import GRADES
from serm.core.settings_loop import TrainingSettings
from serm.storage.artifacts import write_file
from serm.storage.reading import read_frame
from serm.storage.workspace import Workspace

SCHEMA: Final = pa.schema(
    [(name, pa.string()) for name in ("query_id", "doc_id", "query", "title", "text", "language")]
    + [("grade", pa.int8())]
    + [(name, pa.float64()) for name in DISTRIBUTION]
    + [("origin", pa.string()), ("round", pa.int32())]
)
ORIGINS: Final = ("new", "earlier", "seed")
SEED_ROUND: Final = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training set, named by the hash of its rows."""

    id: str
    path: Path
    counts: dict[str, int]  # pairs by origin: new, earlier, seed


def build_snapshot(  # noqa: PLR0917
    workspace: Workspace,
    new: pd.DataFrame,
    earlier: pd.DataFrame,
    seed: pd.DataFrame,
    training: TrainingSettings,
    random_seed: int,
) -> Snapshot:
    """Mix and write a training set; where the same rows were mixed before, find it.

    `new` and `earlier` are the pairs frame with grade, p0..p3 and round; `seed` may lack all but grade. For
    every new pair at most `training.earlier` earlier and `training.seed` seed pairs come along, as whole
    queries as far as they fit. The order of the rows that come in does not matter.
    """
    parts = (
        _shaped(new, "new"),
        sample_queries(_shaped(earlier, "earlier"), round(training.earlier * len(new)), random_seed),
        sample_queries(_shaped(seed, "seed"), round(training.seed * len(new)), random_seed),
    )
    rows = pd.concat(parts, ignore_index=True)
    name = _content_hash(rows)
    path = workspace.snapshots / f"{name}.parquet"
    if not path.is_file():
        table = pa.Table.from_pandas(rows, SCHEMA, preserve_index=False).replace_schema_metadata(None)
        write_file(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
        path.chmod(0o444)
    return Snapshot(name, path, dict(zip(ORIGINS, map(len, parts), strict=True)))


def read_snapshot(path: Path) -> pd.DataFrame:
    """The rows of a snapshot, grade as int64."""
    return read_frame(path).astype({"grade": "int64", "round": "int64"})


def sample_queries(frame: pd.DataFrame, limit: int, random_seed: int) -> pd.DataFrame:
    """At most `limit` rows, as whole queries taken in an order drawn from the seed.

    A query that no longer fits is passed over for a smaller one; where not even the first fits, it is cut.
    """
    if len(frame) <= limit:
        return frame
    if limit <= 0:
        return frame.iloc[:0]
    sizes = frame.groupby("query_id", sort=False).size()
    order = sorted(map(str, sizes.index), key=lambda query_id: unit_interval(random_seed, query_id))
    taken: list[str] = []
    room = limit
    for query_id in order:
        if sizes[query_id] <= room:
            taken.append(query_id)
            room -= int(sizes[query_id])
    if taken:
        return frame[frame["query_id"].isin(taken)].reset_index(drop=True)
    rows = frame[frame["query_id"] == order[0]]
    draws = [unit_interval(random_seed, order[0], doc_id) for doc_id in rows["doc_id"]]
    cut: pd.DataFrame = rows.iloc[np.sort(np.argsort(draws)[:limit])].reset_index(drop=True)
    return cut


def _shaped(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The columns of SCHEMA in a canonical order of rows. A grade without vote shares is certain."""
    shaped = frame.assign(origin=origin)
    if "round" not in shaped:
        shaped["round"] = SEED_ROUND
    for grade, name in zip(GRADES, DISTRIBUTION, strict=True):
        certain = (shaped["grade"] == grade).astype("float64")
        shaped[name] = shaped[name].astype("float64").fillna(certain) if name in shaped else certain
    shaped = shaped.astype({"grade": "int64", "round": "int64"})
    ordered: pd.DataFrame = shaped[SCHEMA.names].sort_values(
        ["round", "query_id", "doc_id"], ignore_index=True
    )
    return ordered


def _content_hash(rows: pd.DataFrame) -> str:
    """Independent of the Parquet writer and its version."""
    return digest_texts(text for name in SCHEMA.names for text in (name, *map(str, rows[name].tolist())))
