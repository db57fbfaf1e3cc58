"""What counts in the end: the model that is trained on each rule's labels, the pairs being the same.

    python -m serm.benchmarks.judging.labels_to_model configs/verticals.yaml --seeds 3 --out build/rules

For each random seed: the seed model is trained as in the loop; the miner, with that model, chooses one
sample a window; the panel judges it once. Each rule makes labels of the same judgments, and one training from
the seed model, on the labels of all windows with a replay of the seed, makes its model. No gate decides and
no round builds on the one before: the labels are all that differs. What is done stays in `--out`; the same
command goes on from there.

The tests report. `--gate` measures the same models on the gate's queries, by which a default is chosen.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from serm.agents.panel import Panel, open_panel, pairs_of
from serm.benchmarks.judging.rules_table import rules_tables
from serm.core.columns import DISTRIBUTION, KEY
from serm.core.hashing import digest, unit_interval
from serm.core.records import Judgment, Label
from serm.core.settings import Settings
from serm.evals.leakage import kept_apart
from serm.evals.measures import CUTOFFS, ndcg_column, per_query
from serm.graphs.miner import miner_graph
from serm.graphs.resources import Resources
from serm.graphs.training import one_hot, train_seed_model
from serm.relevance_model.scoring import score_frame
from serm.storage.artifacts import write_file, write_json
from serm.storage.sealed import SealedGrades
from serm.storage.snapshots import build_snapshot, read_snapshot
from serm.tools.peer_vote import peer_vote
from serm.tools.reliability import Reliability, learn


@dataclass(frozen=True, slots=True)
class Rule:
    """How judgments become training targets."""

    rule: str
    keep: float = 1.0
    soft: bool = True
    one_judge: bool = False


RULES: Final[Mapping[str, Rule]] = {
    "one judge": Rule("unanimous", one_judge=True),
    "unanimous": Rule("unanimous"),
    "majority": Rule("majority"),
    "reliability, .5 kept": Rule("reliability", keep=0.5),
    "reliability, .75 kept": Rule("reliability", keep=0.75),
    "reliability, all kept": Rule("reliability"),
    "reliability, all kept, hard": Rule("reliability", soft=False),
}
FROZEN: Final = "frozen"
_SEED: Final = re.compile(r"\bseed=(\d+)")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/rules"))
    parser.add_argument("--pool", action="store_true", help="a column over all tests, too")
    parser.add_argument("--gate", action="store_true", help="on the gate's queries instead of the tests'")
    parser.add_argument("--rules", nargs="*", default=list(RULES), choices=list(RULES))
    chosen = parser.parse_args(arguments)
    settings = Settings.from_yaml(chosen.config)
    folder = chosen.out.resolve() / chosen.config.stem
    for seed in range(1, chosen.seeds + 1):
        run_seed(settings, seed, folder / f"seed-{seed}", chosen.rules, gate=chosen.gate)
    tables = rules_tables(
        folder, chosen.seeds, (FROZEN, *chosen.rules), pool=chosen.pool, suffix=_suffix(chosen.gate)
    )
    print(tables)


def run_seed(
    settings: Settings, seed: int, folder: Path, rules: Sequence[str], *, gate: bool = False
) -> None:
    """One seed, all rules: a Parquet of NDCG by query and a JSON of label figures for each of them.

    Raises WorkspaceMismatchError where what is there was made by another config."""
    files = {name: folder / f"{name}{_suffix(gate)}" for name in (FROZEN, *rules)}
    wanted = [name for name, file in files.items() if not file.is_file()]
    with Resources(_reseeded(settings, seed, folder)) as resources:
        if not wanted:
            return
        frozen = train_seed_model(resources, resources.models.untrained())
        if FROZEN in wanted:
            _measure(resources, frozen, files[FROZEN], gate=gate)
        samples = [_sample(resources, number, frozen) for number in _rounds(resources)]
        with open_panel(resources.settings, SealedGrades(lambda: _truth(resources))) as panel:
            for name in [name for name in wanted if name != FROZEN]:
                labels = [
                    label
                    for number, sample in zip(_rounds(resources), samples, strict=True)
                    for label in _labels(resources, panel, number, sample, RULES[name])
                ]
                write_json(folder / f"{name}.json", _label_figures(resources, labels))
                model = _train(resources, frozen, pd.concat(samples), labels, RULES[name])
                _measure(resources, model, files[name], gate=gate)
                print(f"{folder.parent.name} {folder.name} {name}: done", flush=True)


def _reseeded(settings: Settings, seed: int, folder: Path) -> Settings:
    """The same settings under another random seed; simulated judges err anew: their own seed moves along."""
    judges = tuple(
        judge.model_copy(update={"backend": _moved(judge.backend, seed)})
        if judge.backend.startswith("simulated:")
        else judge
        for judge in settings.judges
    )
    changes = {"random_seed": seed, "workspace": folder / "workspace", "judges": judges}
    changed = settings.model_copy(update=changes)
    changed._folder = settings.folder
    return changed


def _moved(backend: str, by: int) -> str:
    body, mark, name = backend.partition("#")
    moved, found = _SEED.subn(lambda match: f"seed={int(match[1]) + by}", body)
    return f"{moved if found else f'{body},seed={by}'}{mark}{name}"


def _rounds(resources: Resources) -> range:
    return range(1, len(resources.dataset.windows) + 1)


def _sample(resources: Resources, number: int, model: str) -> pd.DataFrame:
    """What the miner chooses of a window with the seed model. Judged pairs of no window are among them."""
    state = {"round": number, "champion": model, "earlier_labels": []}
    name = miner_graph(resources).invoke(state)["sample"]
    chosen = resources.sample(name)[list(KEY)]
    found = resources.pairs(number).merge(chosen, on=list(KEY)).assign(round=number)
    before = [resources.dataset.window(index, KEY) for index in range(number - 1)]
    seen = pd.MultiIndex.from_frame(pd.concat([found.iloc[:0][list(KEY)], *before]))
    return found[~pd.MultiIndex.from_frame(found[list(KEY)]).isin(seen)]  # each pair once over all windows


def _truth(resources: Resources) -> pd.DataFrame:
    """Grades that simulated judges are made from: of all windows and of the gate."""
    dataset = resources.dataset
    sealed = [dataset.sealed(window.index) for window in dataset.windows]
    gate = dataset.gate(len(dataset.windows))[[*KEY, "grade"]]
    return pd.concat([*sealed, gate], ignore_index=True)


def _judged(resources: Resources, panel: Panel, frame: pd.DataFrame) -> list[Judgment]:
    for name in panel.names:
        panel.judge(name, pairs_of(panel.wanted(name, frame)), resources.judgments)
    return panel.judgments(frame, resources.judgments)


def _labels(
    resources: Resources, panel: Panel, number: int, sample: pd.DataFrame, rule: Rule
) -> Iterator[Label]:
    """The labels of one window's sample, source by source: other judges, another panel."""
    settings = resources.settings.agreement
    for source, rows in sample.groupby("source"):
        judgments = _judged(resources, panel, rows)
        if rule.one_judge:
            first = judgments[0].judge
            judgments = [item for item in judgments if item.judge == first]
        reliability = None
        if rule.rule == "reliability":
            reliability = _learned(resources, panel, number, str(source), rule.keep)
        yield from peer_vote(judgments, rule.rule, settings.min_judges, reliability)


def _learned(resources: Resources, panel: Panel, number: int, source: str, keep: float) -> Reliability:
    """From the human-graded gate pairs of the source that are open in the round, chosen by hash."""
    settings = resources.settings
    gate = resources.dataset.gate(number - 1)
    gate = gate[gate["source"] == source]
    order = [unit_interval("calibration", settings.random_seed, *key) for key in gate[list(KEY)].to_numpy()]
    chosen = gate.assign(order=order).nsmallest(settings.agreement.calibration, "order")
    grades = {tuple(key): int(grade) for *key, grade in chosen[[*KEY, "grade"]].to_numpy()}
    votes: dict[tuple[str, str], list[tuple[str, int | None]]] = {}
    for item in _judged(resources, panel, chosen):
        votes.setdefault((item.query_id, item.doc_id), []).append((item.judge, item.grade))
    return learn(list(votes.values()), [grades[key] for key in votes], keep=keep, seed=settings.random_seed)


def _label_figures(resources: Resources, labels: Sequence[Label]) -> dict[str, Any]:
    """How many pairs were judged, how many were kept, and how many of those bear the human grade."""
    truth = {tuple(key): grade for *key, grade in _truth(resources).to_numpy()}
    kept = [label for label in labels if label.outcome.kept]
    right = [label for label in kept if truth.get((label.query_id, label.doc_id)) == label.grade]
    return {"judged": len(labels), "kept": len(kept), "right": len(right)}


def _train(
    resources: Resources, frozen: str, pairs: pd.DataFrame, labels: Sequence[Label], rule: Rule
) -> str:
    settings = resources.settings
    training = settings.training.model_copy(update={"soft_targets": rule.soft})
    rows = [
        (label.query_id, label.doc_id, label.grade, *(label.distribution or ()))
        for label in labels
        if label.outcome.kept
    ]
    kept = pd.DataFrame(rows, columns=[*KEY, "grade", *DISTRIBUTION])
    last = len(resources.dataset.windows)
    (new, seed), _ = kept_apart(
        [pairs.merge(kept, on=list(KEY)), one_hot(resources.dataset.seed())], resources.held_out(last)
    )
    snapshot = build_snapshot(
        resources.workspace,
        new=new,
        earlier=pairs.iloc[:0].assign(grade=0),
        seed=seed,
        training=training,
        random_seed=settings.random_seed,
    )
    gate = resources.dataset.gate(last)
    return resources.models.trained(
        frozen,
        read_snapshot(snapshot.path),
        gate,
        training,
        inputs=digest([snapshot.id, resources.dataset.id]),
        seed=settings.random_seed,
        epochs=training.epochs,
    )


def _measure(resources: Resources, model: str, path: Path, *, gate: bool) -> None:
    """NDCG of every query, by test; of the gate's queries, by source, or by language where there is one."""
    tables = []
    for name, frame in (_gates if gate else _tests)(resources):
        found = per_query(frame, score_frame(resources.models.open(model), frame).expected)
        columns = ["query_id", *(ndcg_column(cutoff) for cutoff in CUTOFFS)]
        tables.append(found[columns].assign(test=name))
    write_file(path, lambda temporary: pd.concat(tables).to_parquet(temporary, index=False))


def _tests(resources: Resources) -> Iterator[tuple[str, pd.DataFrame]]:
    dataset = resources.dataset
    return ((test.name, dataset.test(test.name)) for test in dataset.tests)


def _gates(resources: Resources) -> Iterator[tuple[str, pd.DataFrame]]:
    gate = resources.dataset.gate(len(resources.dataset.windows))
    by = "source" if gate["source"].nunique() > 1 else "language"
    return ((str(name), rows.reset_index(drop=True)) for name, rows in gate.groupby(by, sort=False))


def _suffix(gate: bool) -> str:
    return ".gate.parquet" if gate else ".parquet"


if __name__ == "__main__":
    main()
