"""Pairs for people to read: why they were mined, how they were judged, what the models said of them."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from serm.benchmarks.collect import called, reports, simulated_in
from serm.benchmarks.run_record import read_record
from serm.benchmarks.runs import Run
from serm.core.columns import KEY
from serm.core.hashing import unit_interval
from serm.core.settings import Settings
from serm.relevance_model.loading import load_model
from serm.relevance_model.scoring import score_frame
from serm.storage.binding import as_today

SHOWN = 20


@dataclass(frozen=True, slots=True)
class PairStory:
    """One mined pair of one round."""

    round: int
    query: str
    document: str
    language: str
    agents: str
    reason: str
    votes: str
    outcome: str
    grade: str
    before: str  # expected grade of the model in use when the round began; a dash where its weights are gone
    after: str  # of the one in use when it ended


def pair_stories(run: Run, count: int = SHOWN) -> list[PairStory]:
    """Some pairs of each round of a run, the same each time: kept and dropped ones, drawn by hash."""
    rounds = [report for report in reports(run) if report["round"] > 0]
    if not rounds:
        return []
    each = -(-count // len(rounds))
    return [story for report in rounds for story in _of_round(run, report, each)][:count]


def _of_round(run: Run, report: dict[str, object], count: int) -> list[PairStory]:
    folder = run.folder / "workspace"
    sample = pd.read_parquet(folder / str(report["sample"]))
    labels = pd.read_parquet(folder / str(report["labels"]))
    table = sample.merge(labels, on=list(KEY), suffixes=("", "_label"))
    simulated = simulated_in(report)
    order = [unit_interval("report", *key) for key in table[list(KEY)].itertuples(index=False, name=None)]
    chosen = table.assign(order=order).sort_values("order").head(count).reset_index(drop=True)
    models = dict(report["models"])  # type: ignore[call-overload]
    before, after = (
        _scores(run, folder, models[name], chosen) for name in ("champion_before", "champion_after")
    )
    return [
        PairStory(
            round=int(str(report["round"])),
            query=str(row["query"]),
            document=_shortened(f"{row['title'] or ''} {row['text']}"),
            language=str(row["language"] or ""),
            agents=str(row["agents"] or row["agent"]),
            reason=str(row["reason"]),
            votes=_votes(str(row["votes"]), simulated),
            outcome=str(row["outcome"]),
            grade="–" if pd.isna(row["grade"]) else str(int(row["grade"])),
            before=before[position],
            after=after[position],
        )
        for position, row in enumerate(chosen.to_dict("records"))
    ]


def _scores(run: Run, workspace: Path, model: str, frame: pd.DataFrame) -> Sequence[str]:
    if not (workspace / "models" / model).is_dir():  # removed, to have the disk back: the figures need none
        return ["–"] * len(frame)
    settings, _ = as_today(read_record(run).get("settings", {}))  # none: of a version that did not tell
    loaded = load_model(workspace / "models" / model, (settings or Settings()).model, None)
    return [f"{value:.2f}" for value in score_frame(loaded, frame).expected]


def _votes(text: str, simulated: Set[str]) -> str:
    return ", ".join(
        f"{called(judge, simulated)}: {'failed' if grade is None else grade}"
        for judge, grade in json.loads(text)
    )


def _shortened(text: str, length: int = 280) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"
