"""Doctor: can the input be read, is every set there, and do they keep apart?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import pandas as pd

from serm.cli.checks import Finding, Part, Patient, Status
from serm.cli.format import count
from serm.evals.leakage import WordSet, word_set
from serm.storage.rejects import read_rejects

SHOWN = 5  # reasons of rejects that are named, the commonest first
LISTED = 12  # windows that are listed one by one, at most
WINDOW = "window "  # how the names of windows begin
SMALL = 100  # pairs of a window or of the seed under which it is warned of; chosen


def check_input(patient: Patient) -> Iterator[Finding]:
    data = patient.dataset
    taken = sum(part.counts.pairs for part in patient.parts)
    left = sum(data.left_out.values())
    files = count(len(patient.settings.data.sources), "source")
    rows = count(taken + left + data.rejected + data.logged_again, "row")
    sentence = f"{rows} in {files}, {taken:,} of them in a set"
    if not data.rejected:
        yield Finding("data", Status.PASS, f"{sentence}, none rejected.")
    else:
        yield Finding(
            "data",
            Status.WARN,
            f"{sentence}, {data.rejected:,} rejected: {_reasons(patient)}.",
            "`serm evolve` leaves them out and lists each in rejects.jsonl in the workspace's data folder.",
        )
    if data.logged_again:
        again = count(data.logged_again, "row")
        yield Finding("data", Status.PASS, f"{again} more log a pair again in its window, and are added up.")
    if left:
        why = ", ".join(f"{number:,} x {reason}" for reason, number in data.left_out.items())
        yield Finding(
            "data",
            Status.WARN,
            f"{count(left, 'good row')} left out: {why}.",
            "See `data.sets` and `data.windows`.",
        )


def _reasons(patient: Patient) -> str:
    first: dict[str, str] = {}
    reasons = sorted(patient.dataset.reject_reasons.items(), key=lambda item: -item[1])
    for reject in read_rejects(patient.dataset.rejects):
        first.setdefault(reject.reason, f"{reject.file} row {reject.row}, {reject.field}")
        if len(first) == len(reasons):
            break
    parts = [
        f"{number:,} x {reason} (first in {first.get(reason, '?')})" for reason, number in reasons[:SHOWN]
    ]
    if len(reasons) > SHOWN:
        parts.append(f"{len(reasons) - SHOWN} more reasons")
    return "; ".join(parts)


def check_past(patient: Patient) -> Iterator[Finding]:
    """Whether the workspace, where there is one, would go on with these files."""
    from serm.storage.continuity import refusal
    from serm.storage.workspace import CURRENT

    noted = patient.settings.workspace_path / "data" / CURRENT
    refused = refusal(noted, patient.dataset)
    if refused:
        yield Finding("past", Status.FAIL, refused.message, refused.remedy)
    elif noted.is_file():
        yield Finding("past", Status.PASS, "the workspace goes on with these files.")


def check_sets(patient: Patient) -> Iterator[Finding]:
    windows = [part for part in patient.parts if part.name.startswith(WINDOW)]
    for part in patient.parts:
        if not part.name.startswith(WINDOW) or len(windows) <= LISTED:
            yield _set(part, needed=part.name != "gate" or patient.settings.gate.enabled)
    sizes = sorted((part.counts.pairs, part.name) for part in windows)
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


def _set(part: Part, *, needed: bool) -> Finding:
    name, pairs = part.name, part.counts.pairs
    size = f"{count(pairs, 'pair')}, {count(part.counts.queries, 'query', 'queries')}"
    if needed and not pairs:
        remedy = "`data.sets` and `data.windows` decide which rows it takes."
        return Finding("sets", Status.FAIL, f"{name}: {size}.", remedy)
    if name == "seed" and pairs < SMALL:
        sentence = f"seed: {size}, little to train the first model on."
        return Finding("sets", Status.WARN, sentence, "Give it more graded rows with `data.sets`.")
    return Finding("sets", Status.PASS, f"{name}: {size}.")


def check_separation(patient: Patient) -> Iterator[Finding]:
    """The four sets by query: no id in two of them, and no query text in training and in a held-out set."""
    sides = _sides(patient.parts)
    shared = [
        f"{count(len(both), 'query', 'queries')} in {left} and {right} (such as {min(both)})"
        for left, right in combinations(sides.queries, 2)
        if (both := sides.queries[left] & sides.queries[right])
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
    for name, texts in sides.texts.items():
        twice = [text for words, text in texts.items() if words in sides.known]
        if twice:
            yield Finding(
                "separation",
                Status.WARN,
                f"{count(len(twice), 'query', 'queries')} of the {name} set in the same words in seed or "
                f"stream (such as “{min(twice)}”).",
                "What reads like them is not mined, and kept out of training sets, the seed's too; a round's "
                "round.json says how many pairs (counts.kept_apart, leakage).",
            )
    common = len(sides.documents)
    if common:
        yield Finding(
            "separation",
            Status.PASS,
            f"{count(common, 'document')} both in seed or stream and in gate or test; that is allowed.",
        )


@dataclass(frozen=True, slots=True)
class _Sides:
    """What the four sets may have in common."""

    queries: dict[str, set[str]]  # ids by set; of the stream those alone that stand in another set, too
    texts: dict[str, dict[WordSet, str]]  # queries of gate and test
    known: set[WordSet]  # those of them that seed or stream have as well
    documents: set[str]  # ids in seed or stream and in gate or test


def _sides(parts: Sequence[Part]) -> _Sides:
    """Reads window after window, and keeps of each what the other sets have too: a stream may be large."""
    columns = ("query_id", "doc_id", "query")
    frames = {
        name: pd.concat([part.read(columns) for part in parts if part.name.startswith(name)])
        for name in ("seed", "gate", "test")
    }
    ids = {name: set(frame["query_id"]) for name, frame in frames.items()}
    queries = {"seed": ids["seed"], "gate": ids["gate"], "stream": set[str](), "test": ids["test"]}
    texts = {name: _texts(frames[name]) for name in ("gate", "test")}
    held_out = set(frames["gate"]["doc_id"]) | set(frames["test"]["doc_id"])
    sides = _Sides(queries, texts, set(), set())
    elsewhere, words = set().union(*ids.values()), texts["gate"].keys() | texts["test"].keys()
    windows = (part.read(columns) for part in parts if part.name.startswith(WINDOW))
    for number, frame in enumerate(chain([frames["seed"]], windows)):
        if number:
            queries["stream"] |= elsewhere & set(frame["query_id"])
        sides.known.update(words & _texts(frame).keys())
        sides.documents.update(held_out & set(frame["doc_id"]))
    return sides


def _texts(frame: pd.DataFrame) -> dict[WordSet, str]:
    """Queries by what training sets are compared by, each in its first spelling."""
    texts: dict[WordSet, str] = {}
    for text in frame["query"].drop_duplicates().tolist():
        texts.setdefault(word_set(str(text)), " ".join(str(text).lower().split()))
    return texts
