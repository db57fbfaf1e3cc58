"""The person in the loop: what the panel dropped waits for an answer, and the run waits with it.

From Python, a notebook for instance:

    review = pending_review(settings)                          # None where nothing waits
    review.pairs                                               # a frame: what is asked
    answer_review(settings, {("q1", "d7"): 2, ("q1", "d9"): None}, reviewer="anna")   # None: skipped
    evolve(settings)                                           # goes on once every pair is answered
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from langgraph.types import interrupt

from serm.agents.debate import SUFFIX
from serm.core.columns import DISTRIBUTION, KEY
from serm.core.errors import WorkspaceError
from serm.core.hashing import digest
from serm.core.records import GRADES, Outcome, PairKey
from serm.core.settings import Settings
from serm.storage.artifacts import find_or_create, write_json
from serm.storage.labels import read_labels
from serm.storage.reviews import ABOUT, PAIRS, HumanAnswer, Review, point_at, waiting
from serm.storage.trace import SpanKind, span
from serm.storage.workspace import Workspace
from serm.tools.review_order import review_order

if TYPE_CHECKING:  # the loop's resources bring torch and mlflow in, which answering does without
    from serm.graphs.resources import Resources
    from serm.graphs.state import SupervisorState

HUMAN: Final = "human.json"
"""Beside the labels that a review has made: what was asked, answered and skipped, and the time it took."""

IDLE: Final = 300.0
"""Seconds after which nobody is thinking about a pair any more (chosen): a longer answer counts as this."""

_TEXTS: Final = ("query", "title", "text", "language")


def pending_review(settings: Settings) -> Review | None:
    """The review that the run waits for; None where none waits.

    Raises WorkspaceError where nothing was run.
    """
    found = waiting(Workspace.read(settings.workspace_path, settings).reviews)
    return found[0] if found else None


def answer_review(
    settings: Settings,
    answers: Mapping[tuple[str, str], int | None],
    *,
    reviewer: str,
    note: str = "",
) -> Review:
    """Take answers to the review that waits: (query_id, doc_id) to a grade, or to None for a skip.

    A later answer to a pair replaces an earlier one. All are on disk when this returns; `evolve` goes on once
    no pair is open. Raises WorkspaceError where no review waits, DataError for a pair that is not asked
    about, ValueError for a grade that is none.
    """
    review = pending_review(settings)
    if review is None:
        raise WorkspaceError(
            f"no review waits in {settings.workspace_path}.",
            "One does when `evolve` says that it is waiting for a person.",
        )
    review.add(
        [HumanAnswer(*key, grade=grade, reviewer=reviewer, note=note) for key, grade in answers.items()]
    )
    return review


def review_dropped(resources: Resources, state: SupervisorState) -> str:
    """The round's labels once a person has settled what the panel dropped: a name in labels/.

    Interrupts the graph until it is resumed. Then all of it runs again: what is there is found, not made.
    """
    review = open_review(resources, state)
    if review is None:
        return state["labels"]
    if not review.closed:
        point_at(resources.workspace.reviews, review, resources.settings.evolution.rounds)
        interrupt(
            {
                "round": state["round"],
                "pairs": len(review.keys),
                "review": f"reviews/{review.folder.name}",  # in the workspace
                "answer": "serm review CONFIG, or serm.graphs.answer_review(settings, answers)",
            }
        )
    with span("human", SpanKind.AGENT, pairs=len(review.keys)) as current:
        answers = review.close()
        told = summary(review)
        current.attributes |= {"policy": ", ".join(told["reviewers"]) or "nobody", **told}
        return _settle(resources.workspace.labels, state["labels"], answers, told)


def open_review(resources: Resources, state: SupervisorState) -> Review | None:
    """Find or make the review of the round's labels; None where the panel dropped nothing.

    A pair that failed is not asked about: its judges can be asked again.
    """
    labels = read_labels(_labels(resources.workspace.labels, state["labels"]))
    dropped = labels[labels["outcome"] == Outcome.DROPPED.value]
    if dropped.empty:
        return None

    def make(folder: Path) -> None:
        _asked(resources, state, dropped).to_parquet(folder / PAIRS, index=False)
        about = {
            "round": state["round"],
            "window": resources.window(state["round"]).name,
            "labels": state["labels"],
            "dropped": len(dropped),
            "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(folder / ABOUT, about)

    return Review(find_or_create(resources.workspace.reviews, state["labels"], make))


def summary(review: Review) -> dict[str, Any]:
    """What was asked and answered so far, and what it took: the `human` part of a round's report.

    `seconds` are those of answers that were timed, each counted as five minutes at most; `waited` is the time
    from opening to closing, in seconds, None while it is open.
    """
    answers = list(review.answers().values())
    graded = [answer for answer in answers if answer.grade is not None]
    timed = [min(answer.seconds, IDLE) for answer in answers if answer.seconds is not None]
    names = sorted({answer.reviewer for answer in answers})
    return {
        "review": f"reviews/{review.folder.name}",
        "dropped": review.about["dropped"],
        "asked": len(review.keys),
        "answered": len(graded),
        "skipped": len(answers) - len(graded),
        "left": len(review.keys) - len(answers),
        "grades": {str(grade): sum(answer.grade == grade for answer in graded) for grade in GRADES},
        "reviewers": {name: sum(answer.reviewer == name for answer in answers) for name in names},
        "saw_votes": sum(answer.saw_votes for answer in answers),
        "seconds": {
            "timed": len(timed),
            "median": round(median(timed), 1) if timed else None,
            "total": round(sum(timed, 0.0), 1),
        },
        "waited": _waited(review),
    }


def _asked(resources: Resources, state: SupervisorState, dropped: pd.DataFrame) -> pd.DataFrame:
    """The pairs of a review with their texts and what each judge said, in the order of asking."""
    keys = [PairKey(*row) for row in dropped[list(KEY)].itertuples(index=False, name=None)]
    votes = [[grade for _, grade in said if grade is not None] for said in dropped["votes"]]
    order = review_order(keys, dropped[list(DISTRIBUTION)], votes, resources.settings.agreement.review_limit)
    chosen = dropped.iloc[order]
    pairs = resources.sample(state["sample"])
    texts = pairs.reindex(columns=[*KEY, *_TEXTS]).fillna(dict.fromkeys(_TEXTS, ""))
    said = [
        json.dumps(_words(resources, keys[place], dropped["votes"].iloc[place]), ensure_ascii=False)
        for place in order
    ]
    asked = chosen[[*KEY]].merge(texts, on=list(KEY), how="left", validate="one_to_one")
    return asked.assign(votes=said)


def _words(resources: Resources, key: PairKey, votes: Any) -> list[dict[str, Any]]:
    """Each judge's vote on a pair, with the reason that it gave, in a debate or before it."""
    said = resources.judgments.for_pair(*key)
    latest = {(judgment.judge.removesuffix(SUFFIX), judgment.grade): judgment for judgment in said}
    words = []
    for judge, grade in votes:
        judgment = latest.get((judge, grade))
        reason, simulated = (judgment.rationale, judgment.simulated) if judgment else ("", False)
        words.append({"judge": judge, "grade": grade, "reason": reason, "simulated": simulated})
    return words


def _settle(
    labels: Path, before: str, answers: Mapping[PairKey, HumanAnswer], told: Mapping[str, Any]
) -> str:
    """Labels with the person's grades in the place of what was dropped; skipped pairs stay dropped."""
    graded = {key: answer for key, answer in answers.items() if answer.grade is not None}
    said = [[*key, answer.grade, answer.reviewer, answer.note] for key, answer in sorted(graded.items())]
    key = digest(["human review", before, said])

    def make(folder: Path) -> None:
        shutil.copytree(labels / before, folder, dirs_exist_ok=True)  # what the annotator has told of them
        table = pq.read_table(_labels(labels, before))
        rows = [
            _answered(row, graded.get(PairKey(row["query_id"], row["doc_id"]))) for row in table.to_pylist()
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "labels.parquet")
        write_json(folder / HUMAN, {**told, "labels": before})

    find_or_create(labels, key, make)
    return key


def _answered(row: dict[str, Any], answer: HumanAnswer | None) -> dict[str, Any]:
    """A label's row; with an answer all mass is on the person's grade, and the person is among the votes."""
    if answer is None:
        return row
    votes = [*json.loads(row["votes"]), [answer.judge, answer.grade]]
    return {
        **row,
        "grade": answer.grade,
        **{name: float(grade == answer.grade) for grade, name in zip(GRADES, DISTRIBUTION, strict=True)},
        "outcome": Outcome.HUMAN.value,
        "votes": json.dumps(votes, ensure_ascii=False),
        "rationale": answer.note,
    }


def _waited(review: Review) -> float | None:
    closed = review.closed_at
    if closed is None:
        return None
    opened = datetime.fromisoformat(review.about["opened"])
    return round((datetime.fromisoformat(closed) - opened).total_seconds(), 1)


def _labels(folder: Path, name: str) -> Path:
    return folder / name / "labels.parquet"
