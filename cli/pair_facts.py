"""Gathers what a workspace knows of one pair, from its data, rounds, judgments and models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from serm.cli.rounds import Report
from serm.core.columns import DISTRIBUTION
from serm.core.records import Judgment, PairKey
from serm.core.settings_loop import ModelSettings
from serm.storage.dataset import JUDGED_FILE, MANIFEST
from serm.storage.reading import read_json
from serm.storage.reviews import HumanAnswer, Review
from serm.storage.rounds import read_rounds
from serm.storage.workspace import CURRENT, Workspace

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Score:
    """What one model says of the pair."""

    model: str
    expected: float  # 0 to 3
    probabilities: tuple[float, ...]  # P(grade), 4 of them


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """The pair in one round. Whatever is None or empty did not happen."""

    report: Report
    nominations: tuple[Row, ...] = ()  # agent, score, reason
    sample: Row | None = None  # its row of the sample: agent whose share it used, agents, reason
    label: Row | None = None  # outcome, grade, votes, rationale
    answer: HumanAnswer | None = None  # what a person said of it in a review, a skip too
    training: Row | None = None  # its row of the snapshot: origin, grade, p0..p3
    before: Score | None = None  # of the model that was in use when the round began
    after: Score | None = None  # of the model that the round trained

    @property
    def anything(self) -> bool:
        return any((self.nominations, self.sample, self.label, self.training))


@dataclass(frozen=True, slots=True)
class PairFacts:
    key: PairKey
    row: Row | None  # its row of the data set: query, title, text, language, source
    places: tuple[str, ...]  # where it stands: "window 2020 (round 1)", "seed", ...
    rounds: tuple[RoundFacts, ...]
    judgments: tuple[Judgment, ...] = field(default=())


def gather(workspace: Workspace, key: PairKey, round_number: int | None = None) -> PairFacts:
    """All facts of the pair; of one round where `round_number` is given. Reads files, writes none."""
    row, places = _in_the_data(workspace, key)
    reports = [
        report for report in read_rounds(workspace.rounds) if round_number in (None, int(report["round"]))
    ]
    score = cache(lambda model: _score(workspace, model, row) if model and row else None)
    rounds = []
    for report in reports:
        facts = RoundFacts(
            report,
            nominations=tuple(_nominations(workspace, report, key)),
            sample=_row_in(workspace, report, "sample", key),
            label=_row_in(workspace, report, "labels", key),
            answer=_answer(workspace, report, key),
            training=_row_in(workspace, report, "snapshot", key),
        )
        if facts.anything:
            models = report.get("models") or {}
            before, after = score(models.get("champion_before")), score(models.get("challenger"))
            rounds.append(replace(facts, before=before, after=after))
    return PairFacts(key, row, places, tuple(rounds), tuple(_judgments(workspace, key)))


def _in_the_data(workspace: Workspace, key: PairKey) -> tuple[Row | None, tuple[str, ...]]:
    """Its row, and the sets of the data that it stands in. Sealed and test grades are not looked at."""
    current = workspace.data / CURRENT
    if not current.is_file():
        return None, ()
    folder = workspace.data / str(read_json(current)["id"])
    manifest = read_json(folder / MANIFEST)
    files = [
        ("seed, with its human grade", "seed.parquet"),
        ("gate: never mined, never trained on", "gate.parquet"),
        ("gate, graded by the panel alone: never mined, never trained on", JUDGED_FILE),
    ]
    files += [
        (f"stream, window {item['name']} (round {item['index'] + 1})", item["path"])
        for item in manifest.get("windows", [])
    ]
    files += [(f"test {item['name']}: for reports alone", item["path"]) for item in manifest.get("tests", [])]
    found: Row | None = None
    places = []
    for name, file in files:
        row = _find(folder / file, key)
        if row is not None:
            places.append(name)
            found = found or {column: value for column, value in row.items() if column != "grade"}
    return found, tuple(places)


def _nominations(workspace: Workspace, report: Report, key: PairKey) -> Iterator[Row]:
    for agent, file in (report.get("nominations") or {}).items():
        row = _find(workspace.folder / file, key)
        if row is not None:
            yield {**row, "agent": agent}


def _answer(workspace: Workspace, report: Report, key: PairKey) -> HumanAnswer | None:
    human = report.get("human")
    return Review(workspace.folder / human["review"]).answers().get(key) if human else None


def _row_in(workspace: Workspace, report: Report, name: str, key: PairKey) -> Row | None:
    """Its row in a file that the report names, by a path in the workspace."""
    file = report.get(name)
    return _find(workspace.folder / str(file), key) if file else None


def _find(file: Path, key: PairKey) -> Row | None:
    if not file.is_file():
        return None
    wanted = [("query_id", "=", key.query_id), ("doc_id", "=", key.doc_id)]
    rows: list[Row] = pq.read_table(file, filters=wanted).to_pylist()
    return rows[0] if rows else None


def _score(workspace: Workspace, model: str, row: Row) -> Score | None:
    """Computed now, from the saved weights; None where they are gone."""
    folder = workspace.models / model
    if not folder.is_dir():
        return None
    from serm.core.columns import document_text
    from serm.relevance_model.loading import load_model

    settings = ModelSettings.model_validate(workspace.identity["model"])
    loaded = load_model(folder, settings, None)
    document = document_text([row.get("title") or ""], [row.get("text") or ""])
    scores = loaded.score([row["query"]], document, [row.get("language") or ""])
    return Score(folder.name, float(scores.expected[0]), tuple(float(p) for p in scores.probabilities[0]))


def _judgments(workspace: Workspace, key: PairKey) -> list[Judgment]:
    url = workspace.judgments_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        return []
    from serm.storage.judgments import JudgmentStore

    with JudgmentStore(url, workspace.payer) as store:
        return store.for_pair(*key)


def distribution(row: Row) -> tuple[float, ...] | None:
    """p0..p3 of a label or a training row, None where it has none."""
    values = [row.get(name) for name in DISTRIBUTION]
    return tuple(float(value) for value in values if value is not None) if None not in values else None


def votes(label: Row) -> list[tuple[str, int | None]]:
    """(judge, grade or None) of a label's row."""
    said = json.loads(label["votes"]) if isinstance(label.get("votes"), str) else label.get("votes") or []
    return [(str(judge), None if grade is None else int(grade)) for judge, grade in said]
