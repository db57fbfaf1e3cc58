"""Pairs that are labelled already and worth another word: where the panel's label and the model conflict."""

from __future__ import annotations

import numpy as np
import pandas as pd

from serm.core.columns import KEY
from serm.core.records import N_GRADES, Outcome
from serm.graphs.held_out import held_out
from serm.graphs.resources import Resources
from serm.graphs.state import MinerState
from serm.graphs.training import labels_path, pairs_named
from serm.relevance_model.scoring import score_frame
from serm.storage.labels import read_labels
from serm.tools.desk import MiningDesk
from serm.tools.language import with_languages
from serm.tools.relabel import NO_VOTE, Ints, trust, worth_again, worth_first, worth_more

RELABEL = "relabel"
"""In the place of an agent."""


def asked_again(resources: Resources, state: MinerState, desk: MiningDesk, budget: int) -> pd.DataFrame:
    """The labelled pairs to ask again: rows of earlier windows as in a sample, and `again`, how often each
    was labelled before.

    At most `miner.relabel` of the budget; none where choice is random. A person's label is not asked again,
    and no pair whose judges would all say the same again.
    """
    most = int(round(desk.settings.relabel * budget, 6))
    if not most or desk.settings.choice == "random" or not state["earlier_labels"]:
        return pd.DataFrame()
    labels = _latest(resources, state["earlier_labels"])
    pairs = pairs_named(resources, labels, state["round"] - 1)
    labels = pairs[list(KEY)].merge(labels, on=list(KEY), how="left", validate="one_to_one")
    votes = _votes(labels)
    grades = _said(labels["grade"], votes)
    # By the log's own languages: the model knows no others.
    probabilities = score_frame(resources.models.open(state["champion"]), pairs).probabilities
    pairs = with_languages(pairs, desk.reference.spoken)
    # All that were answered tell how judges agree: of those that were kept they agree by the rule.
    held = trust(votes, grades, probabilities)
    kept_by_judges = (labels["grade"].notna() & (labels["outcome"] != Outcome.HUMAN)).to_numpy()
    apart = held_out(resources, state["round"]).rows(pairs)
    open_to = np.flatnonzero(kept_by_judges & ~apart & _open_to(resources, state["round"], pairs))
    worth = worth_again(votes, grades, probabilities, held)
    first = worth_first(desk.scores.probabilities[desk.unlabelled], held)
    rows = open_to[worth_more(worth[open_to], first, budget, most)]
    return pairs.iloc[rows].assign(
        agent=RELABEL,
        agents=RELABEL,
        score=worth[rows],
        reason=[
            f"{RELABEL}: labelled {grade}, to which the model gives {chance:.2f}"
            for grade, chance in zip(grades[rows], probabilities[rows, grades[rows]], strict=True)
        ],
        again=labels["again"].to_numpy()[rows],
    )


def _latest(resources: Resources, names: list[str]) -> pd.DataFrame:
    """The latest label of each pair that was answered, kept or dropped, and `again`, how often it was sent to
    the panel."""
    tables = [read_labels(labels_path(resources, name)) for name in names]
    every = pd.concat(tables, ignore_index=True)[[*KEY, "grade", "outcome", "votes"]]
    every["again"] = every.groupby(list(KEY))["outcome"].transform("size")
    every = every[every["outcome"] != Outcome.FAILED]  # a failure says nothing; the label before it stands
    return every.drop_duplicates(list(KEY), keep="last")


def _said(grades: pd.Series, votes: Ints) -> Ints:
    """(m,): the panel's grade, and of a pair that was dropped the one that most judges gave, the lowest of
    several."""
    given = (votes[:, :, None] == np.arange(N_GRADES)).sum(axis=1)  # (m, 4)
    return np.where(grades.notna(), grades.fillna(0), given.argmax(axis=1)).astype(np.int64)


def _votes(labels: pd.DataFrame) -> Ints:
    """(m, J): the grade of each judge, `NO_VOTE` where it gave none."""
    names = sorted({judge for votes in labels["votes"] for judge, _ in votes})
    place = {name: column for column, name in enumerate(names)}
    table = np.full((len(labels), len(names)), NO_VOTE, dtype=np.int64)
    for row, votes in enumerate(labels["votes"]):
        for judge, grade in votes:
            table[row, place[judge]] = NO_VOTE if grade is None else grade
    return table


def _open_to(resources: Resources, number: int, pairs: pd.DataFrame) -> np.ndarray:
    """(m,): whether some judge of a pair may say something else when it is asked again."""
    panel = resources.panel(number)
    fresh = {name for name, member in panel.members.items() if not member.judge.deterministic}
    found = pd.Series(data=False, index=pairs.index)
    for judges, rows in panel.groups(pairs):
        found.loc[rows.index] = bool(fresh & set(judges))
    return found.to_numpy(dtype=bool)
