"""What the runs of a protocol measured, from their workspaces: a row a run, round, set, role and query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd

from serm.benchmarks.runs import Run
from serm.core.errors import StorageError
from serm.core.hashing import digest
from serm.core.settings_data import EVOLVING
from serm.evals.evaluate import SUMS
from serm.storage.reading import read_json
from serm.storage.rounds import read_rounds

ROLES = ("untrained", "frozen", "champion")
NDCG = ("ndcg@1", "ndcg@4", "ndcg@10")
OF_QUERY = ("pairs", "mixed", "relevant")


def collect(runs: Sequence[Run]) -> pd.DataFrame:
    """arm, seed, round, window, set, role, query_id and NDCG of every query that a finished run measured; and
    what the other measures are made of (`evals.evaluate.SUMS`), so that `summarise` of a model's rows has
    them all.

    `champion` is the model in use after the round. Untrained and frozen, which do not change, stand beside
    it in every round of every arm: a round is compared with them by its own rows.
    """
    tables = [table for run in runs if run.done for table in _tables(run)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def reports(run: Run) -> list[dict[str, Any]]:
    """round.json of each round of a run, the oldest first."""
    return read_rounds(run.folder / "workspace" / "rounds")


def simulated_in(report: Mapping[str, Any]) -> frozenset[str]:
    """The judges of a round whose answers are simulated."""
    return frozenset(report.get("simulated_judges") or ())


def called(judge: str, simulated: Set[str]) -> str:
    """A judge as tables and pages name it."""
    return f"{judge} (SIMULATED)" if judge in simulated else judge


def _tables(run: Run) -> Iterator[pd.DataFrame]:
    workspace = run.folder / "workspace"
    dataset = _dataset_id(workspace)
    for report in reports(run):
        number = report["round"]
        precision = [report["precision"]] if report.get("precision") else []  # see Resources.score_key
        models = report["models"] | {"champion": report["models"]["champion_after"]}
        for name in report["evaluations"]:
            key = f"window {number}" if name == EVOLVING else f"test {name}"
            for role in ROLES:
                made = digest([dataset, key, models[role], *precision])
                file = workspace / "reports" / f"{made}.parquet"
                if not file.is_file():
                    raise StorageError(
                        f"{file} is missing: what {run.arm} with seed {run.seed} measured is lost.",
                        "Put the benchmark's folder `shared` back, which runs have in common; or remove "
                        f"{run.folder} and give the same command again.",
                    )
                measured = pd.read_parquet(file, columns=["query_id", *NDCG, *OF_QUERY, *SUMS])
                yield measured.astype(dict.fromkeys(SUMS, "float32")).assign(
                    arm=run.arm,
                    seed=run.seed,
                    fold=run.fold,
                    round=number,
                    window=(report["window"] or {}).get("name", ""),
                    set=name,
                    role=role,
                )


def sealed_grades(run: Run) -> dict[tuple[str, str], int]:
    """Human grades of the stream by pair: for the report, after the run has ended."""
    tables = [pd.read_parquet(file) for file in data_folder(run).glob("sealed-*.parquet")]
    return {
        (str(query), str(doc)): int(grade)
        for rows in tables
        for query, doc, grade in rows.itertuples(index=False, name=None)
    }


def data_folder(run: Run) -> Path:
    """Where a run's data set lies: the last one, where its stream has grown."""
    workspace = run.folder / "workspace"
    return workspace / "data" / _dataset_id(workspace)


def _dataset_id(workspace: Path) -> str:
    manifest = read_json(workspace / "data" / "current.json")
    return str(manifest["id"])
