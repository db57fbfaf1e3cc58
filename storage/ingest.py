"""From input files to a data set in the workspace, in two passes that never hold all texts in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from serm.core.errors import ConfigError, DataError
from serm.core.hashing import digest
from serm.core.records import Reject
from serm.core.settings import Settings
from serm.storage.artifacts import find_or_create
from serm.storage.continuity import keep_to_data
from serm.storage.dataset import (
    GATE_FILE,
    GATE_LISTS_FILE,
    GATE_SCHEMA,
    GRADED_SCHEMA,
    JUDGED_FILE,
    JUDGED_LISTS_FILE,
    JUDGED_SCHEMA,
    JUDGED_SEALED_FILE,
    MANIFEST,
    PAIRS_SCHEMA,
    REJECTS,
    SEALED_SCHEMA,
    SEED_FILE,
    Counts,
    DataSet,
)
from serm.storage.keys import Keys
from serm.storage.plan import HELD, Plan, plan
from serm.storage.readers import read_source, source_digest
from serm.storage.rejects import RejectLog
from serm.storage.repeats import add_up
from serm.storage.routing import STAGED_SCHEMA, Target, coded, masked, numbered, route
from serm.storage.workspace import CURRENT, Workspace

FORMAT = 4
"""Counted up when the same input gives other files, so that old ones are not taken for new."""
DUPLICATE = "the pair was there before"


def ingest(settings: Settings, workspace: Workspace) -> DataSet:
    """Find the data set that these files and data settings make, or make it.

    Raises DataError where a file cannot be read, or where a set that the loop needs has no row, and
    WorkspaceMismatchError where the files changed under the workspace, other than where no round has used
    them (see continuity.py).
    """
    key = dataset_key(settings)
    folder = find_or_create(workspace.data, key, lambda path: _make(settings, key, path))
    dataset = DataSet.load(folder)
    keep_to_data(workspace.data / CURRENT, dataset)
    return dataset


def require_data(settings: Settings) -> None:
    """Raises ConfigError where the config names no data: one of judges alone is for `serm annotate`."""
    if not settings.data.sources:
        raise ConfigError(
            "the config names no data.", "Name files of pairs under `data.sources`; `serm init` shows how."
        )


def dataset_key(settings: Settings) -> str:
    """Hash of the input files' contents and of the settings that shape the sets; paths do not count."""
    require_data(settings)
    data = settings.data.model_dump(mode="json")
    if data["windows"]["open"] == "use":  # as before there was a choice: a data set keeps its name
        del data["windows"]["open"]
    for described, source in zip(data["sources"], settings.data.sources, strict=True):
        for name in ("pairs", "queries", "corpus"):
            described.pop(name)
        described |= {"name": source.label, "content": source_digest(source, settings)}
    share = settings.gate.judged_share
    return digest([FORMAT, data, share] if share else [FORMAT, data])


def _make(settings: Settings, key: str, folder: Path) -> None:
    staged = folder / "staged.parquet"
    with RejectLog(folder / REJECTS) as rejects:
        keys = _stage(settings, staged, rejects)
        planned = plan(keys, settings.data, settings.gate.judged_share)
        rejects.extend(_twice(keys, planned))
        rejects.extend(planned.rejects)
        targets = _targets(folder, planned)
        route(staged, list(targets.values()), add_up(staged, planned.repeats))
        staged.unlink()
        manifest = {"id": key} | _manifest(planned, targets, rejects)
    _refuse_what_cannot_run(manifest, settings)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False), encoding="utf-8")


def _stage(settings: Settings, staged: Path, rejects: RejectLog) -> pd.DataFrame:
    """First pass: check rows, keep the keys in memory and the rows on disk."""
    keys = Keys()
    with pq.ParquetWriter(staged, STAGED_SCHEMA, compression="lz4") as writer:
        for source in settings.data.sources:
            for chunk in read_source(source, settings, rejects):
                keys.append(chunk)
                writer.write_table(
                    pa.Table.from_pandas(chunk[STAGED_SCHEMA.names], STAGED_SCHEMA, preserve_index=False)
                )
    return keys.frame()


def _twice(keys: pd.DataFrame, planned: Plan) -> Iterator[Reject]:
    rows = keys.iloc[planned.repeats.twice]
    for file, row in zip(rows["file"], rows["row"], strict=True):
        yield Reject(str(file), int(row), "doc_id", DUPLICATE)


def _targets(folder: Path, planned: Plan) -> dict[str, Target]:
    window = {"window": planned.window}
    gate_columns = {"opens": planned.opens} | window
    targets = {
        "seed": Target(folder / SEED_FILE, masked(planned.seed), GRADED_SCHEMA),
        "gate": Target(folder / GATE_FILE, masked(planned.gate), GATE_SCHEMA, gate_columns),
        "gate lists": Target(folder / GATE_LISTS_FILE, masked(planned.gate_lists), JUDGED_SCHEMA, window),
    }
    if planned.judged.any():
        graded, lists = masked(planned.judged & planned.graded), masked(planned.judged_lists)
        targets["judged lists"] = Target(folder / JUDGED_LISTS_FILE, lists, JUDGED_SCHEMA, window)
        targets["judged"] = Target(folder / JUDGED_FILE, masked(planned.judged), JUDGED_SCHEMA, window)
        targets["judged sealed"] = Target(folder / JUDGED_SEALED_FILE, graded, SEALED_SCHEMA)
    graded_stream = planned.stream & planned.graded
    for index in range(len(planned.windows)):
        path, sealed = folder / f"window-{index:03d}.parquet", folder / f"sealed-{index:03d}.parquet"
        rows, graded = (coded(mask, planned.window, index) for mask in (planned.stream, graded_stream))
        targets[f"window {index}"] = Target(path, rows, PAIRS_SCHEMA)
        targets[f"sealed {index}"] = Target(sealed, graded, SEALED_SCHEMA)
    for index, (_, numbers) in enumerate(planned.tests):
        path = folder / f"test-{index:03d}.parquet"
        targets[f"test {index}"] = Target(path, numbered(numbers), GRADED_SCHEMA)
    return targets


def _manifest(planned: Plan, targets: dict[str, Target], rejects: RejectLog) -> dict[str, Any]:
    def counts(name: str) -> dict[str, int]:
        return asdict(Counts(targets[name].pairs, targets[name].queries))

    return {
        "seed_id": targets["seed"].id,
        "seed": counts("seed"),
        "gate": counts("gate"),
        **({"judged": counts("judged")} if "judged" in targets else {}),
        "windows": [
            {
                "index": index,
                "name": name,
                "id": targets[f"window {index}"].id,
                "pairs_id": targets[f"window {index}"].pairs_id,
                "path": targets[f"window {index}"].path.name,
                "sealed": targets[f"sealed {index}"].path.name,
            }
            | counts(f"window {index}")
            for index, name in enumerate(planned.windows)
        ],
        "tests": [
            {"name": rule.name, "role": rule.role, "path": targets[f"test {index}"].path.name}
            | counts(f"test {index}")
            for index, (rule, _) in enumerate(planned.tests)
        ],
        "rejected": rejects.count,
        "reject_reasons": dict(rejects.reasons),
        "left_out": planned.left_out,
        "logged_again": len(planned.repeats.again),
    }


def _refuse_what_cannot_run(manifest: dict[str, Any], settings: Settings) -> None:
    """A set without rows would only show hours later, as a strange number."""
    remedy = "docs/formats.md says how rows come into sets; `data.sets` in the config decides it."
    if HELD in manifest["left_out"]:
        remedy += (
            f" {manifest['left_out'][HELD]:,} rows wait until their window is over: a longer log, a shorter "
            "`data.windows.period` or `open: use` lets them in."
        )
    if not manifest["windows"]:
        raise DataError("no row is in the stream: there is nothing to mine.", remedy)
    if not manifest["seed"]["pairs"]:
        raise DataError("no row with a grade is in the seed: the first model cannot be trained.", remedy)
    if settings.gate.judged_share and "judged" not in manifest:
        raise DataError(
            f"gate.judged_share: {settings.gate.judged_share:g} takes no query of the stream.",
            "Take a larger share, or none.",
        )
    if settings.gate.enabled and not manifest["gate"]["pairs"]:
        raise DataError("no row with a grade is in the gate: no model could be promoted.", remedy)
    for test in manifest["tests"]:
        if not test["pairs"]:
            raise DataError(f"the test {test['name']} has no row with a grade.", remedy)
