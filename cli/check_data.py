"""Doctor: can the input be read, is every set there, and do they keep apart?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pandas as pd

from serm.cli.checks import Finding, Patient, Status
from serm.cli.format import count
from serm.evals.leakage import WordSet, word_set
from serm.storage.rejects import read_rejects

SHOWN = 5  # reasons of rejects that are named, the commonest first
LISTED = 12  # windows that are listed one by one, at most
SMALL = 100  # pairs of a window or of the seed under which it is warned of; chosen


def check_input(patient: Patient) -> Iterator[Finding]:
    data = patient.dataset
    taken = sum(len(frame) for frame in patient.frames.values())
    left = sum(data.left_out.values())
    files = count(len(patient.settings.data.sources), "source")
    sentence = f"{count(taken + left + data.rejected, 'row')} in {files}, {taken:,} of them in a set"
    if not data.rejected:
        yield Finding("data", Status.PASS, f"{sentence}, none rejected.")
    else:
        yield Finding(
            "data",
            Status.WARN,
            f"{sentence}, {data.rejected:,} rejected: {_reasons(patient)}.",
            "`serm evolve` leaves them out and lists each in rejects.jsonl in the workspace's data folder.",
        )
    if left:
        why = ", ".join(f"{number:,} x {reason}" for reason, number in data.left_out.items())
        yield Finding("data", Status.WARN, f"{count(left, 'good row')} left out: {why}.", "See `data.sets`.")


def _reasons(patient: Patient) -> str:
    first: dict[str, str] = {}
    for reject in read_rejects(patient.dataset.rejects):
        first.setdefault(reject.reason, f"{reject.file} row {reject.row}, {reject.field}")
    reasons = sorted(patient.dataset.reject_reasons.items(), key=lambda item: -item[1])
    parts = [
        f"{number:,} x {reason} (first in {first.get(reason, '?')})" for reason, number in reasons[:SHOWN]
    ]
    if len(reasons) > SHOWN:
        parts.append(f"{len(reasons) - SHOWN} more reasons")
    return "; ".join(parts)


def check_sets(patient: Patient) -> Iterator[Finding]:
    frames = patient.frames
    windows = {name: frame for name, frame in frames.items() if name.startswith("window ")}
    for name, frame in frames.items():
        if name not in windows or len(windows) <= LISTED:
            yield _set(name, frame, needed=name != "gate" or patient.settings.gate.enabled)
    sizes = sorted((len(frame), name) for name, frame in windows.items())
    if len(windows) > LISTED:
        sentence = f"{len(windows)} windows, the smallest {sizes[0][1]} of {count(sizes[0][0], 'pair')}."
        yield Finding("sets", Status.PASS, sentence)
    median = sizes[len(sizes) // 2][0]
    if median < SMALL:
        yield Finding(
            "sets",
            Status.WARN,
            f"half of the windows hold at most {count(median, 'pair')}, little to learn from in a round.",
            "Make fewer, larger ones with `data.windows`.",
        )


def _set(name: str, frame: pd.DataFrame, *, needed: bool) -> Finding:
    size = f"{count(len(frame), 'pair')}, {count(frame['query_id'].nunique(), 'query', 'queries')}"
    if needed and frame.empty:
        remedy = "`data.sets` and `data.windows` decide which rows it takes."
        return Finding("sets", Status.FAIL, f"{name}: {size}.", remedy)
    if name == "seed" and len(frame) < SMALL:
        sentence = f"seed: {size}, little to train the first model on."
        return Finding("sets", Status.WARN, sentence, "Give it more graded rows with `data.sets`.")
    return Finding("sets", Status.PASS, f"{name}: {size}.")


def check_separation(patient: Patient) -> Iterator[Finding]:
    """The four sets by query: no id in two of them, and no query text in training and in a held-out set."""
    sets = _four_sets(patient.frames)
    shared = [
        f"{count(len(both), 'query', 'queries')} in {left} and {right} (such as {min(both)})"
        for left, right in combinations(sets, 2)
        if (both := set(sets[left]["query_id"]) & set(sets[right]["query_id"]))
    ]
    if shared:
        yield Finding(
            "separation",
            Status.FAIL,
            f"the four sets share queries: {'; '.join(shared)}.",
            "Change `data.sets` so that every query has one place.",
        )
    else:
        yield Finding("separation", Status.PASS, "no query stands in two of the four sets.")
    known = _texts(sets["seed"]).keys() | _texts(sets["stream"]).keys()
    for name in ("gate", "test"):
        twice = [text for words, text in _texts(sets[name]).items() if words in known]
        if twice:
            yield Finding(
                "separation",
                Status.WARN,
                f"{count(len(twice), 'query', 'queries')} of the {name} set in the same words in seed or "
                f"stream (such as “{min(twice)}”).",
                "What reads like them is kept out of training sets, the seed's too; leakage.json of a round "
                "says how much.",
            )
    documents = set(sets["stream"]["doc_id"]) | set(sets["seed"]["doc_id"])
    held_out = set(sets["gate"]["doc_id"]) | set(sets["test"]["doc_id"])
    common = len(documents & held_out)
    if common:
        yield Finding(
            "separation",
            Status.PASS,
            f"{count(common, 'document')} both in seed or stream and in gate or test; that is allowed.",
        )


def _four_sets(frames: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    columns = ["query_id", "doc_id", "query"]

    def joined(prefix: str) -> pd.DataFrame:
        return pd.concat([frame[columns] for name, frame in frames.items() if name.startswith(prefix)])

    return {
        "seed": joined("seed"),
        "gate": joined("gate"),
        "stream": joined("window "),
        "test": joined("test "),
    }


def _texts(frame: pd.DataFrame) -> dict[WordSet, str]:
    """Queries by what training sets are compared by, each in its first spelling."""
    texts: dict[WordSet, str] = {}
    for text in frame["query"].drop_duplicates().tolist():
        texts.setdefault(word_set(str(text)), " ".join(str(text).lower().split()))
    return texts
