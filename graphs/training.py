"""Training steps of the loop: from labels to a snapshot, from a snapshot to a challenger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import DataError
from serm.core.hashing import digest, digest_texts
from serm.evals.leakage import LeakageReport, kept_apart
from serm.evals.plain import plain
from serm.graphs.events import Event
from serm.graphs.resources import Resources
from serm.graphs.state import SupervisorState
from serm.storage.artifacts import write_file, write_json
from serm.storage.labels import newest
from serm.storage.reading import MADE_AGAIN, read_frame
from serm.storage.snapshots import build_snapshot, read_snapshot

LEAKAGE = "leakage.json"
"""In the folder of a round, and of round 0 for the seed: what training and held-out sets have in common."""
_LABELLED = "pairs.parquet"


def train_seed_model(resources: Resources, untrained: str) -> str:
    """The first model: trained on the human-graded seed, calibrated on the gate rows open from the start.

    All later models descend from it, so that what it has seen they have all seen: seed queries that read like
    a gate or test query are left out, and rounds/000/leakage.json counts them.
    """
    settings, dataset = resources.settings, resources.dataset
    seed, leakage = seed_kept_apart(resources)
    write_json(round_folder(resources, 0) / LEAKAGE, plain(leakage.to_json()))
    inputs = [dataset.seed_id, gate_key(resources, 0)]
    if leakage.near_duplicates:
        inputs.append(digest_texts(text for name in KEY for text in seed[name].astype(str)))
    return resources.models.trained(
        untrained,
        one_hot(seed).assign(origin="seed", round=0),
        dataset.gate(-1),
        settings.training,
        inputs=digest(inputs),
        seed=settings.random_seed,
        epochs=settings.training.seed_epochs,
        progress=_progress(resources, 0),
    )


def seed_kept_apart(resources: Resources) -> tuple[pd.DataFrame, LeakageReport]:
    """The seed's rows that models may learn from, and what was compared.

    Raises DataError where there are none, and where a gate or test query is in the seed.
    """
    [kept], leakage = kept_apart([resources.dataset.seed()], resources.held_out(0))
    if kept.empty:
        first = leakage.near_duplicates[0]
        raise DataError(
            f"every query of the seed reads like one that is held out, such as {first.training_query_id!r} "
            f"like {first.held_out_query_id!r} of `{first.held_out}`: there is nothing to learn from.",
            "Look at data.sets, and at queries that stand under several ids.",
        )
    return kept, leakage


def make_snapshot(resources: Resources, state: SupervisorState) -> str:
    """Mix this round's labels with some of earlier rounds' and of the seed's into an immutable table; its id.

    No gate or test query may be in it. Queries that read like one, under another id, are left out, also
    where the gate's query is of a window to come.
    """
    names = [*state["earlier_labels"], state["labels"]]
    labels = superseded(resources, names)
    tables, leakage = kept_apart(
        [*labels, one_hot(resources.dataset.seed())], resources.held_out(state["round"])
    )
    *earlier, new, seed = tables
    write_json(round_folder(resources, state["round"]) / LEAKAGE, plain(leakage.to_json()))
    return build_snapshot(
        resources.workspace,
        new=new,
        earlier=pd.concat(earlier, ignore_index=True) if earlier else new.iloc[:0],
        seed=seed,
        training=resources.settings.training,
        random_seed=resources.settings.random_seed + state["round"],  # what is replayed differs by round
    ).id


def train_challenger(resources: Resources, state: SupervisorState) -> str:
    """Train on the snapshot, from the champion, the seed model or the base, as set; the model's key.

    A round that kept no label has nothing to learn from: the champion itself is handed to the gate.
    """
    settings, number = resources.settings, state["round"]
    snapshot = read_snapshot(snapshot_path(resources, state["snapshot"]))
    if not (snapshot["origin"] == "new").any():
        return state["champion"]
    resources.rest_judges()
    starts = {"champion": state["champion"], "seed": state["frozen"], "untrained": state["untrained"]}
    return resources.models.trained(
        starts[settings.training.start],
        snapshot,
        resources.dataset.gate(number - 1),
        settings.training,
        inputs=digest([state["snapshot"], gate_key(resources, number)]),
        seed=settings.random_seed,
        epochs=settings.training.epochs,
        progress=_progress(resources, number),
    )


def gate_key(resources: Resources, number: int) -> str:
    """Content hash of the gate rows that are open in a round. The data set's own id would not do: it changes
    with the sealed grades, and nothing that trains or decides may depend on those."""
    frame = resources.dataset.gate(number - 1)
    columns = (*KEY, "query", "title", "text", "language", "grade")
    return digest_texts(text for name in columns for text in frame[name].astype(str))


def round_folder(resources: Resources, number: int) -> Path:
    return resources.workspace.rounds / f"{number:03d}"


def labels_path(resources: Resources, name: str) -> Path:
    return resources.workspace.labels / name / "labels.parquet"


def snapshot_path(resources: Resources, name: str) -> Path:
    return resources.workspace.snapshots / f"{name}.parquet"


def superseded(resources: Resources, names: Sequence[str]) -> list[pd.DataFrame]:
    """The labelled pairs of rounds 1, 2, ... by the names of their labels: of a pair that was labelled again
    its later label alone, and none where the panel then dropped it. Where that failed, the label stands."""
    said = [read_frame(labels_path(resources, name), [*KEY, "outcome"]) for name in names]
    holds = newest(said)
    tables = []
    for place, name in enumerate(names):
        table = labelled_pairs(resources, name, place + 1)
        ours = pd.MultiIndex.from_frame(holds.loc[holds["place"] == place, list(KEY)])
        tables.append(table[pd.MultiIndex.from_frame(table[list(KEY)]).isin(ours)].reset_index(drop=True))
    return tables


def labelled_pairs(resources: Resources, labels: str, number: int) -> pd.DataFrame:
    """The pairs of a round that the panel kept, with their text, grade and soft target. The stream is read
    for their texts once, and not again in every later round: they are kept beside the labels."""
    file = labels_path(resources, labels).with_name(_LABELLED)
    if not file.is_file():
        table = _labelled_pairs(resources, labels, number)
        write_file(file, lambda temporary: table.to_parquet(temporary, index=False))
    return read_frame(file, remedy=MADE_AGAIN)


def _labelled_pairs(resources: Resources, labels: str, number: int) -> pd.DataFrame:
    kept = read_frame(labels_path(resources, labels), [*KEY, "grade", *DISTRIBUTION]).dropna(subset=["grade"])
    pairs = pairs_named(resources, kept, number)[[*KEY, "query", "title", "text", "language"]]
    joined = kept.merge(pairs, on=list(KEY), how="inner", validate="one_to_one")
    return joined.assign(grade=joined["grade"].astype(int), round=number)


def pairs_named(resources: Resources, keys: pd.DataFrame, number: int) -> pd.DataFrame:
    """The pairs with these keys (query_id, doc_id): of window `number`, and what is not there of the windows
    before it, the newest first. In the order of the windows; a key of no window is left out."""
    wanted = pd.MultiIndex.from_frame(keys[list(KEY)])
    found: list[pd.DataFrame] = []
    for window in range(number, 0, -1):
        if found and not len(wanted):
            break
        pairs = resources.pairs(window)
        there = pd.MultiIndex.from_frame(pairs[list(KEY)])
        found.append(pairs[there.isin(wanted)])
        wanted = wanted[~wanted.isin(there)]
    return pd.concat(found, ignore_index=True)


def one_hot(frame: pd.DataFrame) -> pd.DataFrame:
    """Human grades as targets: all mass on the grade."""
    columns = {name: (frame["grade"] == grade).astype(float) for grade, name in enumerate(DISTRIBUTION)}
    return frame.assign(**columns, round=0)


def _progress(resources: Resources, number: int) -> Callable[[int, int], None]:
    return lambda done, total: resources.emit(Event(number, "train", done=done, total=total))
