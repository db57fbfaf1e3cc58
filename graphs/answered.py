"""A round that no judge has answered in is no round: it stops before anything is made of it."""

from __future__ import annotations

from collections import Counter

from serm.core.errors import JudgeError
from serm.core.records import Outcome
from serm.graphs.resources import Resources
from serm.graphs.training import labels_path
from serm.storage.reading import read_frame


def require_answers(resources: Resources, number: int, name: str) -> None:
    """Raises JudgeError where judges failed on every pair of a round's labels.

    To go on would spend the window: its pairs count as sent to the panel, and its round as done. The same
    command asks them again.
    """
    outcomes = Counter(read_frame(labels_path(resources, name), ["outcome"])["outcome"])
    if outcomes and set(outcomes) == {Outcome.FAILED}:
        window = resources.window(number).name
        raise JudgeError(
            f"judges failed on all {outcomes.total():,} pairs of round {number} (window {window}), so none "
            "has a label.",
            "`serm doctor` says what each judge can answer; recorded judges need rows for this window. The "
            "same command goes on from here.",
        )
